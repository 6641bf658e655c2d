"""Counts what Python does below a folder and asks of a bucket, and makes one of these calls fail.

It is put beside a package as `sitecustomize.py`, so that every process of a build has it; `faults.json` beside it says
where and what: a kill, or an error of the disk. Points are found by Python's own audit events, by the calls that have
none (write, fsync, stat; files that are opened to be written write through it), and by every function of obstore, in
whatever module they stand. `counts` is "writes" (with requests, each before it is sent and once it is answered),
"flushes" (these, with what each flushed file holds) or "reads".
"""

import base64
import builtins
import errno
import fcntl
import io
import json
import os
import re
import signal
import sys
from _thread import _local

_HERE = os.path.dirname(os.path.abspath(__file__))
_OPENS_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# event -> where its paths stand among its arguments, and where the folder's descriptor of each
_WRITES = {
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
_READS = {"os.listdir": 0, "os.scandir": 0, "mmap.__new__": 0}
_WRITE, _FSYNC, _FDATASYNC = os.write, os.fsync, os.fdatasync
_PWRITE, _OPEN = os.pwrite, open
_STAT, _LSTAT, _READ, _PREAD = os.stat, os.lstat, os.read, os.pread
# SQLite's own: an index that counts for nothing, written by no call of Python's
_LEFT_OUT = re.compile(r".*/\.spark/state[^/]*\.db(-journal|-wal|-shm)?")


class Layer:
    def __init__(self, told):
        self.folder, self.log = told["folder"], told["log"]
        self.at, self.how, self.reads = told["at"], told["how"], told["counts"] == "reads"
        self.keeps = told["counts"] == "flushes"
        self._own = _local()  # by thread: whether it is the layer itself that asks

    def hear(self, event, args):
        if event == "open":
            path, _, flags = args
            writes = isinstance(flags, int) and flags & _OPENS_TO_WRITE
            if self.reads and not writes:
                self.point("open", [path])
            elif writes and not self.reads:
                self.point("open", [path], changes=lambda: bool(flags & os.O_TRUNC) or not _is_there(path))
        elif event in _WRITES and not self.reads:
            paths = [_at(args, *where) for where in _WRITES[event]]
            self.point(event, paths, changes=lambda: _changes(event, args, paths[0]))
        elif event in _READS and self.reads:
            self.point("fd.mmap" if event.startswith("mmap") else event, [args[_READS[event]]])
        elif event == "spark_build.syncfs" and not self.reads:  # of the file system on which the path lies
            self.point("syncfs", args, changes=lambda: False)

    def point(self, name, paths, half=lambda: None, *, changes=lambda: True):
        """One more call; `half` does a part of one that has parts. `changes`: whether files tell that it was done."""
        if getattr(self._own, "is_busy", False):
            return
        self._own.is_busy = True
        try:
            found = [path for path in map(_text, paths) if path and self._counts(path)]
            if found:
                self._reach(name, found, half, changes)
        finally:
            self._own.is_busy = False

    def flush(self, name, fd):
        path = _of_descriptor(fd)
        if self.keeps and os.path.isfile(path) and self._counts(path):
            with _OPEN(path, "rb") as file:
                name = f"{name}={base64.b64encode(file.read()).decode()}"
        self.point(name, [fd], changes=lambda: False)

    def request(self, name, path):
        """One more request, or its answer; no error of the disk is one of theirs."""
        if self._note(name, [path]) and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    def _reach(self, name, found, half, changes):
        if self._note(name if changes() else f"({name})", found):
            self._fail(name, half, found[0])

    def _counts(self, path):
        return f"{path}/".startswith(f"{self.folder}/") and not _LEFT_OUT.fullmatch(path)

    def _note(self, name, paths):
        """Whether it is the one of all processes that is to fail: the `at`th, or the first that begins with `at`."""
        line = f"{name}\t{_place()}\t{chr(9).join(paths)}\n"
        fd = os.open(self.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            before = _PREAD(fd, 1 << 30, 0)
            _WRITE(fd, line.encode())
        finally:
            os.close(fd)
        if isinstance(self.at, str):
            return line.startswith(self.at) and f"\n{self.at}".encode() not in b"\n" + before
        return before.count(b"\n") + 1 == self.at

    def _fail(self, name, half, path):
        if self.how == "kill":
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.how)
        if name.startswith("fd."):  # the system knows no path of theirs
            raise OSError(code, os.strerror(code))
        raise OSError(code, os.strerror(code), path)


def _at(args, path, folder):
    given = args[path]
    if isinstance(given, int):
        return _of_descriptor(given)
    if folder is not None and folder < len(args) and isinstance(args[folder], int) and args[folder] >= 0:
        return os.path.join(_of_descriptor(args[folder]), os.fsdecode(given))
    return given


def _is_there(path):
    try:
        _LSTAT(_text(path))
    except OSError:
        return False
    return True


def _changes(event, args, path):
    """Whether it leaves anything behind that was not so before."""
    if event == "os.mkdir":
        return not _is_there(path)
    if event in ("os.remove", "os.rmdir"):
        return _is_there(path)
    if event == "os.chmod" and _is_there(path):
        return _LSTAT(_text(path)).st_mode & 0o7777 != args[1]
    return True


def _text(path):
    if path is None or isinstance(path, int):
        return _of_descriptor(path) if path is not None else ""
    try:
        return os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError):
        return ""


