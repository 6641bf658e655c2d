"""A walk over a project folder: every file with its stat, links followed where they stay inside."""

import os
import stat as modes
from fnmatch import fnmatchcase
from typing import NamedTuple

from spark_build.core.errors import BadInput
from spark_build.storage.state import FileStat

IGNORED_NAMES = frozenset({".git", ".spark", "__pycache__", ".DS_Store"})
_IGNORED_ENDING = ".pyc"


class Seen(NamedTuple):
    path: str  # relative to the folder
    location: str
    stat: FileStat
    executable: bool


def walk(location: str, shown: str, ignore: tuple[str, ...] = ()) -> list[Seen]:
    """All files below `location`, sorted by path; without IGNORED_NAMES, *.pyc and what `ignore` matches.

    A pattern with a '/' is matched with the path in the folder, one without with every name.
    Errors: BadInput for a link that leaves the folder, is broken or a loop, and for what is neither file
    nor folder.
    """
    root = os.path.realpath(location)
    found: list[Seen] = []
    _Walk(root, shown, ignore, found).enter(root, "", (root,))
    found.sort()
    return found


class _Walk:
    def __init__(self, root: str, shown: str, ignore: tuple[str, ...], found: list[Seen]) -> None:
        self.root, self.shown, self.ignore, self.found = root, shown, ignore, found

    def enter(self, folder: str, prefix: str, above: tuple[str, ...]) -> None:
        """`above`: the real folders on the way from the root, to notice loops."""
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not self._is_ignored(entry.name, prefix):
                        self._see(entry, prefix + entry.name, above)
        except PermissionError as error:
            raise self._bad(prefix.rstrip("/"), "can't be read (permission denied)", "chmod u+rx") from error

    def _see(self, entry: "os.DirEntry[str]", path: str, above: tuple[str, ...]) -> None:
        if entry.is_symlink():
            self._see_link(entry.path, path, above)
        elif entry.is_dir(follow_symlinks=False):
            self.enter(entry.path, f"{path}/", (*above, entry.path))
        else:
            self._add(path, entry.path, entry.stat(follow_symlinks=False))

    def _see_link(self, location: str, path: str, above: tuple[str, ...]) -> None:
        real, told = os.path.realpath(location), os.readlink(location)
        if not os.path.exists(real):
            raise self._bad(path, f"a link to {told}, which is not there", "mend or remove the link")
        if real != self.root and not real.startswith(self.root + os.sep):
            raise self._bad(path, f"a link to {told}, outside of the folder", "put a copy in its place")
        if not os.path.isdir(real):
            self._add(path, location, os.stat(real))
        elif real in above:
            raise self._bad(path, f"a link to {told}, which holds the link itself", "remove the link")
        else:
            self.enter(real, f"{path}/", (*above, real))

    def _add(self, path: str, location: str, stat: os.stat_result) -> None:
        if not modes.S_ISREG(stat.st_mode):
            raise self._bad(path, "neither a file nor a folder", "move it out of the folder")
        if not path.isprintable():
            _refuse_if_not_utf8(self._told(path), path)
        self.found.append(Seen(path, location, FileStat.of(stat), bool(stat.st_mode & 0o100)))

    def _is_ignored(self, name: str, prefix: str) -> bool:
        if name in IGNORED_NAMES or name.endswith(_IGNORED_ENDING):
            return True
        return any(fnmatchcase(prefix + name if "/" in p else name, p) for p in self.ignore)

    def _bad(self, path: str, what: str, fix: str) -> BadInput:
        return BadInput(f"{self._told(path)}: {what}", fix=fix)

    def _told(self, path: str) -> str:
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return f"{self.shown}/{shown}" if path else self.shown


def _refuse_if_not_utf8(told: str, path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{told}: the name is not UTF-8", fix="rename the file") from error
