"""The files of a source's folder, sorted and digested; what a reader never looks at is left out."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.items import SourceFile
from spark_build.core.digest import digest_file
from spark_build.core.disk import disk_problem
from spark_build.core.errors import BadInput, TransientError


def files_of(place: Path, listing: Path | None) -> list[SourceFile]:
    """Files by path. `listing` (JSON: [path, size, digest, …] each) saves hashing what was hashed already.

    Errors: BadInput for a link that leaves the folder.
    """
    single = place.is_file()
    if listing is not None:
        found = listed(place, json.loads(listing.read_bytes()))
    elif single:
        found = [_digested(place, place.name)]
    else:
        found = [_digested(place / path, path) for path in _paths(place)]
    return sorted((file for file in found if single or is_read(file.path)), key=lambda file: file.path)


def listed(place: Path, entries: Sequence[Sequence[Any]]) -> list[SourceFile]:
    single = place.is_file()
    return [
        SourceFile(path, place if single else place / path, size, digest)
        for path, size, digest, *_ in entries
    ]


def is_read(path: str) -> bool:
    """No dot files, no back-ups, nothing of Python's caches."""
    parts = path.split("/")
    return not any(p.startswith(".") or p == "__pycache__" for p in parts) and not path.endswith("~")


def check_unchanged(file: SourceFile) -> None:
    """Errors: TransientError where the file isn't what was digested: what was read must not be remembered.

    Unavailable where the disk does not give it.
    """
    try:
        unchanged = digest_file(file.location) == file.digest
    except (FileNotFoundError, NotADirectoryError):
        unchanged = False
    except OSError as error:
        raise disk_problem(error, file.path) from error
    if not unchanged:
        raise TransientError(
            f"{file.path} changed while it was read", fix="build again when nothing writes it"
        )


def _paths(folder: Path) -> Iterator[str]:
    root = len(str(folder)) + 1
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if is_read(name)]
        for name in names:
            yield os.path.join(here, name)[root:]
        for name in folders:
            if os.path.islink(os.path.join(here, name)):
                _refuse_outside(Path(here, name), folder)


def _digested(location: Path, path: str) -> SourceFile:
    if location.is_symlink():
        _refuse_outside(location, Path(str(location).removesuffix(path)))
    size = location.stat().st_size
    return SourceFile(path, location, size, digest_file(location, size))


def _refuse_outside(link: Path, folder: Path) -> None:
    target = link.resolve()
    shown = link.relative_to(folder).as_posix()
    if not target.is_relative_to(folder.resolve()):
        raise BadInput(
            f"{shown} is a link that leaves the folder (to {os.readlink(link)})",
            fix="copy the file there, or name the other folder as a source of its own",
        )
    if not target.is_file():
        raise BadInput(f"{shown} is a link to a folder, or to nothing", fix="copy what it points to")
