"""Turns: who reads a file, changes it and writes it again is alone with it meanwhile."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def turn(file: str, *, is_shared: bool = False) -> Iterator[None]:
    """Waits until nobody else has the turn at `file`, which is made and stays; the system ends a dead one's.

    Those who share it keep out none but who wants it alone. Where it can't be made, or the file system knows no locks,
    nobody is kept out.
    """
    fd = taken(file, is_shared=is_shared)
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


def taken(file: str, *, is_shared: bool = False, waits: bool = True) -> int | None:
    """An open file, the turn at which ends when it is closed; None where there is none to be had.

    Errors: BlockingIOError where another has it, and who asks does not wait.
    """
    try:
        fd = _opened(file)
    except OSError:
        return None
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(fd)
        raise
    except OSError:
        os.close(fd)
        return None
    return fd


def _opened(file: str) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def is_still(file: str, fd: int) -> bool:
    """Whether the open file is the one that has this name: the lock of a file without a name protects nothing."""
    mine = os.fstat(fd)
    try:
        named = os.stat(file)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)
