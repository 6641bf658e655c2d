"""What belongs to no result that stays, and is old: memo, scratch, logs, views, damaged and unfinished files."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from spark_build.core.digest import Digest
from spark_build.core.record import Record
from spark_build.core.values import Struct
from spark_build.storage import leases
from spark_build.storage.durable import Disk
from spark_build.storage.guarded_memo import NOTE
from spark_build.storage.jottings import is_being_written
from spark_build.storage.objects import LEFT_OVER_SECONDS
from spark_build.storage.removal import remove


class Leftover(Struct, frozen=True):
    kind: str  # memo scratch logs views damaged tmp
    path: str  # a file, or a folder with all that is in it
    bytes: int  # of files that have no name besides


class Stays(Struct, frozen=True):
    """What the leftovers of a store are told by."""

    records: Collection[Record]
    actions: Collection[Digest]  # that may go on from their scratch
    views: Collection[str]
    since: float  # POSIX seconds; what was used since then is young


def leftovers(store: str, stays: Stays) -> Iterator[Leftover]:
    yield from _memo(store, stays)
    yield from _scratch(store, stays)
    yield from _logs(store, stays)
    yield from _views(store, stays)
    yield from _came_before(f"{store}/damaged", "damaged", stays.since)
    yield from _came_before(f"{store}/tmp", "tmp", time.time() - LEFT_OVER_SECONDS)


def take_away(leftover: Leftover, disk: Disk) -> bool:
    """False where somebody works with it just now."""
    if leftover.kind == "scratch":
        return _take_scratch(leftover.path)
    if leftover.kind == "memo":
        return _take_memo(leftover.path, disk)
    remove([Path(leftover.path)])
    return True


def _take_memo(folder: str, disk: Disk) -> bool:
    """The folder stays: somebody may be about to write into it."""
    if is_being_written(Path(folder)):
        return False
    for name in _names(folder):
        with suppress(FileNotFoundError):
            disk.remove(f"{folder}/{name}")
    return True


def _take_scratch(work: str) -> bool:
    lease = leases.take(work)
    if lease is None:
        return False
    try:
        remove(Path(work, name) for name in _names(work) if name != leases.LOCK_FILE)
    finally:
        lease.release()
    return True


def _memo(store: str, stays: Stays) -> Iterator[Leftover]:
    """Of operations that no result which stays has asked; one that was spliced from the last may have asked none."""
    asked = {operation for record in stays.records for operation in record.notes.get(NOTE, ())}
    for operation in sorted({*_names(f"{store}/memo")} - asked):
        folder = f"{store}/memo/{operation}"
        files = [f"{folder}/{name}" for name in _names(folder)]
        if files and _newest(files) < stays.since:
            yield Leftover("memo", folder, _size(folder))


def _scratch(store: str, stays: Stays) -> Iterator[Leftover]:
    """Of attempts that failed or were killed: the next one of the same action goes on from there."""
    for key in sorted(_names(f"{store}/work")):
        work = f"{store}/work/{key}"
        if key in stays.actions or _newest(_all_in(work)) >= stays.since:
            continue
        if not leases.is_held(work):
            yield Leftover("scratch", work, _size(work))


def _logs(store: str, stays: Stays) -> Iterator[Leftover]:
    named = {name for record in stays.records for name in (record.log, record.events)}
    for name in sorted(_names(f"{store}/logs")):
        path = f"{store}/logs/{name}"
        if name not in named and _newest([path]) < stays.since:
            yield Leftover("logs", path, _size(path))


def _views(store: str, stays: Stays) -> Iterator[Leftover]:
    for name in sorted(_names(f"{store}/views")):
        view = f"{store}/views/{name}"
        if name not in stays.views and _newest([view]) < stays.since:
            yield Leftover("views", view, _size(view))


def _came_before(folder: str, kind: str, when: float) -> Iterator[Leftover]:
    """By ctime, for the mtime of a sealed file tells nothing."""
    for name in sorted(_names(folder)):
        with suppress(FileNotFoundError):
            if os.lstat(path := f"{folder}/{name}").st_ctime < when:
                yield Leftover(kind, path, _size(path))


def _newest(paths: Collection[str]) -> float:
    """When the last of these was changed; -inf where none is there."""
    times = [float("-inf")]
    for path in paths:
        with suppress(FileNotFoundError):
            times.append(os.lstat(path).st_mtime)
    return max(times)


def _size(path: str) -> int:
    size = 0
    for file in _all_in(path) if os.path.isdir(path) else [path]:
        with suppress(FileNotFoundError):
            stat = os.lstat(file)
            size += stat.st_size if stat.st_nlink == 1 and not os.path.isdir(file) else 0
    return size


def _all_in(folder: str) -> list[str]:
    """Files and folders, the folder itself among them."""
    found = [folder] if os.path.isdir(folder) else []
    for parent, folders, names in os.walk(folder):
        found += [f"{parent}/{name}" for name in (*folders, *names)]
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
