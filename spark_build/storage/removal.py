"""What goes from a store for good: objects with all links to them, scratch, logs; never while a build runs."""

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from spark_build.core.digest import Digest
from spark_build.storage import leases
from spark_build.storage.objects import LocalObjects

_LOG_NAMES = ("*.log", "*.events.jsonl")


def running(store: Path) -> bool:
    """Whether somebody holds the lease of an action."""
    for work in _folders(store / "work"):
        lease = leases.take(work)
        if lease is None:
            return True
        lease.release()
    return False


def remove_objects(objects: LocalObjects, digests: Iterable[Digest]) -> None:
    """They are not there any more, and the state knows it. Errors: OSError."""
    for digest in digests:
        with suppress(FileNotFoundError):
            objects.forget(digest)
    objects.state.flush()


def size_of(objects: LocalObjects, digests: Iterable[Digest]) -> int:
    """Bytes of those that are here."""
    return sum(os.lstat(p).st_size for d in digests if os.path.lexists(p := objects.path(d)))


def views_of(objects: LocalObjects, digests: Collection[Digest], store: Path) -> list[Path]:
    """Views that hold one of these objects, or a copy of it where links can't be made."""
    inodes, sizes = set[int](), set[int]()
    for digest in digests:
        with suppress(FileNotFoundError):
            stat = os.lstat(objects.path(digest))
            inodes.add(stat.st_ino)
            sizes.add(stat.st_size)

    def holds(file: Path) -> bool:
        stat = file.lstat()
        return stat.st_ino in inodes or (stat.st_nlink == 1 and stat.st_size in sizes)

    return [view for view in _folders(store / "views") if any(map(holds, _files(view)))]


def scratch_of(store: Path, kept: Collection[Digest]) -> list[Path]:
    """What lies in work folders, but those of the actions that are `kept`."""
    return [folder for folder in _folders(store / "work") if folder.name not in kept]


def left_overs(store: Path) -> list[Path]:
    """Objects that were set aside or never finished: nobody knows what they hold, and nothing needs them."""
    return [*_files(store / "damaged"), *_files(store / "tmp")]


def logs_where(store: Path, holds: Callable[[str, bytes], bool]) -> list[Path]:
    """Logs and events of which `holds` says so, by name and content."""
    files = sorted(file for pattern in _LOG_NAMES for file in (store / "logs").glob(pattern))
    return [file for file in files if holds(file.name, file.read_bytes())]


def remove(paths: Iterable[Path]) -> None:
    """Files and folders. Errors: OSError for what can't be removed."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for folder in (path, *(f for f in path.rglob("*") if f.is_dir() and not f.is_symlink())):
                folder.chmod(0o700)  # a view's folders may be read-only
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
