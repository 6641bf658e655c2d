"""A real server beside the tests: the first process that asks starts it, it ends with the last, however that one ended.

Each user holds a shared lock on a file, which the system takes back when the process ends, killed or not. The keeper, a
process of its own, waits for all of that lock, and then ends the server. The server's processes die with the keeper.
"""

import fcntl
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.services.service import Service, User

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 180.0  # on a machine with much else to do; Ceph takes 2 to 3 on an idle one


class NotStarted(Exception):
    """With what the server said before it gave up."""


@contextmanager
def shared(kind: str, folder: Path) -> Iterator[Service]:
    """The server of the module tests.services.<kind> that all share who name the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    starting = _locked(folder / "starting", fcntl.LOCK_EX)
    users = _locked(folder / "users", fcntl.LOCK_SH)  # waits where a keeper is about to end
    try:
        if not _is_kept(folder):
            _start(kind, folder)
        os.close(starting)
        yield _parsed(_told(folder).read_text())
    finally:
        os.close(users)


def _is_kept(folder: Path) -> bool:
    if not _told(folder).exists():
        return False
    try:
        os.close(_locked(folder / "keeper", fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    _told(folder).unlink()  # the keeper was killed, and what it kept with it
    return False


def _start(kind: str, folder: Path) -> None:
    log = folder / "log.txt"
    with log.open("w") as out:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.services.keeper", kind, str(folder)],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS
    while not _told(folder).exists():
        if keeper.poll() is not None:
            raise NotStarted(f"{kind}: {log.read_text()[-4000:]}")
        if time.monotonic() > deadline:
            keeper.terminate()
            raise NotStarted(f"{kind} is not up after {START_SECONDS:.0f} s: {log.read_text()[-4000:]}")
        time.sleep(0.02)


def _keep(kind: str, folder: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _locked(folder / "keeper", fcntl.LOCK_EX)
    with importlib.import_module(f"tests.services.{kind}").running() as service:
        _tell(folder, service)
        try:
            _locked(folder / "users", fcntl.LOCK_EX)  # kept until this process has ended
        finally:
            _told(folder).unlink()


def _locked(file: Path, how: int) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _told(folder: Path) -> Path:
    return folder / "told.json"


def _tell(folder: Path, service: Service) -> None:
    unfinished = folder / "telling.json"
    unfinished.write_text(json.dumps(asdict(service)))
    unfinished.rename(_told(folder))


def _parsed(text: str) -> Service:
    read = json.loads(text)
    return Service(**{**read, "users": {name: User(**user) for name, user in read["users"].items()}})


if __name__ == "__main__":
    _keep(sys.argv[1], Path(sys.argv[2]))
