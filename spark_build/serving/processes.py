"""Processes as /proc shows them: who is alive, who belongs to a server, who holds a port; and their end.

Standard library only: `spark plan` asks here. Linux; elsewhere Unavailable says so.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from spark_build.core.errors import StageFailed, Unavailable

TOKEN = "SPARK_SERVER_TOKEN"  # environment variable that every process of one server inherits
_LISTENING = "0A"


@dataclass(frozen=True)
class Process:
    """A process that can't be mistaken for a later one with the same number."""

    pid: int
    started: int  # clock ticks since boot
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """None where there is no such process, or only its exit status is left of it."""
        return None if (stat := _stat(pid)) is None else cls(pid, stat.started, boot_id())

    def is_alive(self) -> bool:
        return Process.of(self.pid) == self


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def require_proc() -> None:
    if not os.path.exists("/proc/self/stat"):
        raise Unavailable(
            "deployments are looked after through /proc, which this system lacks", fix="use Linux"
        )


def end(leader: Process | None, token: str, grace_seconds: float = 10.0) -> bool:
    """Ends every process of a server: SIGTERM, after the grace SIGKILL; True where there was one.

    Its processes are those that inherited `token`, and those of the leader's session.
    Errors: StageFailed where one can't be ended.
    """
    found = set(members(leader, token))
    _send(found, signal.SIGTERM)
    remaining = _wait_until_gone(found, leader, token, grace_seconds) if found else set()
    # again and again: a child may have been made between the look and the signal
    for _ in range(20):
        if not remaining:
            return bool(found)
        _send(remaining, signal.SIGKILL)
        remaining = _wait_until_gone(remaining, leader, token, 0.5)
    stuck = ", ".join(str(process.pid) for process in remaining)
    raise StageFailed(
        f"these processes do not end: {stuck}", fix="they hang in the system; look at `ps -o stat,wchan`"
    )


def members(leader: Process | None, token: str) -> Iterator[Process]:
    session = leader.pid if leader is not None and leader.is_alive() else None
    marker, boot = f"{TOKEN}={token}".encode(), boot_id()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid() or (stat := _stat(int(name))) is None:
            continue
        if stat.session == session or marker in _environment(int(name)):
            yield Process(int(name), stat.started, boot)


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger don't count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def owner_of(port: int) -> str | None:
    """'process 4711 (python)' that listens on the port; None where it can't be seen (another user's)."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found = next((pid for pid in pids if listens(pid, port)), None)
    return None if found is None else f"process {found} ({_command(found)})"


def listens(pid: int, port: int) -> bool:
    return bool({f"socket:[{inode}]" for inode in _listening(port)} & _open_files(pid))


@dataclass(frozen=True)
class _Stat:
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # the name before may hold anything
    except OSError:
        return None
    return None if fields[0] in "ZX" else _Stat(int(fields[3]), int(fields[19]))


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _send(processes: set[Process], number: int) -> None:
    for process in processes:
        if process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def _wait_until_gone(known: set[Process], leader: Process | None, token: str, seconds: float) -> set[Process]:
    """Those of the known, and of what they made meanwhile, that are there after so many seconds."""
    deadline = time.monotonic() + seconds
    # the known are asked one by one: once the leader is gone, its session is no proof any more
    while remaining := {p for p in known if p.is_alive()} | set(members(leader, token)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return remaining


def _listening(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):  # not ours to see, or the process is gone
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):  # closed meanwhile, like the one that listed them
                found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
