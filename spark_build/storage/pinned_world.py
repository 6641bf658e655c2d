"""The project as the lock pins it: files of the commit are looked at, all other inputs come from the lock."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, StoreDamaged
from spark_build.core.tree import Tree
from spark_build.storage.tracked import TrackedFiles
from spark_build.storage.world import FileWorld, KnownTree

UNKNOWN = "not in the lock"


class LockWorld:
    """Implements `core.ports.World`. Data need not be there; `differing` tells which data here are others.

    Outside of git a single file that is there counts as one of the commit, a folder as data.
    """

    def __init__(self, root: Path, files: FileWorld, pins: Callable[[str], Digest | None]) -> None:
        self._root, self._files, self._pins = root, files, pins
        self._tracked = TrackedFiles(root)
        self._trees: dict[str, Tree] = {}
        self.differing: list[str] = []  # paths whose content here is not what the lock pins

    def tree(self, path: str, ignore: Iterable[str] = ()) -> Tree:
        name = os.path.normpath(path)
        if name not in self._trees:
            self._trees[name] = self._look(name)
        return self._trees[name]

    def is_known(self, path: str) -> bool:
        return self.tree(path).digest != UNKNOWN

    def file(self, path: str) -> Digest | None:
        return self._files.file(path)

    def env(self, name: str) -> str | None:
        return self._files.env(name)

    def tool(self, name: str) -> str:
        return self._files.tool(name)

    def library(self, name: str) -> str | None:
        return self._files.library(name)

    def _look(self, name: str) -> Tree:
        here, pin = self._here(name), self._pins(name)
        if here is not None and (here.digest == pin or self._is_of_the_commit(name, here)):
            return here
        if here is not None and pin is not None:
            self.differing.append(name)
        return KnownTree(pin or UNKNOWN, _no_listing)

    def _here(self, name: str) -> Tree | None:
        try:
            return self._files.tree(name)
        except SparkError:  # not there, or a link to data that are not
            return None

    def _is_of_the_commit(self, name: str, here: Tree) -> bool:
        is_file = os.path.isfile(self._root / name)
        if not self._tracked.is_known:
            return is_file
        if is_file:
            return self._tracked.holds_file(name)
        return self._tracked.holds_all(name, [entry.path for entry in here])


def _no_listing() -> bytes:
    raise StoreDamaged("the lock pins a digest, not a listing")
