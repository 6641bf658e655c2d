"""The project's files, and what else keys depend on, looked at through the stat cache."""

import errno
import os
import stat as modes
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from spark_build.core.digest import Digest, digest_bytes, digest_file
from spark_build.core.disk import disk_problems
from spark_build.core.errors import BadInput
from spark_build.core.globs import files_matching
from spark_build.core.moved import Seen
from spark_build.core.tree import Entry, Tree, listing_of, row_of, rows_of
from spark_build.storage import stats
from spark_build.storage.folder_walk import walk
from spark_build.storage.libraries import installed_libraries, normalized
from spark_build.storage.looks import is_as_seen
from spark_build.storage.state import FileStat, State

# What changed this short before it was hashed may change again within one tick of the file system's clock.
TRUSTED_AFTER_NS = 100_000_000
_TRUSTED_AFTER_COARSE_NS = 2_000_000_000  # the clock of some counts whole seconds, of FAT every other one
_SECOND_NS = 1_000_000_000
_BETWEEN_LINES = "\0\n"  # a path may hold a line break, and in a line digits follow the \0


class Behind(NamedTuple):
    """What an answer rests on."""

    answer: str
    is_folder: bool
    stats: str  # the line of a file, the fold over a folder's lines, the look of a tool
    is_trusted: bool = True  # another content would have other stats


class FileWorld:
    """`core.ports.World` over a folder. Each path is looked at once; to look again, make another."""

    def __init__(
        self,
        root: Path | str,
        state: State,
        env: Mapping[str, str] | None = None,
        walked: Mapping[str, list[str]] | None = None,
    ) -> None:
        """`walked`: folders that were walked a moment ago, by path and patterns; they count as looked at."""
        self._walked = walked or {}
        self._root = os.path.abspath(root)
        self._state = state
        self._env = os.environ if env is None else env
        self._trees: dict[tuple[str, tuple[str, ...]], Tree] = {}
        self._tools: dict[str, str] = {}
        self._known: dict[str, tuple[FileStat, Digest]] = {}
        self._behind: dict[tuple[str, str], Behind] = {}

    def tree(self, path: str, ignore: Iterable[str] = ()) -> Tree:
        name, patterns = os.path.normpath(path), tuple(sorted(ignore))
        if (name, patterns) not in self._trees:
            self._trees[name, patterns] = self._look(name, patterns)
        return self._trees[name, patterns]

    def file(self, path: str) -> Digest | None:
        name = os.path.normpath(path)
        location = os.path.join(self._root, name)
        if not os.path.isfile(location):
            return None
        with disk_problems(name):
            stat = os.stat(location)
            digest, is_trusted = self._digest(name, location, FileStat.of(stat), self._state.file(name))
        self._behind["file", name] = Behind(digest, False, stats.stat_line(stat), is_trusted)
        return digest

    def env(self, name: str) -> str | None:
        return self._env.get(name)

    def tool(self, name: str) -> str:
        if name not in self._tools:
            from spark_build.storage.tools import tool_version

            version, look = tool_version(name, self._root, self._env, self._state)
            self._tools[name] = version
            self._behind["tool", name] = Behind(version, False, look)
        return self._tools[name]

    def library(self, name: str) -> str | None:
        return self._libraries.get(normalized(name))

    def prefetch(self, paths: Iterable[str]) -> None:
        """Takes from the state in one query what is known of these files."""
        self._known = self._state.files(paths)

    def behind(self, kind: str, name: str, answer: str) -> Behind | None:
        """The stats that an answer of `tree`, `file` or `tool` rests on; None where they can't be trusted."""
        if kind != "tool":
            path, *patterns = name.split("\0")
            name = "\0".join((os.path.normpath(path), *patterns))
        found = self._behind.get((kind, name))
        return found if found is not None and found.is_trusted and found.answer == answer else None

    def tool_file(self, name: str) -> str | None:
        found = self._behind.get(("tool", name))
        return found.stats.partition("\0")[0] if found is not None else None  # as `look_of_tool` begins

    def seen(self, kind: str, path: str) -> Seen | None:
        name = os.path.normpath(path)
        found = self._behind.get((kind, name))
        if found is None:
            return None
        location = os.path.join(self._root, name)
        return Seen(name, location, found.is_folder, found.stats, found.is_trusted)

    def has_moved(self, kind: str, path: str) -> bool | None:
        seen = self.seen(kind, path)
        if seen is None:
            return None
        as_seen = is_as_seen(seen)
        return None if as_seen and not seen.is_trusted else not as_seen

    def matching(self, pattern: str, folder: str = "") -> tuple[str, ...]:
        return files_matching(Path(self._root, folder), pattern)

    def _look(self, name: str, patterns: tuple[str, ...]) -> Tree:
        location = os.path.join(self._root, name)
        with disk_problems(name):
            try:
                stat = os.stat(location)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise _absent(name, location) from None
                raise
        if modes.S_ISDIR(stat.st_mode):
            lines = self._walked.get("\0".join((name, *patterns)))
            if lines is None:
                with disk_problems(name):
                    lines = walk(location, name, patterns)
            return self._folder(name, patterns, lines)
        if not modes.S_ISREG(stat.st_mode):
            raise BadInput(f"{name}: neither a file nor a folder", fix="only files and folders can be read")
        return self._single_file(name, patterns, location, stat)

    def _single_file(self, name: str, patterns: tuple[str, ...], location: str, stat: os.stat_result) -> Tree:
        known = self._known.get(name) or self._state.file(name)
        with disk_problems(name):
            digest, is_trusted = self._digest(name, location, FileStat.of(stat), known)
        executable = bool(stat.st_mode & 0o100)
        tree = Tree((Entry(os.path.basename(name), stat.st_size, digest, executable),))
        label = "\0".join((name, *patterns))
        self._behind["tree", label] = Behind(tree.digest, False, stats.stat_line(stat), is_trusted)
        return tree

    def _folder(self, name: str, patterns: tuple[str, ...], lines: list[str]) -> Tree:
        label = "\0".join((name, *patterns))
        fold = stats.fold_of_lines(lines)  # moves with every stat and every path
        known = self._state.folder(label)
        if known is not None and known[0] == fold:
            self._behind["tree", label] = Behind(known[1], True, fold)
            return KnownTree(known[1], lambda: self._listing(name, label, known[1], lines))
        listing, noted = self._hash_folder(name, label, lines)
        digest = digest_bytes(listing)
        if noted:
            self._state.note_folder(label, stats.fold_of_lines(noted), digest, listing, _joined(noted))
        self._behind["tree", label] = Behind(digest, True, fold, noted == lines)
        return KnownTree(digest, lambda: listing)

    def _listing(self, name: str, label: str, digest: Digest, lines: list[str]) -> bytes:
        content = self._state.folder_content(label)
        if content is not None and digest_bytes(content[0]) == digest:
            return content[0]
        return self._hash_folder(name, label, lines)[0]  # another process noted a later look

    def _hash_folder(self, name: str, label: str, lines: list[str]) -> tuple[bytes, list[str]]:
        """The listing, and the lines to remember: none where no file may be.

        Only files whose line is another one than last time are looked at.
        """
        rows = self._known_rows(label)
        new = [line for line in lines if line not in rows]
        entries, untrusted = self._hash_files(name, new, is_all=not rows)
        if not rows:
            listing = Tree(tuple(entries)).listing
        else:
            rows.update(zip(new, map(row_of, entries), strict=True))
            listing = listing_of([rows[line] for line in lines])
        if not untrusted:
            return listing, lines
        if len(untrusted) == len(lines):
            return listing, []
        # without its stat a file is another one next time, whatever is found then
        return listing, [line.partition("\0")[0] if line in untrusted else line for line in lines]

    def _known_rows(self, label: str) -> dict[str, bytes]:
        """Rows of the listing as it was last time, by the lines of that look; none where they can't be told apart."""
        content = self._state.folder_content(label)
        if content is None:
            return {}
        rows, lines = rows_of(content[0]), content[1].decode().split(_BETWEEN_LINES)
        return dict(zip(lines, rows, strict=True)) if len(rows) == len(lines) else {}

    def _hash_files(self, name: str, lines: list[str], *, is_all: bool) -> tuple[list[Entry], set[str]]:
        """Entries of a folder's files, and the lines of those that may not be remembered."""
        prefix = "" if name == "." else f"{name}/"
        files = [*map(_seen, lines)]
        if is_all:
            known = self._state.files_under(prefix.rstrip("/"))
        else:
            known = self._state.files(prefix + file.path for file in files)
        entries, untrusted = [], set()
        for line, file in zip(lines, files, strict=True):
            path = prefix + file.path
            location = os.path.join(self._root, path)
            with disk_problems(path):
                digest, is_trusted = self._digest(path, location, file.stat, known.get(path))
            if not is_trusted:
                untrusted.add(line)
            entries.append(Entry(file.path, file.stat.size, digest, file.executable))
        return entries, untrusted

    def _digest(
        self, path: str, location: str, stat: FileStat, known: tuple[FileStat, Digest] | None
    ) -> tuple[Digest, bool]:
        """A file's digest, and whether it may be remembered."""
        if known is not None and known[0] == stat:
            return known[1], True
        begun_ns = time.time_ns()
        try:
            digest = digest_file(location, stat.size)
        except PermissionError as error:
            raise BadInput(f"{path}: can't be read (permission denied)", fix=f"chmod u+r {path}") from error
        is_trusted = not _is_young(stat, begun_ns) and FileStat.of(os.stat(location)) == stat
        if is_trusted:
            self._state.note_file(path, stat, digest)
        return digest, is_trusted

    @cached_property
    def _libraries(self) -> dict[str, str]:
        return installed_libraries()


