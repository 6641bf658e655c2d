"""Runs jobs on this machine: a process each, below a watchdog that outlives the build.

A stage that is one command is spawned as it stands. Of all others, those in Python with nothing of their own
in their environment are forks of a warm worker, started with the first of them: one has loaded what datasets need,
another what models do (warm_links.py). The rest get a fresh interpreter.
"""

import marshal
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from spark_build.core.disk import disk_problem, disk_problems
from spark_build.core.job import Job, JobResult
from spark_build.core.ports import Direct, Reporter
from spark_build.executors import processes
from spark_build.executors.environment import check_machine, environment_of, import_path, secrets_of
from spark_build.executors.events import EventReader, EventStream, masked_texts
from spark_build.executors.keeper import GRACE_SECONDS
from spark_build.executors.link import Link, ready, start_bare
from spark_build.executors.outcome import result_of
from spark_build.executors.undeclared import watch_of, with_undeclared
from spark_build.executors.warm_links import WarmLinks

Ended = tuple["Handle", int, JobResult | None]  # exit status: below 0 a signal

DirectOf = Callable[[Job, Mapping[str, str], Reporter], Direct | None]

_TAIL_BYTES = 8192
_LOOK_EVERY_SECONDS = 0.2
_WORKER = ["-P", "-m", "spark_build", "worker"]


class Lease(Protocol):
    def fileno(self) -> int: ...


class Handle:
    """A job that was started."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.log = f"{job.events.removesuffix('.jsonl').removesuffix('.events')}.log"
        self.events = EventReader(job.events)
        self.direct: _Direct | None = None
        self.link: Link | None = None  # to the watchdog that it runs below


class LocalExecutor:
    """Starts, watches and ends jobs. The watchdog is started with the first one."""

    def __init__(
        self,
        store: Path | str,
        command: Sequence[str] | None = None,
        direct: DirectOf | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`command` is what stands before the job's file; by default this very installation's `worker`.

        `direct` finds the command that a stage consists of; of the variables in `env`, by default this process's
        own, each job is given what it names.
        """
        self._env = env
        self._store = Path(store)
        self._command = [*command] if command is not None else [sys.executable, *_WORKER]
        self._direct_of = direct
        self._bare = Link(start_bare)
        self._warm = None if command is not None else WarmLinks([sys.executable, *_WORKER])
        self._running: dict[int, Handle] = {}
        self._lost: list[Ended] = []
        self._count = 0

    @cached_property
    def _around(self) -> Mapping[str, str]:
        """The variables around all jobs, as they are for the whole build."""
        return dict(os.environ if self._env is None else self._env)

    def start(self, job: Job, lease: Lease | None = None) -> Handle:
        """What runs holds the lease as well, until nothing that it started lives.

        Errors: Unavailable where this machine can't keep the job's numerics or the disk is full; UsageError
        for a secret that is not set.
        """
        check_machine(job)
        env = environment_of(job, self._around)
        handle = Handle(job)
        with disk_problems(handle.log):
            Path(handle.log).parent.mkdir(parents=True, exist_ok=True)
            order = self._direct_order(handle, env) or self._worker_order(handle, env)
        self._count += 1
        warm = self._warm.link_for(job, env) if self._warm and handle.direct is None else None
        handle.link = warm or self._bare
        self._send(handle.link, {"spawn": self._count, **order}, [] if lease is None else [lease.fileno()])
        self._running[self._count] = handle
        return handle

    def _direct_order(self, handle: Handle, env: Mapping[str, str]) -> dict[str, Any] | None:
        """None where the job needs a worker."""
        if self._direct_of is None:
            return None
        secrets = secrets_of(handle.job, self._around).values()
        report = EventStream(handle.job.events, secrets)
        found = self._direct_of(handle.job, env, report)
        order = None
        if found is not None:
            masks = {*masked_texts(secrets), *filter(None, found.secrets)}
            order = {
                "argv": [*found.words],
                "env": {**found.env},
                "cwd": found.folder,
                "log": handle.log,
                "mask": sorted(masks, key=len, reverse=True),
                "lingers": True,
                "watch": watch_of(handle.job, env),
            }
        if found is None or len(marshal.dumps(order)) > processes.PACKET_BYTES // 2:
            report.close()
            return None
        handle.direct = _Direct(handle, found, report)
        return order

    def _worker_order(self, handle: Handle, env: Mapping[str, str]) -> dict[str, Any]:
        job, job_file = handle.job, self._store.resolve() / "work" / handle.job.key / "job.json"
        job_file.parent.mkdir(parents=True, exist_ok=True)
        Path(job.scratch).mkdir(parents=True, exist_ok=True)
        Path(job.result).unlink(missing_ok=True)
        job.save(job_file)
        return {
            "argv": [*self._command, str(job_file)],
            "env": {**env, **import_path()},
            "cwd": job.scratch,
            "log": handle.log,
            "mask": masked_texts(secrets_of(job, self._around).values()),
            "lingers": False,
            "watch": watch_of(job, env),
        }

    def poll(self, seconds: float) -> list[Ended]:
        """What has ended; waits up to `seconds` for the first."""
        for handle in self._running.values():
            if handle.direct is not None:
                handle.direct.look()
        ended, self._lost = self._lost, []
        while links := ready(self._open_links(), 0.0 if ended else seconds):
            for link in links:
                ended += self._hear(link)
        return ended

    def events(self, handle: Handle) -> list[dict[str, Any]]:
        return handle.events.new()

    def log_tail(self, handle: Handle, lines: int = 20) -> str:
        try:
            with open(handle.log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, handle: Handle) -> None:
        """SIGTERM, and SIGKILL a few seconds later; `poll` tells when it is over."""
        for number, running in self._running.items():
            if running is handle and running.link is not None:
                self._send(running.link, {"stop": number})

    def stop_all(self) -> None:
        """Ends every worker; returns when none is left."""
        self.poll(0.0)
        for link in self._open_links():
            if link.is_loading:  # it would not hear of it before that is over, and nothing runs there
                self._lose(link)
        for handle in list(self._running.values()):
            self.stop(handle)
        while self._running:
            self.poll(GRACE_SECONDS)
        self.close()

    def close(self) -> None:
        """Ends the watchdogs, and at once whatever still runs below them."""
        for link in self._open_links():
            link.close()
        self._running.clear()
        self._lost.clear()

    def _open_links(self) -> list[Link]:
        warm = [] if self._warm is None else self._warm.links
        return [link for link in (self._bare, *warm) if link.is_open]

    def _send(self, link: Link, order: dict[str, Any], fds: Sequence[int] = ()) -> None:
        for _ in range(2):
            try:
                link.send(order, fds)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._lost += self._lose(link)
        raise RuntimeError("BUG: the watchdog does not start")

    def _hear(self, link: Link) -> list[Ended]:
        told = link.receive()
        if told is None:
            return self._lose(link)
        handle = self._running.pop(told.get("ended", 0), None)
        if handle is None:
            return []
        result = _result_of(handle, told)
        return [
            (handle, told["status"], None if result is None else with_undeclared(handle.job, result, told))
        ]

    def _lose(self, link: Link) -> list[Ended]:
        """Somebody killed the watchdog: its keepers are gone, and with them all that ran below it."""
        link.close()
        numbers = [number for number, handle in self._running.items() if handle.link is link]
        return [(self._running.pop(number), -signal.SIGKILL, None) for number in numbers]


