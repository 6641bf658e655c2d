"""Takes a finished attempt into the store: nothing of it counts before all of it is flushed."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from spark_build.core.digest import Digest, digest_file
from spark_build.core.disk import disk_problems
from spark_build.core.errors import BadInput, StoreDamaged
from spark_build.core.files import remove_folder
from spark_build.core.tree import Entry, Tree

if TYPE_CHECKING:
    from spark_build.storage.objects import LocalObjects

_THREADS_FROM_FILES = 8
_THREADS = 8  # flushing waits for the disk, which serves several at once


def take_in(objects: "LocalObjects", folder: str, others: Sequence[Entry] = ()) -> Tree:
    """The folder's tree, its files now objects and its listing one too; `folder` is gone.

    `others` are entries besides, of objects that are here already.

    Until then `folder` stays whole, so that a full disk costs nothing but another attempt to take it in.
    """
    with disk_problems(folder):
        paths = sorted(_files_of(folder, ""))
        taken = _each(lambda path: _take_file(objects, folder, path), paths)
        _check_others(objects, others)
        tree = Tree.of([*(entry for entry, _ in taken), *others])
        objects.write(tree.listing)
        # after the listing, which has flushed its own: what goes to the disk at once is waited for once
        for parent in sorted({os.path.dirname(objects.path(e.digest)) for e, is_new in taken if is_new}):
            objects.disk.flush_folder(parent)
        objects.state.flush_now_and_then()
        remove_folder(folder)
    return tree


def _check_others(objects: "LocalObjects", others: Sequence[Entry]) -> None:
    unsound = set(objects.claim({entry.digest for entry in others}))
    for entry in others:
        if entry.digest in unsound:
            raise StoreDamaged(
                f"{entry.path} ({entry.digest[:12]}) is not in the store any more, or was changed there",
                fix="run it again: what is missing or damaged is read or built anew",
            )


def _files_of(folder: str, prefix: str) -> Iterator[str]:
    with os.scandir(os.path.join(folder, prefix)) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _files_of(folder, f"{path}/")
            else:
                _refuse_what_is_no_file(entry, path)
                yield path


def _refuse_what_is_no_file(entry: "os.DirEntry[str]", path: str) -> None:
    if entry.is_symlink():
        raise BadInput(
            f"the result holds a link: {_told(path)} -> {_told(os.readlink(entry.path))}",
            fix="write the file itself; links can't be kept",
        )
    if not entry.is_file(follow_symlinks=False):
        raise BadInput(f"the result holds {_told(path)}, which is no file", fix="leave only files behind")
    if _told(path) != path:
        raise BadInput(f"the result holds {_told(path)}, whose name is not UTF-8", fix="use another name")


def _take_file(objects: "LocalObjects", folder: str, path: str) -> tuple[Entry, bool]:
    """The file's entry, and whether its content is new to the store."""
    location = os.path.join(folder, path)
    fd = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        stat = os.fstat(fd)
        digest = digest_file(location, stat.st_size)
        after = os.fstat(fd)
        if (stat.st_size, stat.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise _changed(path)
        is_new = bool(objects.claim([digest]))
        if is_new:
            _add(objects, location, fd, stat, digest, path)
    finally:
        os.close(fd)
    return Entry(path, stat.st_size, digest, bool(stat.st_mode & 0o100)), is_new


def _add(
    objects: "LocalObjects", location: str, fd: int, stat: os.stat_result, digest: Digest, path: str
) -> None:
    temporary = objects.temporary()
    try:
        # Another name of this file may be a user's own, and the mode of an executable must outlive a second
        # attempt: of both the store takes a copy, and touches nothing.
        is_linked = False
        if stat.st_nlink == 1 and not stat.st_mode & 0o100:
            objects.disk.seal(fd)
            is_linked = bool(objects.disk.link(location, temporary))
        if not is_linked:
            _copy(objects, location, temporary, digest, path)
        objects.place(temporary, digest, stat.st_size)
    except BaseException:
        remove_if_there(objects, temporary)
        raise


def _copy(objects: "LocalObjects", location: str, temporary: str, digest: Digest, path: str) -> None:
    if objects.disk.copy_object(location, temporary) != digest:
        raise _changed(path)


def _changed(path: str) -> BadInput:
    return BadInput(
        f"{path} changed while it was being stored",
        fix="a process of the stage still writes to it; wait for it before the stage ends",
    )


def _each(take: Callable[[str], tuple[Entry, bool]], paths: list[str]) -> list[tuple[Entry, bool]]:
    if len(paths) < _THREADS_FROM_FILES:
        return [take(path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(_THREADS)
    try:
        return list(pool.map(take, paths))
    finally:
        pool.shutdown(cancel_futures=True)


def _told(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def remove_if_there(objects: "LocalObjects", path: str) -> None:
    with suppress(FileNotFoundError):
        objects.disk.remove(path)
