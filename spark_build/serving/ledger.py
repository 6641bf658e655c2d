"""What is noted of a deployment in `<folder>/<name>.json`: which process serves what, and is it still so.

Standard library only: `spark plan` asks here.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spark_build.core.disk import disk_problems
from spark_build.serving.processes import Process, end

HEALTH_SECONDS = 2.0
CHILDREN: dict[int, Any] = {}  # servers that this very process started, by pid (subprocess.Popen)


@dataclass(frozen=True)
class Entry:
    """A server as it was started; enough to know it again, and to start it once more."""

    token: str  # all of its processes inherit it
    process: Process | None  # None: about to be started
    server_impl: str
    params: Mapping[str, Any]
    model: str
    model_digest: str
    settings_digest: str
    host: str
    port: int
    since: str  # ISO 8601, UTC

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def is_alive(self) -> bool:
        return self.process is not None and not _has_exited(self.process.pid) and self.process.is_alive()

    def is_healthy(self) -> bool:
        """It answers HTTP, and where it says which model it serves, it is this one."""
        status, body = get(self.host, self.port, "/health")
        told = body.get("model_digest", self.model_digest)
        return status is not None and status < 500 and bool(told == self.model_digest)

    def end(self) -> bool:
        """All of its processes; True where there were any. Errors: StageFailed where one can't be ended."""
        ended = end(self.process, self.token)
        if self.process is not None:
            _has_exited(self.process.pid)
        return ended


@dataclass(frozen=True)
class Noted:
    serving: Entry | None = None
    # noted before its process is made, and until its last one is gone: a killed command leaves no orphan
    passing: Entry | None = None  # starting or stopping; ended by the next command that finds it

    @property
    def entries(self) -> list[Entry]:
        return [entry for entry in (self.serving, self.passing) if entry is not None]


def read(folder: Path, name: str) -> Noted:
    """What is noted; nothing where the file is absent or no text of ours."""
    try:
        data = json.loads(path_of(folder, name).read_text(encoding="utf-8"))
        return Noted(_entry(data["serving"]), _entry(data["passing"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Noted()


def write(folder: Path, name: str, noted: Noted) -> None:
    """Readable by its owner alone: params may hold a secret."""
    path = path_of(folder, name)
    with disk_problems(str(path)):
        beside = path.with_name(f"{path.name}.new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"version": 1, **asdict(noted)}, file, indent=1)
        beside.replace(path)


def path_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def log_of(folder: Path, name: str) -> Path:
    return folder / "logs" / f"{name}.log"


@contextmanager
def locked(folder: Path, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Commands at once act one after the other; the lock is free at once when its holder dies."""
    import fcntl

    with disk_problems(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / f"{name}.lock", "w")  # noqa: SIM115 - held until the end of the block
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def get(host: str, port: int, path: str) -> tuple[int | None, dict[str, Any]]:
    """Status and JSON body of a GET; (None, {}) where nobody answers."""
    import socket  # not http.client: that takes 12 ms to import

    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode()
    try:
        with socket.create_connection((host, port), timeout=HEALTH_SECONDS) as connection:
            connection.sendall(request)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
    except (OSError, ValueError, IndexError):
        return None, {}
    try:
        found = json.loads(body)
    except ValueError:
        found = {}
    return status, found if isinstance(found, dict) else {}


def _entry(data: dict[str, Any] | None) -> Entry | None:
    if data is None:
        return None
    process = data["process"]
    return Entry(**{**data, "process": None if process is None else Process(**process)})


def _has_exited(pid: int) -> bool:
    """Where it is a child of ours: takes its exit status, so that no zombie stays."""
    child = CHILDREN.get(pid)
    return child is not None and child.poll() is not None
