"""A walk over a project folder: every file with its stat, links followed where they stay inside."""

import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

from spark_build.core.errors import BadInput
from spark_build.storage import stats

IGNORED_NAMES = frozenset({".git", ".spark", "__pycache__", ".DS_Store"})
_IGNORED_ENDING = ".pyc"


def walk(location: str, shown: str, ignore: tuple[str, ...] = ()) -> list[str]:
    """A line for each file below `location`, sorted by path: the path, \0, its stats.

    Left out are IGNORED_NAMES, *.pyc and what `ignore` matches: a pattern with a '/' is matched with the path in
    the folder, one without with every name.
    Errors: BadInput for a link that leaves the folder, is broken or a loop, and for what is neither file
    nor folder.
    """
    root = os.path.realpath(location)
    found: list[str] = []
    _Walk(root, shown, ignore, found).enter(root, "", (root,))
    found.sort()  # by path: no other character comes before the \0 behind it
    return found


class _Walk:
    def __init__(self, root: str, shown: str, ignore: tuple[str, ...], found: list[str]) -> None:
        self.root, self.shown, self.ignore, self.found = root, shown, ignore, found

    def enter(self, folder: str, prefix: str, above: tuple[str, ...]) -> None:
        """`above`: the real folders on the way from the root, to notice loops."""
        try:
            # a descriptor: the kernel need not walk the whole path again for each file's stat
            with _opened(folder) as descriptor, os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if name in IGNORED_NAMES or name.endswith(_IGNORED_ENDING):
                        continue
                    if self.ignore and self._is_ignored(name, prefix):
                        continue
                    if entry.is_file(follow_symlinks=False):
                        self._add(prefix + name, entry.stat(follow_symlinks=False))
                    else:
                        self._see(entry, os.path.join(folder, name), prefix + name, above)
        except PermissionError as error:
            raise self._bad(prefix.rstrip("/"), "can't be read (permission denied)", "chmod u+rx") from error

    def _add(self, path: str, stat: os.stat_result) -> None:
        """This runs once per file of a folder that may hold a hundred thousand: a text and no objects."""
        if not path.isprintable():
            _refuse_if_not_utf8(self._told(path), path)
        self.found.append(f"{path}\0{stats.stat_line(stat)}")

    def _see(self, entry: "os.DirEntry[str]", location: str, path: str, above: tuple[str, ...]) -> None:
        if entry.is_symlink():
            self._see_link(location, path, above)
        elif entry.is_dir(follow_symlinks=False):
            self.enter(location, f"{path}/", (*above, location))
        else:
            raise self._bad(path, "neither a file nor a folder", "move it out of the folder")

    def _see_link(self, location: str, path: str, above: tuple[str, ...]) -> None:
        real, told = os.path.realpath(location), os.readlink(location)
        if not os.path.exists(real):
            raise self._bad(path, f"a link to {told}, which is not there", "mend or remove the link")
        if real != self.root and not real.startswith(self.root + os.sep):
            raise self._bad(path, f"a link to {told}, outside of the folder", "put a copy in its place")
        stat = os.stat(real)
        if modes.S_ISREG(stat.st_mode):
            self._add(path, stat)
        elif not modes.S_ISDIR(stat.st_mode):
            raise self._bad(path, "neither a file nor a folder", "move it out of the folder")
        elif real in above:
            raise self._bad(path, f"a link to {told}, which holds the link itself", "remove the link")
        else:
            self.enter(real, f"{path}/", (*above, real))

    def _is_ignored(self, name: str, prefix: str) -> bool:
        return any(fnmatchcase(prefix + name if "/" in p else name, p) for p in self.ignore)

    def _bad(self, path: str, what: str, fix: str) -> BadInput:
        return BadInput(f"{self._told(path)}: {what}", fix=fix)

    def _told(self, path: str) -> str:
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return f"{self.shown}/{shown}" if path else self.shown


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_if_not_utf8(told: str, path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{told}: the name is not UTF-8", fix="rename the file") from error
