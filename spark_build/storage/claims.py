"""Claims: what a process relies on in a store, so that a `store gc` beside it takes none of it away.

Whoever reuses an object touches it first, which moves its ctime; gc leaves what was touched since the oldest process
that is still at work began. Both do so under one lock: an object is touched before gc looks at it, or is gone already.
"""

import os
import stat as modes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakValueDictionary

from spark_build.storage.durable import OBJECT_MODE
from spark_build.storage.turns import is_still, taken, turn

SLACK_NS = 60 * 10**9  # between two processes: a clock may have been set back meanwhile


class Presence:
    """That a process is at work in a store: a locked file. It is over when nobody keeps it, or the process is gone."""

    def __init__(self, store: str) -> None:
        self._process = os.getpid()
        self.path = f"{_folder(store)}/{self._process}-{os.urandom(4).hex()}"
        self._fd = taken(self.path)
        while self._fd is not None and not is_still(self.path, self._fd):
            os.close(self._fd)  # gc took it for a dead one's before it was locked
            self._fd = taken(self.path)

    @property
    def began(self) -> int:
        """ns, by the file system's clock; 0 where the store can't be written."""
        return 0 if self._fd is None else os.fstat(self._fd).st_ctime_ns

    def end(self) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            return
        if os.getpid() == self._process:  # a fork of it has the file open as well
            with suppress(OSError):
                os.unlink(self.path)
        os.close(fd)

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be half gone
            self.end()


_PRESENCES: "WeakValueDictionary[tuple[int, str], Presence]" = (
    WeakValueDictionary()
)  # by process, for it may be forked


def presence(store: str) -> Presence:
    """That this process is at work in the store from now on, as long as somebody keeps it."""
    found = _PRESENCES.get((os.getpid(), store))
    if found is None:
        found = _PRESENCES[os.getpid(), store] = Presence(store)
    return found


@contextmanager
def present(store: str) -> Iterator[None]:
    """It is at work there within the block."""
    kept = presence(store)
    yield
    del kept


def touch(paths: Iterable[str]) -> None:
    """To be done while `deciding`. Moves nothing but their ctime: by size and mtime damage is found."""
    for path in paths:
        with suppress(OSError):
            if modes.S_ISREG(os.lstat(path).st_mode):
                os.chmod(path, OBJECT_MODE)


@contextmanager
def deciding(store: str) -> Iterator[None]:
    """Within the block gc takes nothing; it is to be a short one, of a process that is present."""
    with turn(_sweep_file(store), is_shared=True):
        yield


@contextmanager
def sweeping(store: str) -> Iterator[None]:
    """Within the block nobody claims anything; it is to be a short one."""
    with turn(_sweep_file(store)):
        yield


def untouched_before(store: str) -> int:
    """What was last touched before this time (ns) nobody at work relies on, unless it is needed by what can be read.

    It is asked before that is read: whoever ends meanwhile has it written by then.
    """
    stamp = Presence(store)
    try:
        others = [began for file in _files(store) if file != stamp.path and (began := _began(file))]
        return min([stamp.began, *(began - SLACK_NS for began in others)])
    finally:
        stamp.end()


def _began(file: str) -> int | None:
    """When the process began whose presence this is; None where it is gone."""
    try:
        began = os.stat(file).st_ctime_ns
        fd = taken(file, waits=False)
    except BlockingIOError:
        return began
    except OSError:
        return None
    if fd is not None:
        with suppress(OSError):
            os.unlink(file)
        os.close(fd)
    return None


def _files(store: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(_folder(store))]
    except FileNotFoundError:
        return []


def _folder(store: str) -> str:
    return f"{store}/present"


def _sweep_file(store: str) -> str:
    return f"{store}/sweep-turn"
