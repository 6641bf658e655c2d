"""Sealed checkpoints: one counts only when every file in it is what it was when it was written (design section 7).

A checkpoint is written as `<folder>/writing/…` by whoever trains. `seal` lists its files' digests in
`seal.json`, flushes them to the disk, and renames the folder to `<folder>/step-N`: a kill at any moment
leaves either no checkpoint or a whole one.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spark_build.core.digest import Digest, canonical_json, digest_file

KEPT = 2  # the newest, and the one before it in case the newest rots
_SEAL = "seal.json"
_PREFIX = "step-"


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    step: int


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest sound checkpoint, and what had to be dropped on the way to it ('step-40: model.safetensors …').

    Everything that is not sound is removed: nothing may ever go on from it.
    """
    dropped = [_drop(path, "never sealed") for path in _unsealed(folder)]
    for checkpoint in _sealed(folder):
        if (damage := _damage(checkpoint.path)) is None:
            return checkpoint, dropped
        dropped.append(_drop(checkpoint.path, damage))
    return None, dropped


def seal(written: Path, folder: Path, step: int) -> Checkpoint:
    """Makes the files under `written` (on the same file system) the checkpoint of `step`; older ones go."""
    digests = {name: digest_file(written / name) for name in _files(written)}
    (written / _SEAL).write_bytes(canonical_json({"step": step, "files": digests}))
    _flush(written)
    sealed = folder / f"{_PREFIX}{step}"
    if sealed.exists():  # the same step again, after a resume from an earlier one
        shutil.rmtree(sealed)
    os.rename(written, sealed)
    _flush_folder(folder)
    for old in _sealed(folder)[KEPT:]:
        shutil.rmtree(old.path)
    return Checkpoint(sealed, step)


def _sealed(folder: Path) -> list[Checkpoint]:
    """Newest first; whether they are sound is another question."""
    found = [
        Checkpoint(path, int(path.name.removeprefix(_PREFIX)))
        for path in folder.glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdigit() and (path / _SEAL).is_file()
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.step, reverse=True)


def _unsealed(folder: Path) -> list[Path]:
    sealed = {checkpoint.path for checkpoint in _sealed(folder)}
    left = (path for path in folder.glob("*") if path.is_dir() and path not in sealed)
    return sorted(path for path in left if any(path.iterdir()))


def _damage(path: Path) -> str | None:
    """What is wrong with a sealed checkpoint; None where nothing is."""
    try:
        digests: dict[str, Digest] = json.loads((path / _SEAL).read_bytes())["files"]
    except (ValueError, KeyError, TypeError, OSError):
        return f"{_SEAL} can't be read"
    if extra := sorted(set(_files(path)) - set(digests) - {_SEAL}):
        return f"{extra[0]} was added"
    for name, digest in sorted(digests.items()):
        if not (path / name).is_file():
            return f"{name} is missing"
        if digest_file(path / name) != digest:
            return f"{name} has changed"
    return None


def _drop(path: Path, reason: str) -> str:
    shutil.rmtree(path)
    return f"{path.name}: {reason}"


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        else:
            _flush_folder(path)
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
