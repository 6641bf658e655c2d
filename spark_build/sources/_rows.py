"""What sources that read other datasets share: rows of a shard as records that are as they were there."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from spark_build.contract import Raw, SourceFile
from spark_build.contract.rows import Rows
from spark_build.core.tree import part_of

_OWN = ("id", "source", "meta")
_PIECE = re.compile(r"(#\d+)+$")  # of a record that a transform made several items of
_REPEATED = re.compile(r"(?<=^[0-9a-f]{32})-\d+$")  # content that another record has, too


def read_shard(file: SourceFile, *, within: str = "") -> Iterator[Raw]:
    """Its rows with id, split, fields and meta; `within` goes before what each of them comes from."""
    for row in Rows((file.location,)):
        fields = {name: value for name, value in row.items() if name not in _OWN}
        yield Raw(
            fields,
            key=record_of(row["id"]),
            id=row["id"],
            split=split_of_shard(file.path),
            meta=row["meta"],
            source=f"{within}{row['source']}",
        )


def record_of(item_id: str) -> str:
    """What its pieces and its equals have in common: new splits keep them together."""
    return _REPEATED.sub("", _PIECE.sub("", item_id))


def split_of_shard(path: str) -> str:
    """'train' of '…/data/train-00000.parquet'."""
    own = PurePosixPath(path)
    return part_of(f"data/{own.name}").removeprefix("data/").removesuffix("-*")
