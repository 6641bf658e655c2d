"""Counts what Python writes below a folder, and makes one of these calls fail: a kill, or an error of the disk.

It is put beside a package as `sitecustomize.py`, so that every process of a build has it; `faults.json` beside it says
where and what. Points are found by Python's own audit events and by the calls that have none (write, fsync), in
whatever module they stand.
"""

import errno
import fcntl
import json
import os
import signal
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_OPENS_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# event -> how many of its arguments are paths, and where the folder's descriptor of each stands
_EVENTS = {
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),),
    "os.utime": ((0, 3),),
    "os.truncate": ((0, None),),
}
_OF_DESCRIPTORS = ("write", "fsync", "fdatasync")


class Layer:
    def __init__(self, told):
        self.folder, self.log = told["folder"], told["log"]
        self.at, self.how, self.only = told.get("at"), told.get("how", "kill"), told.get("only")
        self.left_out = tuple(f"{self.folder}/{name}" for name in told.get("left_out", ()))
        self._is_busy = False

    def hear(self, event, args):
        if self._is_busy:
            return
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _OPENS_TO_WRITE:
                self.point("open", [path], changes=bool(flags & os.O_TRUNC) or not _is_there(path))
        elif event in _EVENTS:
            paths = [_at(args, *where) for where in _EVENTS[event]]
            self.point(event, paths, changes=_changes(event, args, paths[0]))

    def point(self, name, paths, half=lambda: None, *, changes=True):
        """One more call; `half` does a part of one that has parts. `changes`: whether files tell that it was done."""
        found = [path for path in map(_text, paths) if path and self._counts(path)]
        if not found:
            return
        self._is_busy = True
        try:
            number = self._note(name if changes else f"({name})", found)
            if self.at is not None and number == self.at:
                self._fail(name, half, found[0])
        finally:
            self._is_busy = False

    def _counts(self, path):
        return f"{path}/".startswith(f"{self.folder}/") and not path.startswith(self.left_out)

    def _note(self, name, paths):
        """Which call of all processes it is, from 1."""
        line = f"{name}\t{os.getpid()}\t{chr(9).join(paths)}\n".encode()
        fd = os.open(self.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            number = os.pread(fd, 1 << 30, 0).count(b"\n") + 1
            _WRITE(fd, line)
            return number
        finally:
            os.close(fd)

    def _fail(self, name, half, path):
        if self.how == "kill":
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.how)
        if name in _OF_DESCRIPTORS:  # the system knows no path of theirs
            raise OSError(code, os.strerror(code))
        raise OSError(code, os.strerror(code), path)


_WRITE, _FSYNC, _FDATASYNC = os.write, os.fsync, os.fdatasync


def _at(args, path, folder):
    given = args[path]
    if isinstance(given, int):
        return _of_descriptor(given)
    if folder is not None and folder < len(args) and isinstance(args[folder], int) and args[folder] >= 0:
        return os.path.join(_of_descriptor(args[folder]), os.fsdecode(given))
    return given


def _is_there(path):
    return os.path.lexists(_text(path))


def _changes(event, args, path):
    """Whether it leaves anything behind that was not so before."""
    if event == "os.mkdir":
        return not _is_there(path)
    if event in ("os.remove", "os.rmdir"):
        return _is_there(path)
    if event == "os.chmod" and _is_there(path):
        return os.lstat(_text(path)).st_mode & 0o7777 != args[1]
    return True


def _text(path):
    if path is None or isinstance(path, int):
        return _of_descriptor(path) if path is not None else ""
    return os.path.abspath(os.fsdecode(path))


def _of_descriptor(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _wrap(layer):
    def write(fd, data):
        layer.point("write", [fd], lambda: _WRITE(fd, memoryview(data)[: len(data) // 2]))
        return _WRITE(fd, data)

    def fsync(fd):
        layer.point("fsync", [fd if isinstance(fd, int) else fd.fileno()], changes=False)
        return _FSYNC(fd)

    def fdatasync(fd):
        layer.point("fdatasync", [fd], changes=False)
        return _FDATASYNC(fd)

    os.write, os.fsync, os.fdatasync = write, fsync, fdatasync


def _begin():
    try:
        with open(f"{_HERE}/faults.json") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return
    layer = Layer(told)
    _wrap(layer)
    sys.addaudithook(layer.hear)


if __name__ == "sitecustomize":
    _begin()
