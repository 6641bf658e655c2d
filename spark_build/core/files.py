"""Files below a folder, as a stage left them."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_under(folder: Path | str) -> Iterator[str]:
    """Paths from `folder` of all that reads as a file, a link to one too; in no order."""
    yield from _under(os.fspath(folder), "")


def shards_in(folder: Path) -> list[Path]:
    """Parquet files that lie there, sorted; none where there is no such folder.

    Errors: OSError, where it can't be read: `Path.glob` takes a folder that it may not read for an empty one.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if name.endswith(".parquet")]


def holds_a_file(folder: Path | str) -> bool:
    return any(True for _ in files_under(folder))


def remove_folder(folder: str) -> None:
    """Takes the folder away with all that is in it. Nobody else may work there: a swap of folder and link goes unseen.

    Errors: OSError, as the system gives it.
    """
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                remove_folder(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)


def _under(folder: str, prefix: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(f"{folder}/{prefix}"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _under(folder, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and os.path.isfile(entry.path)):
            yield prefix + entry.name
