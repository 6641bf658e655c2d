"""Turns: who reads a file, changes it and writes it again is alone with it meanwhile."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def turn(file: str) -> Iterator[None]:
    """Waits until nobody else has the turn at `file`, which is made and stays; the system ends a dead one's.

    Where it can't be made, or the file system knows no locks, nobody is kept out.
    """
    fd = _taken(file)
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


def _taken(file: str) -> int | None:
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError:
        os.close(fd)
        return None
    return fd
