"""Shards whose boundaries follow from content: an added row rewrites the shard it falls into, or splits it.

A row ends its shard when the hash of its id is small against its own size. That depends on no other row,
so that boundaries never shift along, and shards come out `target_bytes` large on average.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from spark_build.contract.shards import rejected_table, table_of, write_shard
from spark_build.core.digest import canonical_row
from spark_build.stages.rejected import Rejected

TARGET_BYTES = 8 << 20  # before compression

T = TypeVar("T")


def write_rows(
    output: Path,
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    fields: Mapping[str, str],
    target_bytes: int | None = None,
) -> None:
    """`data/<split>-NNNNN.parquet` of rows with id, source, meta and fields, in the order given."""
    (output / "data").mkdir(parents=True, exist_ok=True)
    for split, rows in sorted(splits.items()):
        sized = ((row, str(row["id"]), row_size(row)) for row in rows)
        for number, shard in enumerate(shards(sized, target_bytes or TARGET_BYTES)):
            write_shard(table_of(shard, fields), output / "data" / f"{split}-{number:05d}.parquet")


def row_size(row: Mapping[str, Any]) -> int:
    return len(canonical_row(row))


def write_rejected(
    output: Path, stage: str, rejected: Sequence[Rejected], target_bytes: int | None = None
) -> None:
    """`rejected/<stage>-NNNNN.parquet`; nothing where nothing was rejected."""
    if not rejected:
        return
    (output / "rejected").mkdir(parents=True, exist_ok=True)
    sized = ((row, row.id, 200 + len(row.detail)) for row in rejected)
    for number, shard in enumerate(shards(sized, target_bytes or TARGET_BYTES)):
        columns = {name: [getattr(row, name) for row in shard] for name in rejected_table({}).column_names}
        write_shard(rejected_table(columns), output / "rejected" / f"{stage}-{number:05d}.parquet")


def shards(rows: Iterable[tuple[T, str, int]], target_bytes: int) -> Iterator[list[T]]:
    """Rows in runs, none empty; each row comes with its id and its size in bytes."""
    shard: list[T] = []
    for row, row_id, size in rows:
        shard.append(row)
        if ends_shard(row_id, size, target_bytes):
            yield shard
            shard = []
    if shard:
        yield shard


def ends_shard(row_id: str, size: int, target_bytes: int | None = None) -> bool:
    """True once in `target_bytes` bytes, on average."""
    import xxhash

    return xxhash.xxh3_64_intdigest(row_id.encode()) * (target_bytes or TARGET_BYTES) < size << 64
