"""Runs jobs on this machine: a process each, below a watchdog that outlives the build.

A stage that is one command is spawned as it stands; all others get a worker.
"""

import _socket
import marshal
import os
import select
import signal
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from spark_build.core.disk import disk_problems
from spark_build.core.job import Job, JobResult
from spark_build.core.ports import Direct, Reporter
from spark_build.executors import watchdog
from spark_build.executors.environment import check_machine, environment_of, secrets_of
from spark_build.executors.events import EventReader, EventStream, masked_texts
from spark_build.executors.outcome import result_of

Ended = tuple["Handle", int, JobResult | None]  # exit status: below 0 a signal

DirectOf = Callable[[Job, Mapping[str, str], Reporter], Direct | None]

_TAIL_BYTES = 8192
_LOOK_EVERY_SECONDS = 0.2
_SHUTDOWN_SECONDS = 10.0


class Lease(Protocol):
    def fileno(self) -> int: ...


class Handle:
    """A job that was started."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.log = f"{job.events.removesuffix('.jsonl').removesuffix('.events')}.log"
        self.events = EventReader(job.events)
        self.direct: _Direct | None = None


class LocalExecutor:
    """Starts, watches and ends jobs. The watchdog is started with the first one."""

    def __init__(
        self, store: Path | str, command: Sequence[str] | None = None, direct: DirectOf | None = None
    ) -> None:
        """`command` is what stands before the job's file; by default this very installation's `worker`.

        `direct` finds the command that a stage consists of.
        """
        self._store = Path(store)
        self._command = (
            [*command] if command is not None else [sys.executable, "-P", "-m", "spark_build", "worker"]
        )
        self._direct_of = direct
        self._link: _socket.socket | None = None
        self._end: weakref.finalize[..., Any] | None = None
        self._running: dict[int, Handle] = {}
        self._count = 0

    def start(self, job: Job, lease: Lease | None = None) -> Handle:
        """What runs holds the lease as well, until nothing that it started lives.

        Errors: Unavailable where this machine can't keep the job's numerics or the disk is full; UsageError
        for a secret that is not set.
        """
        check_machine(job)
        env = environment_of(job)
        handle = Handle(job)
        with disk_problems(handle.log):
            Path(handle.log).parent.mkdir(parents=True, exist_ok=True)
            order = self._direct_order(handle, env) or self._worker_order(handle, env)
        self._count += 1
        self._send({"spawn": self._count, **order}, [] if lease is None else [lease.fileno()])
        self._running[self._count] = handle
        return handle

    def _direct_order(self, handle: Handle, env: Mapping[str, str]) -> dict[str, Any] | None:
        """None where the job needs a worker."""
        if self._direct_of is None:
            return None
        secrets = secrets_of(handle.job, os.environ).values()
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
            }
        if found is None or len(marshal.dumps(order)) > watchdog.PACKET_BYTES // 2:
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
            "env": {**env, **_import_path()},
            "cwd": job.scratch,
            "log": handle.log,
            "mask": masked_texts(secrets_of(job, os.environ).values()),
            "lingers": False,
        }

    def poll(self, seconds: float) -> list[Ended]:
        """What has ended; waits up to `seconds` for the first."""
        for handle in self._running.values():
            if handle.direct is not None:
                handle.direct.look()
        if self._link is None or not _is_readable(self._link, seconds):
            return []
        ended = []
        while self._link is not None and _is_readable(self._link, 0.0):
            ended += self._hear()
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
            if running is handle:
                self._send({"stop": number}, [])

    def stop_all(self) -> None:
        """Ends every worker; returns when none is left."""
        for handle in list(self._running.values()):
            self.stop(handle)
        while self._running:
            self.poll(watchdog.GRACE_SECONDS)
        self.close()

    def close(self) -> None:
        """Ends the watchdog, and at once whatever still runs below it."""
        if self._end is not None:
            self._end()
        self._link, self._end = None, None
        self._running.clear()

    def _send(self, order: dict[str, Any], fds: list[int]) -> None:
        data = marshal.dumps(order)
        if len(data) > watchdog.PACKET_BYTES:
            raise RuntimeError(f"BUG: an order of {len(data)} bytes to the watchdog")
        for _ in range(2):
            try:
                watchdog.send_with(self._open(), data, fds)
                return
            except (BrokenPipeError, ConnectionResetError):
                # somebody killed the watchdog; what ran below it is over, and `poll` has told or will tell
                self._lose_link()
        raise RuntimeError("BUG: the watchdog does not start")

    def _open(self) -> _socket.socket:
        if self._link is None:
            mine, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            process = _start_watchdog(its.fileno())
            its.close()
            self._link, self._end = mine, weakref.finalize(self, _end_watchdog, mine, process)
        return self._link

    def _hear(self) -> list[Ended]:
        assert self._link is not None
        try:
            told, _ = watchdog.receive(self._link)
        except ConnectionError:
            told = None
        if told is None:
            return self._lose_link()
        if "bug" in told:
            raise RuntimeError(f"BUG: the watchdog failed:\n{told['bug']}")
        handle = self._running.pop(told["ended"], None)
        return [] if handle is None else [(handle, told["status"], _result_of(handle, told))]

    def _lose_link(self) -> list[Ended]:
        """Watchdog and keepers are gone, and with them every worker."""
        ended: list[Ended] = [(handle, -signal.SIGKILL, None) for handle in self._running.values()]
        self.close()
        return ended


def _result_of(handle: Handle, told: Mapping[str, Any]) -> JobResult | None:
    if handle.direct is not None:
        return handle.direct.result(told["status"], told["errno"]) if "errno" in told else None
    if told["status"] < 0:
        return None
    try:
        return JobResult.load(Path(handle.job.result))
    except (OSError, ValueError, TypeError):
        return None


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


def _import_path() -> dict[str, str]:
    """Where this package is imported from a folder that Python does not know by itself."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {} if os.path.basename(folder) in ("site-packages", "dist-packages") else {"PYTHONPATH": folder}


def _is_readable(link: _socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(link, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _start_watchdog(link: int) -> int:
    """Its process. Imported as a module, it is not compiled each time; nothing else of the folder is in reach."""
    folder, name = os.path.split(watchdog.__file__)
    code = f"import sys; sys.path.append({folder!r}); import {name.removesuffix('.py')} as w; sys.path.pop(); w.main()"
    argv = [
        sys.executable,
        "-I",
        "-S",
        "-E",
        *(["-B"] if sys.dont_write_bytecode else []),
        "-c",
        code,
        str(link),
    ]
    os.set_inheritable(link, True)
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    return os.posix_spawn(sys.executable, argv, os.environ, file_actions=null, setsid=True)


def _end_watchdog(link: _socket.socket, process: int) -> None:
    """It sees the socket close, ends what runs, and goes; the same happens when this process is killed."""
    link.close()
    ended = os.pidfd_open(process)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    try:
        if not poll.poll(_SHUTDOWN_SECONDS * 1000):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    finally:
        os.close(ended)
