"""Stats of many files in one digest: while it stays, none of them has changed."""

from __future__ import annotations  # what they name need not be loaded

import os
from collections.abc import Callable, Iterable, Mapping
from stat import S_IFDIR, S_IFMT, S_IFREG

from spark_build.core.digest import Digest, digest_bytes

MOST_INODE = 0x7FFF_FFFF_FFFF_FFFF  # SQLite's integers are signed; some file systems use all 64 bits
_KINDS = {S_IFREG: "file", S_IFDIR: "folder"}


def fold_of_records(folder: str, keys: Iterable[Digest]) -> Digest | None:
    """None where the file of one of them is not there."""
    return _fold(
        (f"{folder}/records/{key[:2]}/{key}.json" for key in keys),
        lambda stat: f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}",
    )


def fold_of_objects(folder: str, digests: Iterable[Digest]) -> Digest | None:
    """None where one of them is not there. They are told by size and mtime: a hardlink moves ctime."""
    return _fold(
        (f"{folder}/objects/{digest[:2]}/{digest[2:]}" for digest in digests),
        lambda stat: f"{stat.st_size} {stat.st_mtime_ns}",
    )


def are_as_seen(root: str, seen: Mapping[str, str]) -> bool:
    """Whether these files of the project, links followed, still have the stats that were seen."""
    prefix = f"{root}{os.sep}"
    try:
        return all(stat_line(os.stat(prefix + path)) == line for path, line in seen.items())
    except OSError:
        return False


def stat_line(stat: os.stat_result) -> str:
    """What moves when a file of the project may have changed. No device: its number moves with a mount."""
    return (
        f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino & MOST_INODE} "
        f"{stat.st_mode >> 6 & 1}"
    )


def stat_line_at(path: str) -> str | None:
    """None where nothing is."""
    try:
        return stat_line(os.stat(path))
    except OSError:
        return None


def kind_at(path: str) -> str:
    """'absent', 'file', 'folder' or 'other', links followed."""
    try:
        return _KINDS.get(S_IFMT(os.stat(path).st_mode), "other")
    except (OSError, ValueError):
        return "absent"


def fold_of_lines(lines: list[str]) -> Digest:
    return digest_bytes("\n".join(lines).encode())


def _fold(paths: Iterable[str], told: Callable[[os.stat_result], str]) -> Digest | None:
    try:
        return fold_of_lines([told(os.lstat(path)) for path in paths])
    except OSError:
        return None
