"""What sources that read other datasets share: rows of a shard as records that are as they were there."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from spark_build.contract import Media, Raw, SourceFile
from spark_build.contract.media import MARK, MEDIA_KINDS, is_reference
from spark_build.contract.rows import Rows
from spark_build.core.errors import BadInput
from spark_build.core.tree import part_of

_OWN = ("id", "source", "meta")
_PIECE = re.compile(r"(#\d+)+$")  # of a record that a transform made several items of
_REPEATED = re.compile(r"(?<=^[0-9a-f]{32})-\d+$")  # content that another record has, too


def read_shard(file: SourceFile, *, within: str = "") -> Iterator[Raw]:
    """Its rows with id, split, fields and meta; `within` goes before what each of them comes from."""
    rows = Rows((file.location,))
    media = [name for name, kind in rows.fields.items() if kind in MEDIA_KINDS]
    for row in rows:
        fields = {name: value for name, value in row.items() if name not in _OWN}
        fields |= {name: _referred(fields[name], name) for name in media if fields[name] is not None}
        yield Raw(
            fields,
            key=record_of(row["id"]),
            id=row["id"],
            split=split_of_shard(file.path),
            meta=row["meta"],
            source=f"{within}{row['source']}",
        )


def _referred(value: Any, name: str) -> Media:
    """What the row refers to: it lies in the store already, so that nothing is copied."""
    if not is_reference(value):
        raise BadInput(
            f"'{name}' holds media within a version's own files",
            fix="name the dataset itself: no tag, no import",
        )
    return Media(
        value[MARK], Path(), value["suffix"], value["facts"], value["path"], value["digest"], value["bytes"]
    )


def record_of(item_id: str) -> str:
    """What its pieces and its equals have in common: new splits keep them together."""
    return _REPEATED.sub("", _PIECE.sub("", item_id))


def split_of_shard(path: str) -> str:
    """'train' of '…/data/train-00000.parquet'."""
    own = PurePosixPath(path)
    return part_of(f"data/{own.name}").removeprefix("data/").removesuffix("-*")
