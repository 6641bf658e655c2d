"""The one place that writes, links, renames and flushes for the store; faults can stand in for `Disk`."""

import errno
import os
from collections.abc import Callable

# Every object gets this mtime (2000-01-01): a write that happens to it later moves the mtime for certain,
# whatever the clock's granularity, and a stage's inputs look the same on every machine.
OBJECT_MTIME_NS = 946_684_800 * 10**9
OBJECT_MODE = 0o444

_NO_HARDLINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
_CHUNK_BYTES = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h


class Disk:
    """Errors: OSError, as the system gives it."""

    def make_folder(self, folder: str) -> None:
        """`folder` with its parents; each new one is flushed into the one above."""
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self.make_folder(parent)
        try:
            os.mkdir(folder)
        except FileExistsError:
            return
        self.flush_folder(parent)

    def write_new(self, path: str, data: bytes, *, mode: int = OBJECT_MODE) -> None:
        """A new file, complete and flushed, or none at all."""
        self._create(path, mode, lambda fd: _write_all(fd, data))

    def copy_new(
        self, source: str, path: str, *, mode: int, seen: Callable[[bytes], object] | None = None
    ) -> None:
        """A flushed copy; `seen` is given every byte that is written, in order."""

        def fill(fd: int) -> None:
            with open(source, "rb", buffering=0) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    _write_all(fd, chunk)
                    if seen is not None:
                        seen(chunk)

        self._create(path, mode, fill)

    def clone_new(self, source: str, path: str, *, mode: int) -> bool:
        """A copy that shares its blocks with `source`; False where the file system has no such thing."""
        import fcntl

        def fill(fd: int) -> None:
            with open(source, "rb", buffering=0) as file:
                fcntl.ioctl(fd, _FICLONE, file.fileno())

        try:
            self._create(path, mode, fill)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EEXIST, errno.ENOENT, errno.EACCES):
                raise
            return False
        return True

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

    def seal(self, fd: int) -> None:
        """Makes an open file read-only with the objects' mtime, and flushes it."""
        os.fchmod(fd, OBJECT_MODE)
        os.utime(fd, ns=(OBJECT_MTIME_NS, OBJECT_MTIME_NS))
        os.fsync(fd)

    def flush_folder(self, folder: str) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network file systems can't flush a folder
                raise
        finally:
            os.close(fd)

    def _create(self, path: str, mode: int, fill: Callable[[int], None]) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fill(fd)
            os.fchmod(fd, mode)
            if mode == OBJECT_MODE:
                os.utime(fd, ns=(OBJECT_MTIME_NS, OBJECT_MTIME_NS))
            os.fsync(fd)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
