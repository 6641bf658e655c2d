"""Runs jobs on this machine: a fresh process each, below a watchdog that outlives the build."""

import json
import os
import select
import signal
import socket
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from spark_build.core.disk import disk_problems
from spark_build.core.job import Job, JobResult
from spark_build.executors import watchdog
from spark_build.executors.environment import check_machine, environment_of, secrets_of
from spark_build.executors.events import EventReader, masked_texts

Ended = tuple["Handle", int, JobResult | None]  # exit status: below 0 a signal

_TAIL_BYTES = 8192
_SHUTDOWN_SECONDS = 10.0


class Lease(Protocol):
    def fileno(self) -> int: ...


class Handle:
    """A job that was started."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.log = f"{job.events.removesuffix('.jsonl').removesuffix('.events')}.log"
        self.events = EventReader(job.events)


class LocalExecutor:
    """Starts, watches and ends workers. The watchdog is started with the first job."""

    def __init__(self, store: Path | str, command: Sequence[str] | None = None) -> None:
        """`command` is what stands before the job's file; by default this very installation's `worker`."""
        self._store = Path(store)
        self._command = (
            [*command] if command is not None else [sys.executable, "-P", "-m", "spark_build", "worker"]
        )
        self._link: socket.socket | None = None
        self._end: weakref.finalize[..., Any] | None = None
        self._running: dict[int, Handle] = {}
        self._count = 0

    def start(self, job: Job, lease: Lease | None = None) -> Handle:
        """The worker holds the lease as well, until nothing that it started lives.

        Errors: Unavailable where this machine can't keep the job's numerics or the disk is full; UsageError
        for a secret that is not set.
        """
        check_machine(job)
        env = {**environment_of(job), **_import_path()}
        handle, job_file = Handle(job), self._store.resolve() / "work" / job.key / "job.json"
        with disk_problems(str(job_file)):
            job_file.parent.mkdir(parents=True, exist_ok=True)
            Path(job.scratch).mkdir(parents=True, exist_ok=True)
            Path(handle.log).parent.mkdir(parents=True, exist_ok=True)
            Path(job.result).unlink(missing_ok=True)
            job.save(job_file)
        self._count += 1
        order = {
            "spawn": self._count,
            "argv": [*self._command, str(job_file)],
            "env": env,
            "cwd": job.scratch,
            "log": handle.log,
            "mask": masked_texts(secrets_of(job, os.environ).values()),
        }
        self._send(order, [] if lease is None else [lease.fileno()])
        self._running[self._count] = handle
        return handle

    def poll(self, seconds: float) -> list[Ended]:
        """What has ended; waits up to `seconds` for the first."""
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
        data = json.dumps(order).encode()
        if len(data) > watchdog.PACKET_BYTES:
            raise RuntimeError(f"BUG: an order of {len(data)} bytes to the watchdog")
        for _ in range(2):
            try:
                socket.send_fds(self._open(), [data], fds)
                return
            except (BrokenPipeError, ConnectionResetError):
                # somebody killed the watchdog; what ran below it is over, and `poll` has told or will tell
                self._lose_link()
        raise RuntimeError("BUG: the watchdog does not start")

    def _open(self) -> socket.socket:
        if self._link is None:
            import subprocess

            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", watchdog.__file__, str(its.fileno())],
                pass_fds=[its.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
            its.close()
            self._link, self._end = mine, weakref.finalize(self, _end_watchdog, mine, process)
        return self._link

    def _hear(self) -> list[Ended]:
        assert self._link is not None
        try:
            data = self._link.recv(watchdog.PACKET_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            return self._lose_link()
        told = json.loads(data)
        if "bug" in told:
            raise RuntimeError(f"BUG: the watchdog failed:\n{told['bug']}")
        handle = self._running.pop(told["ended"], None)
        return [] if handle is None else [(handle, told["status"], _result_of(handle, told["status"]))]

    def _lose_link(self) -> list[Ended]:
        """Watchdog and keepers are gone, and with them every worker."""
        ended: list[Ended] = [(handle, -signal.SIGKILL, None) for handle in self._running.values()]
        self.close()
        return ended


def _result_of(handle: Handle, status: int) -> JobResult | None:
    """What the worker wrote, where it ended by itself."""
    if status < 0:
        return None
    try:
        return JobResult.load(Path(handle.job.result))
    except (OSError, ValueError, TypeError):
        return None


def _import_path() -> dict[str, str]:
    """Where this package is imported from a folder that Python does not know by itself."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {} if os.path.basename(folder) in ("site-packages", "dist-packages") else {"PYTHONPATH": folder}


def _is_readable(link: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(link, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _end_watchdog(link: socket.socket, process: Any) -> None:
    """It sees the socket close, ends what runs, and goes; the same happens when this process is killed."""
    import subprocess

    link.close()
    try:
        process.wait(_SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
