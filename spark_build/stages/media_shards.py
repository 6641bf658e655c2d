"""Shards of a version whose rows have media: images and audio within them, videos beside them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract.media import MARK, MEDIA_KINDS, Reference, blob_path
from spark_build.contract.rows import DatasetFolder
from spark_build.contract.shards import schema_of, table_of
from spark_build.core.digest import digest_bytes
from spark_build.core.errors import StoreDamaged
from spark_build.core.ports import Blobs
from spark_build.stages.shard_writer import row_size, shards

if TYPE_CHECKING:
    import pyarrow as pa

TARGET_BYTES = 128 << 20  # media and all
GROUP_BYTES = 16 << 20  # of a row group: so much is in memory at once, or one item
IN_FILES = ("video",)  # too large for a row

Row = dict[str, Any]


def write_media_shards(folder: DatasetFolder, output: Path, blobs: Blobs) -> bool:
    """`data/<split>-NNNNN.parquet` with the media of the rows; False, and nothing done, where there are none."""
    if not folder.splits or not (media := [n for n, kind in folder.fields.items() if kind in MEDIA_KINDS]):
        return False
    (output / "data").mkdir(parents=True, exist_ok=True)
    for split in folder.splits:
        sized = (
            (row, str(row["id"]), row_size(row) + _media_bytes(row, media)) for row in folder.rows(split)
        )
        for number, rows in enumerate(shards(sized, TARGET_BYTES)):
            _write(output / "data" / f"{split}-{number:05d}.parquet", rows, folder.fields, media, blobs)
    return True


def _media_bytes(row: Row, media: list[str]) -> int:
    """Of those that the shard itself holds."""
    references = (row[name] for name in media if row[name] is not None)
    return sum(r["bytes"] for r in references if r[MARK] not in IN_FILES)


def _write(path: Path, rows: list[Row], fields: Mapping[str, str], media: list[str], blobs: Blobs) -> None:
    """Parquet with fixed settings, as `write_shard`; what is compressed already is not compressed again."""
    import pyarrow.parquet as pq

    schema = schema_of(fields, is_version=True)
    leaves = [leaf for column in schema for leaf in _leaves(column)]
    plain = [leaf for leaf in leaves if not leaf.endswith(".bytes")]
    with pq.ParquetWriter(
        path, schema, version="2.6", data_page_version="1.0", compression_level=dict.fromkeys(plain, 3),
        compression={n: "zstd" if n in plain else "none" for n in leaves},
        use_dictionary=plain, write_statistics=plain,
    ) as file:  # fmt: skip
        for group in _groups(rows, media):
            file.write_table(table_of([_whole(row, media, blobs) for row in group], fields, is_version=True))


def _leaves(column: "pa.Field") -> list[str]:
    import pyarrow as pa

    if pa.types.is_struct(column.type):
        return [f"{column.name}.{inner.name}" for inner in column.type]
    if pa.types.is_list(column.type):
        return [f"{column.name}.list.element.{inner.name}" for inner in column.type.value_type]
    return [column.name]


def _groups(rows: list[Row], media: list[str]) -> Iterator[list[Row]]:
    group, size = list[Row](), 0
    for row in rows:
        own = _media_bytes(row, media)
        if group and size + own > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(row)
        size += own
    if group:
        yield group


def _whole(row: Row, media: list[str], blobs: Blobs) -> Row:
    """The row as a version holds it; what is known of its media goes to `meta`."""
    references = {name: row[name] for name in media if row[name] is not None}
    meta, facts = dict(row["meta"]), {n: _known(r) for n, r in references.items()}
    if facts and "media" in meta:
        meta["media_of_source"] = meta.pop("media")  # a source's own
    values = {name: _value(reference, blobs) for name, reference in references.items()}
    return {**row, **values, "meta": {**meta, "media": facts} if facts else meta}


def _known(reference: Reference) -> dict[str, Any]:
    return {**reference["facts"], "bytes": reference["bytes"], "digest": reference["digest"]}


def _value(reference: Reference, blobs: Blobs) -> dict[str, Any]:
    if reference[MARK] in IN_FILES:
        return {"bytes": None, "path": blob_path(reference)}
    data, digest = blobs.path(reference["digest"]).read_bytes(), reference["digest"]
    if digest_bytes(data) != digest:
        blobs.sound(digest)  # sets it aside
        raise StoreDamaged(
            f"{reference['path']} ({digest[:12]}) was read with other content than the store holds",
            fix="run it again, and look at the disk's health",
        )
    return {"bytes": data, "path": reference["path"]}
