"""What shaped the graph of a Sparkfile, and whether it would shape it in the same way today."""

from __future__ import annotations  # what they name need not be loaded

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from spark_build import __version__
from spark_build.core.digest import Digest, digest_bytes, digest_json
from spark_build.core.errors import UsageError
from spark_build.storage.stats import kind_at, stat_line_at

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from typing import Any


def read_sparkfile(file: str) -> bytes:
    """Errors: UsageError where it can't be read."""
    name = os.path.basename(file)
    try:
        with open(file, "rb") as text:
            return text.read()
    except FileNotFoundError:
        raise UsageError(
            f"no {name} in {os.path.dirname(file)}",
            fix="spark init makes one; -C DIR or -f FILE name another place",
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder", fix="-f FILE names another Sparkfile") from None
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", fix="make it readable") from None


def name_of_request(file: str, profile: str | None, sets: Sequence[str], limit: int | None) -> Digest:
    """What is asked of a Sparkfile, wherever the project lies."""
    return digest_json([os.path.basename(file), profile, list(sets), limit])


def stamp(text: bytes) -> dict[str, Digest]:
    """Of the Sparkfile, and of the tool with all that is installed beside it."""
    return {"text": digest_bytes(text), "tool": digest_json([__version__, sys.version, _installation()])}


def still_shapes(
    known: Mapping[str, Any], now: Mapping[str, Digest], root: str, env: Callable[[str], str | None]
) -> bool:
    """Whether text and tool are the same, and the project would answer alike; its code files are the caller's."""
    prefix = f"{root}{os.sep}"
    return (
        all(known.get(name) == digest for name, digest in now.items())
        and all(kind_at(prefix + path) == was for path, was in known["present"].items())
        and all(digest_of_variable(env(name)) == was for name, was in known["env"].items())
        and all(stat_line_at(path) == was for path, was in known["installed"].items())
        and _globs_hold(known["globs"], root)
    )


def digest_of_variable(value: str | None) -> str:
    return "unset" if value is None else digest_bytes(value.encode())


def _globs_hold(globs: Mapping[str, Sequence[str]], root: str) -> bool:
    if not globs:
        return True
    from pathlib import Path

    from spark_build.core.globs import files_matching

    return all(list(files_matching(Path(root), pattern)) == list(found) for pattern, found in globs.items())


def _installation() -> list[Any]:
    """Stats that move when a package comes or goes, or a rule of ours is edited."""
    seen: list[Any] = []
    for folder in sys.path:
        if folder.endswith("-packages"):
            try:
                seen.append([folder, os.stat(folder).st_mtime_ns])
            except OSError:
                continue
    ours = os.path.dirname(__file__)
    for folder in (ours, os.path.join(os.path.dirname(ours), "sparkfile_schema")):
        seen += sorted(_sources_below(folder))
    return seen


def _sources_below(folder: str) -> Iterator[list[Any]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield [entry.path, entry.stat().st_mtime_ns]
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _sources_below(entry.path)
