"""Leases: the same action runs once, in this process or another; free at once when all holders are dead."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from spark_build.core.digest import Digest
from spark_build.core.disk import disk_problems
from spark_build.storage.turns import is_still

LOCK_FILE = "lock"


class LocalLeases:
    """The leases of a store, by action."""

    def __init__(self, store: Path | str) -> None:
        self._work = os.path.join(store, "work")

    def acquire(self, key: Digest, *, is_shared: bool = True) -> "Lease | None":
        """None while somebody else has it. Never waits. Whether its result leaves this machine does not matter."""
        return take(os.path.join(self._work, key))

    def holder(self, key: Digest) -> str:
        try:
            text = Path(self._work, key, LOCK_FILE).read_text()
        except OSError:
            text = ""
        return f"another build (process {text})" if text.isdigit() else "another build"

    def hurry(self) -> None:
        """Nothing is waited for."""


class Lease:
    """A held lock. Its descriptor may be handed on: it lasts until every copy is closed, or `release`."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd: int | None = fd

    def fileno(self) -> int:
        if self._fd is None:
            raise ValueError("BUG: the lease was released already")
        return self._fd

    @property
    def is_held(self) -> bool:
        return self._fd is not None

    def release(self) -> None:
        """Gives the lock up for all copies of the descriptor; its folder goes where nothing else is in it."""
        if self._fd is not None:
            with suppress(OSError):  # what is left of a failed stage stays
                os.unlink(self.path)
                os.rmdir(os.path.dirname(self.path))
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = None


def is_held(work: Path | str) -> bool:
    """Whether somebody has the lease of the action that works there. Leaves no trace."""
    try:
        fd = os.open(os.path.join(work, LOCK_FILE), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    is_free = _lock(fd)
    os.close(fd)
    return not is_free


def take(work: Path | str) -> Lease | None:
    """The lease of an action by its work folder; None where another holds it."""
    path = os.path.join(work, LOCK_FILE)
    with disk_problems(path):
        while True:
            try:
                os.makedirs(work, exist_ok=True)
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except (FileNotFoundError, FileExistsError):
                if os.path.isfile(work):
                    raise
                continue  # the work folder was removed in between
            if not _lock(fd):
                os.close(fd)
                return None
            if is_still(path, fd):
                os.ftruncate(fd, 0)
                os.pwrite(fd, str(os.getpid()).encode(), 0)
                return Lease(path, fd)
            os.close(fd)  # removed by the one who held it: the lock of a file without a name protects nothing


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return False
        os.close(fd)
        raise
    return True
