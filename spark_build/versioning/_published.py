"""What versioners that publish say of a version: its digest, and what it was made from."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.core.digest import digest_file
from spark_build.core.tree import Entry, Tree
from spark_build.core.values import Struct


class Version(Struct, frozen=True):
    digest: str  # of the Artifact
    tag: str | None
    files: Mapping[str, Path]
    lineage: Mapping[str, Any]


def version_of(files: Mapping[str, Path], tag: str | None, facts: Mapping[str, Any]) -> Version:
    return Version(digest_of(files), tag, files, _lineage(facts))


def digest_of(files: Mapping[str, Path]) -> str:
    """As the store calls the Artifact that they make."""
    sizes = {path: file.stat().st_size for path, file in files.items()}
    return Tree.of(
        Entry(path, sizes[path], digest_file(file, sizes[path])) for path, file in files.items()
    ).digest


def another_tag(path: str, tag: str, *, is_ours: bool) -> str:
    """One to take where this one names something else: the next number, or one with the dataset's name."""
    head, number = re.fullmatch(r"(.*?)(\d*)", tag, re.DOTALL).groups()  # type: ignore[union-attr]
    return (f"{head}{int(number) + 1}" if number else f"{tag}-2") if is_ours else f"{path}-{tag}"


def _lineage(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the version was made from, by digest, and what it holds; the same wherever it is built."""
    return {name: value for name in ("inputs", "splits", "gates") if (value := facts.get(name))}
