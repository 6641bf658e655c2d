"""Lays a tree out in a folder: read-only links for stages, copies of their own for users."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_build.core.disk import disk_problems
from spark_build.core.errors import BadInput, StoreDamaged
from spark_build.core.tree import Entry, Tree

if TYPE_CHECKING:
    from spark_build.storage.objects import LocalObjects


def lay_out(objects: "LocalObjects", tree: Tree, to: str, *, link: bool) -> None:
    """The whole tree under `to`, which must be absent or empty; where anything fails, nothing.

    Errors: StoreDamaged where an object is absent or damaged; BadInput where `to` holds something.
    """
    _refuse_hostile_paths(tree)
    beside = f"{to}.part-{os.getpid()}-{os.urandom(3).hex()}"
    with disk_problems(to), _named(to, beside):
        if os.path.isdir(to) and os.listdir(to):
            raise BadInput(f"{to} is not empty", fix="name an empty folder, or one that is not there yet")
        os.makedirs(beside)
        try:
            _fill(objects, tree, beside, link)
            os.rename(beside, to)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


@contextmanager
def _named(to: str, beside: str) -> Iterator[None]:
    """What the system refuses is told of the folder that was asked for, not of the one beside it."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str):
            error.filename = error.filename.replace(beside, to)
        raise


def changed_paths(objects: "LocalObjects", tree: Tree) -> list[str]:
    """Paths whose objects are not what they were when they were linked; the damaged are set aside."""
    changed = set(objects.unsound(entry.digest for entry in tree))
    with disk_problems(objects.folder):
        for digest in {entry.digest for entry in tree}:
            if digest in changed:
                _set_aside_if_there(objects, digest)
            else:
                objects.make_read_only(digest)
    return [entry.path for entry in tree if entry.digest in changed]


def _fill(objects: "LocalObjects", tree: Tree, folder: str, link: bool) -> None:
    unsound = set(objects.verified({entry.digest for entry in tree})) if link else set()
    made = {folder}
    for entry in tree:
        target = f"{folder}/{entry.path}"
        if (parent := os.path.dirname(target)) not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        if entry.digest in unsound:
            raise _unusable(objects, entry)
        # an executable can't be a link: one object, one mode
        if not link or entry.executable or not objects.disk.link(objects.path(entry.digest), target):
            _copy(objects, entry, target, read_only=link)


def _copy(objects: "LocalObjects", entry: Entry, target: str, *, read_only: bool) -> None:
    """A verified copy."""
    source = objects.path(entry.digest)
    mode = (0o755 if entry.executable else 0o644) & (0o555 if read_only else 0o777)
    try:
        digest = objects.disk.copy_out(source, target, mode=mode)
    except FileNotFoundError:
        raise _unusable(objects, entry) from None
    if digest != entry.digest:
        raise _unusable(objects, entry)


def _unusable(objects: "LocalObjects", entry: Entry) -> StoreDamaged:
    aside = _set_aside_if_there(objects, entry.digest)
    what = (
        f"does not match its digest {entry.digest[:12]}"
        if aside
        else f"({entry.digest[:12]}) is not in the store"
    )
    return StoreDamaged(
        f"{entry.path} {what}", fix="run it again: what is missing or damaged is fetched or built anew"
    )


def _set_aside_if_there(objects: "LocalObjects", digest: str) -> bool:
    try:
        seen = os.lstat(objects.path(digest))
    except FileNotFoundError:
        return False
    objects.set_aside(digest, seen)
    return True


def _refuse_hostile_paths(tree: Tree) -> None:
    """A listing may come from elsewhere; it must not reach out of the folder."""
    for entry in tree:
        steps = entry.path.split("/")
        if "" in steps or "." in steps or ".." in steps or "\0" in entry.path:
            raise StoreDamaged(f"a tree's listing names '{entry.path}'", fix="spark store check")