def _result_of(handle: Handle, told: Mapping[str, Any]) -> JobResult | None:
    if handle.direct is not None:
        return handle.direct.result(told["status"], told["errno"]) if "errno" in told else None
    if told["status"] < 0:
        return None
    try:
        return JobResult.load(Path(handle.job.result))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    except OSError as error:
        problem = disk_problem(error, handle.job.result)
        return JobResult(False, error=problem.message, fix=problem.fix)


class _Direct:
    """What a worker would do around a command that has none."""

    def __init__(self, handle: Handle, process: Direct, report: EventStream) -> None:
        self._handle, self._process, self._report = handle, process, report
        self._next_look = 0.0

    def look(self) -> None:
        if self._process.look is not None and (now := time.monotonic()) >= self._next_look:
            self._process.look()
            self._next_look = now + _LOOK_EVERY_SECONDS

    def result(self, status: int, errno: int | None) -> JobResult:
        job, log = self._handle.job, _Log(self._handle.log)
        printed = b"" if status == 0 else log.tail(self._process.tail_bytes)
        try:
            return result_of(job, self._report, lambda: self._process.outcome(status, errno, printed), log)
        finally:
            self._report.close()


class _Log:
    """A log that the command has written, for the last words on it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, text: str) -> int:
        with open(self._path, "a") as file:
            return file.write(text)

    def tail(self, count: int) -> bytes:
        try:
            with open(self._path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - count))
                return file.read()
        except OSError:
            return b""