class _Seen(NamedTuple):
    path: str  # relative to the folder
    stat: FileStat
    executable: bool


def _seen(line: str) -> _Seen:
    path, _, rest = line.partition("\0")
    size, mtime_ns, ctime_ns, inode, executable = map(int, rest.split())
    return _Seen(path, FileStat(size, mtime_ns, ctime_ns, inode), bool(executable))


def _is_young(stat: FileStat, now_ns: int) -> bool:
    """Whether it may be changed again and show the same stat; ctime is set by every change and can't be set back."""
    is_coarse = stat.ctime_ns % _SECOND_NS == 0
    return stat.ctime_ns >= now_ns - (_TRUSTED_AFTER_COARSE_NS if is_coarse else TRUSTED_AFTER_NS)


def _joined(lines: list[str]) -> bytes:
    return _BETWEEN_LINES.join(lines).encode()


def _absent(name: str, location: str) -> BadInput:
    if os.path.islink(location):
        return BadInput(
            f"{name}: a link to {os.readlink(location)}, which is not there", fix="mend or remove the link"
        )
    return BadInput(f"{name}: not there", fix="check the path; it counts from the Sparkfile's folder")


class KnownTree(Tree):
    """A tree whose digest is remembered; its entries are read where somebody asks for them."""

    def __init__(self, digest: Digest, load_listing: Callable[[], bytes]) -> None:
        self.digest, self._load_listing = digest, load_listing

    @cached_property
    def listing(self) -> bytes:
        return self._load_listing()

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        return Tree.parse(self.listing).entries