def _of_descriptor(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _place():
    """The lines of the package, and of rules, that the call comes from: the nearest three."""
    frame, lines = sys._getframe(1), []
    while frame is not None and len(lines) < 3:
        file = frame.f_code.co_filename
        if file != __file__ and not file.startswith((sys.base_prefix, "<")):
            lines.append(f"{os.path.basename(file)}:{frame.f_lineno}")
        frame = frame.f_back
    return "<".join(lines)


def _wrap(layer):
    def write(fd, data):
        layer.point("fd.write", [fd], lambda: _WRITE(fd, memoryview(data)[: len(data) // 2]))
        return _WRITE(fd, data)

    def fsync(fd):
        layer.flush("fd.fsync", fd if isinstance(fd, int) else fd.fileno())
        return _FSYNC(fd)

    def fdatasync(fd):
        layer.flush("fd.fdatasync", fd)
        return _FDATASYNC(fd)

    def pwrite(fd, data, offset):
        layer.point("fd.pwrite", [fd], lambda: _PWRITE(fd, memoryview(data)[: len(data) // 2], offset))
        return _PWRITE(fd, data, offset)

    os.write, os.pwrite, os.fsync, os.fdatasync = write, pwrite, fsync, fdatasync
    builtins.open = io.open = _opening(layer)


def _opening(layer):
    """`open`, whose files tell of each write to the disk, however much came together before it."""

    class Raw(io.FileIO):
        def write(self, data):
            half = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
            layer.point("fd.write", [self.fileno()], lambda: _WRITE(self.fileno(), half))
            return super().write(data)

        def truncate(self, size=None):
            layer.point("os.truncate", [self.fileno()])
            return super().truncate(size)

    def opened(
        file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None
    ):
        if not set(mode) & set("wax+"):
            return _OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        binary = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        if "b" in mode:
            return binary
        text = io.TextIOWrapper(binary, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode
        return text

    return opened


def _wrap_reads(layer):
    def stat(path, *, dir_fd=None, follow_symlinks=True):
        layer.point("stat", [_at((path, dir_fd), 0, 1)])
        return _STAT(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def lstat(path, *, dir_fd=None):
        layer.point("lstat", [_at((path, dir_fd), 0, 1)])
        return _LSTAT(path, dir_fd=dir_fd)

    def read(fd, length):
        layer.point("fd.read", [fd])
        return _READ(fd, length)

    def pread(fd, length, offset):
        layer.point("fd.pread", [fd])
        return _PREAD(fd, length, offset)

    for mine, its in ((stat, _STAT), (lstat, _LSTAT)):  # who asks what a system can do looks for it there
        for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if its in able:
                able.add(mine)
    os.stat, os.lstat, os.read, os.pread = stat, lstat, read, pread


class _Changed:
    """Finds a module as it is found anyway, and changes it once it is loaded."""

    def __init__(self, changes):
        self.changes = changes

    def find_spec(self, name, path=None, target=None):
        if name not in self.changes:
            return None
        change = self.changes.pop(name)  # so that the others find it
        from importlib.util import find_spec

        spec = find_spec(name)
        run = spec.loader.exec_module

        def run_and_change(module):
            run(module)
            change(module)

        spec.loader.exec_module = run_and_change
        return spec


def _with_requests(layer):
    """obstore's functions, whichever they are: each a request before it is sent, and its answer."""

    def counted(name, ask):
        only_reads = name.startswith(("get", "head", "list"))  # leaves the bucket as it is

        def asked(*args, **rest):
            path = next((f"s3:{one}" for one in args if isinstance(one, str)), "s3:")
            layer.request(f"(request {name})" if only_reads else f"request {name}", path)
            try:
                return ask(*args, **rest)
            finally:
                layer.request(f"(answer {name})", path)

        return asked

    def change(module):
        for name, found in list(vars(module).items()):
            if type(found) is type(len) and not name.startswith("_") and not name.endswith("_async"):
                setattr(module, name, counted(name, found))

    return change


def _with_constants(values):
    return lambda module: [setattr(module, name, value) for name, value in values.items()]


def _begin():
    try:
        with _OPEN(f"{_HERE}/faults.json") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return
    changes = {name: _with_constants(values) for name, values in told["constants"].items()}
    if told["log"]:
        layer = Layer(told)
        if layer.reads:
            _wrap_reads(layer)
        else:
            _wrap(layer)
            changes["obstore"] = _with_requests(layer)
        sys.addaudithook(layer.hear)
    sys.meta_path.insert(0, _Changed(changes))


if __name__ == "sitecustomize":
    _begin()
