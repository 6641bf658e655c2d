"""The one place that writes, links, renames and flushes for the store; faults can stand in for `Disk`."""

import errno
import os
import sys
from collections.abc import Callable, Collection, Iterable
from typing import IO

from blake3 import blake3

from spark_build.core.digest import Buffer, Digest

# Every object gets this mtime (2000-01-01): a write that happens to it later moves the mtime for certain,
# whatever the clock's granularity, and a stage's inputs look the same on every machine.
OBJECT_MTIME_NS = 946_684_800 * 10**9
OBJECT_MODE = 0o444

_NO_HARDLINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
_CHUNK_BYTES = 1 << 20
_TOGETHER_FROM = 32  # files: to flush a whole file system is to wait for what others write to it as well
_THREADS = 8  # flushing waits for the disk, which serves several at once
_FICLONE = 0x40049409  # linux/fs.h


class Disk:
    """Errors: OSError, as the system gives it."""

    def make_folder(self, folder: str) -> None:
        """`folder` with its parents; each new one is flushed into the one above."""
        self.make_folders([folder])

    def make_folders(self, folders: Iterable[str]) -> None:
        """Each with its parents; what is above new ones is flushed once for all."""
        changed = set()
        for folder in folders:
            if os.path.isdir(folder):
                continue
            parent = os.path.dirname(folder)
            self.make_folder(parent)
            try:
                os.mkdir(folder)
            except FileExistsError:
                continue
            changed.add(parent)
        for parent in changed:
            self.flush_folder(parent)

    def write_new(self, path: str, data: bytes, *, mode: int = 0o444) -> None:
        """A new file, complete and flushed, or none at all."""

        def fill(fd: int) -> None:
            _write_all(fd, data)
            os.fsync(fd)

        self._create(path, mode, fill)

    def mark(self, path: str) -> None:
        """An empty file that counts by its name, new or there already; `flush_folder` makes it last."""
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))

    def write_object(self, path: str, data: Buffer, *, flush: bool = True) -> None:
        """A new file, sealed, or none at all."""

        def fill(fd: int) -> None:
            _write_all(fd, data)
            self.seal(fd, flush=flush)

        self._create(path, OBJECT_MODE, fill)

    def write_chunks(self, path: str, chunks: Iterable[Buffer]) -> tuple[Digest, int]:
        """A new sealed file of what comes piece by piece; the digest and the size of what was written."""
        hasher, size = blake3(), 0

        def fill(fd: int) -> None:
            nonlocal size
            for chunk in chunks:
                _write_all(fd, chunk)
                hasher.update(chunk)
                size += len(chunk)
            self.seal(fd)

        self._create(path, OBJECT_MODE, fill)
        return str(hasher.hexdigest()), size

    def write_with(self, path: str, write: Callable[[IO[bytes]], None]) -> None:
        """A new file of what `write` puts into it; not flushed, for what is worth no more than doing it again."""

        def fill(fd: int) -> None:
            with os.fdopen(os.dup(fd), "wb") as file:
                write(file)

        self._create(path, 0o644, fill)

    def copy_object(self, source: str, path: str, *, flush: bool = True) -> Digest:
        """A sealed copy of a file, sharing its blocks where it can; the digest is of what was written."""
        hasher = blake3()

        def fill(fd: int) -> None:
            if _clone(source, fd):
                hasher.update_mmap(path)
            else:
                _copy_all(source, fd, hasher)
            self.seal(fd, flush=flush)

        self._create(path, OBJECT_MODE, fill)
        return str(hasher.hexdigest())

    def copy_out(self, source: str, path: str, *, mode: int) -> Digest:
        """A copy outside of the store, sharing its blocks where it can; the digest of what it holds.

        It is not flushed: the object stays, and can be copied again.
        """
        hasher = blake3()

        def fill(fd: int) -> None:
            if _clone(source, fd):
                hasher.update_mmap(path)
            else:
                _copy_all(source, fd, hasher)

        self._create(path, mode, fill)
        return str(hasher.hexdigest())

    def place(self, temporary: str, final: str) -> bool:
        """Moves a flushed file to its final name; False, and nothing moved, where something stands there."""
        placed = self.link(temporary, final)
        if placed is None:
            if os.path.lexists(final):
                return False
            os.rename(temporary, final)
            return True
        if placed:
            os.unlink(temporary)
        return placed

    def link(self, source: str, target: str) -> bool | None:
        """A hardlink: True; False where `target` exists; None where no link can be made."""
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in _NO_HARDLINKS:
                return None
            raise
        return True

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def seal(self, fd: int, *, flush: bool = True) -> None:
        """Makes an open file read-only with the objects' mtime, and flushes it."""
        os.fchmod(fd, OBJECT_MODE)
        os.utime(fd, ns=(OBJECT_MTIME_NS, OBJECT_MTIME_NS))
        if flush:
            os.fsync(fd)

    def flush_file(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def flush_folder(self, folder: str) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network file systems can't flush a folder
                error.filename = error.filename or folder  # the system does not know it any more
                raise
        finally:
            os.close(fd)

    def flush_together(self, files: Collection[str]) -> None:
        """Files and folders of one file system: many at the price of one, where the system can do that."""
        if len(files) >= _TOGETHER_FROM and _flush_file_system(next(iter(files))):
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self._flush, files))

    def _flush(self, path: str) -> None:
        (self.flush_folder if os.path.isdir(path) else self.flush_file)(path)

    def _create(self, path: str, mode: int, fill: Callable[[int], None]) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, mode)
            fill(fd)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(fd)


def _flush_file_system(path: str) -> bool:
    """The one on which `path` lies; False where the system has no call for that. Python has none of its own."""
    import ctypes

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sys.audit("spark_build.syncfs", path)
        if syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(fd)
    return True


def _clone(source: str, fd: int) -> bool:
    import fcntl

    try:
        with open(source, "rb", buffering=0) as file:
            fcntl.ioctl(fd, _FICLONE, file.fileno())
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _copy_all(source: str, fd: int, hasher: blake3) -> None:
    with open(source, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            _write_all(fd, chunk)
            hasher.update(chunk)


def _write_all(fd: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
