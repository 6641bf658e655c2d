"""Looks into every byte of a store, and into what these bytes are compressed from."""

import json
from pathlib import Path

import pyarrow.parquet as pq


def holding(store: Path, needle: str | bytes) -> list[str]:
    """Files below `store` that hold it, as they are or in a table."""
    needle = needle if isinstance(needle, bytes) else needle.encode()
    found = []
    for path in sorted(p for p in store.rglob("*") if p.is_file()):
        data = path.read_bytes()
        is_table = data[:4] == b"PAR1"
        if needle in data or needle in path.name.encode() or (is_table and needle in cells(path)):
            found.append(str(path.relative_to(store)))
    return found


def cells(path: Path) -> bytes:
    """All values of a table, bytes and schema included."""
    table = pq.ParquetFile(path).read()
    values = [column.to_pylist() for column in table.columns]
    raw = b"\n".join(inner for column in values for value in column for inner in _raw(value))
    return raw + json.dumps(values, ensure_ascii=False, default=_plain).encode() + str(table.schema).encode()


def _plain(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _raw(value: object) -> list[bytes]:
    """Bytes by themselves, and those of a media column."""
    inner = value.values() if isinstance(value, dict) else [value]
    return [one for one in inner if isinstance(one, bytes)]
