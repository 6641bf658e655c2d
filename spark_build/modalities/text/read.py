"""Any file of text as records: what it holds is found out, and the reader for that does the rest."""

from collections.abc import Iterator
from pathlib import Path

from spark_build.core.errors import ItemRejected
from spark_build.modalities.text.documents import read_document
from spark_build.modalities.text.kinds import HEAD_BYTES, kind_of
from spark_build.modalities.text.records import Reading, Record
from spark_build.modalities.text.rows import read_csv, read_json, read_jsonl, read_parquet

_READ_IN_PIECES = ("jsonl", "parquet")


def read_records(path: str, location: Path, reading: Reading) -> Iterator[Record | ItemRejected]:
    """The records of the file at `location`, in order; `path` is its name within the source.

    What can't be read comes as an ItemRejected in its place; the next record still comes where there is one.
    """
    is_empty = True
    try:
        for record in _records(path, location, reading):
            is_empty = False
            yield record
    except ItemRejected as bad:
        yield bad
        return
    if is_empty:
        yield ItemRejected("empty", "no row")


def _records(path: str, location: Path, reading: Reading) -> Iterator[Record | ItemRejected]:
    size = location.stat().st_size
    if size == 0:
        raise ItemRejected("empty", "0 bytes")
    with open(location, "rb") as file:
        kind = kind_of(path, file.read(HEAD_BYTES), reading.types)
    if kind not in _READ_IN_PIECES and size > reading.max_bytes:
        raise ItemRejected("too_large", f"{size} bytes; `max_bytes` is {reading.max_bytes}")
    yield from _records_of_kind(kind, location, reading)


def _records_of_kind(kind: str, location: Path, reading: Reading) -> Iterator[Record | ItemRejected]:
    if kind == "jsonl":
        yield from read_jsonl(location, reading)
    elif kind == "parquet":
        yield from read_parquet(location, reading)
    elif kind == "json":
        yield from read_json(location.read_bytes(), reading)
    elif kind in ("csv", "tsv"):
        delimiter = "\t" if kind == "tsv" and reading.delimiter == "auto" else reading.delimiter
        yield from read_csv(location.read_bytes(), reading, delimiter=delimiter)
    else:
        yield read_document(location.read_bytes(), kind, reading)
