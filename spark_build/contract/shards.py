"""The columns of a dataset's Parquet shards: `id`, `source`, the typed fields, `meta`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract.columns import table_of_columns
from spark_build.contract.media import MEDIA_KINDS, facts_in, is_reference
from spark_build.core.digest import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

# of `rejected/*.parquet`; score and threshold are numbers, the rest text
REJECTED_COLUMNS = ("id", "source", "split", "gate", "reason", "score", "threshold", "matched", "detail")

_ROWS_PER_GROUP = 16_384
_METADATA_KEY = b"spark_build"
_AS_JSON = ("json", *MEDIA_KINDS)
_TEXT_LIKE = ("text", "label", *_AS_JSON)


def schema_of(fields: Mapping[str, str], *, is_version: bool = False) -> "pa.Schema":
    """The Arrow schema of a dataset with these fields; its metadata holds them, and Hugging Face features.

    A version's media are `{bytes, path}`, before they are references.
    """
    import pyarrow as pa

    columns = [pa.field("id", pa.string()), pa.field("source", pa.string())]
    columns += [pa.field(name, _arrow_type(kind, is_version)) for name, kind in fields.items()]
    columns.append(pa.field("meta", pa.string()))
    features = {c.name: _hugging_face_feature(fields.get(c.name, "text"), is_version) for c in columns}
    metadata = {
        _METADATA_KEY: canonical_json({"fields": list(fields.items())}),
        b"huggingface": canonical_json({"info": {"features": features}}),
    }
    return pa.schema(columns, metadata=metadata)


def fields_of(schema: "pa.Schema") -> dict[str, str]:
    return dict(json.loads(schema.metadata[_METADATA_KEY])["fields"])


def rows_of(batch: Any) -> list[dict[str, Any]]:
    """Rows of a table or batch as Python values: json, meta and references to media parsed."""
    parsed = [n for n, kind in fields_of(batch.schema).items() if kind in _AS_JSON]
    rows: list[dict[str, Any]] = batch.to_pylist()
    for row in rows:
        row["meta"] = json.loads(row["meta"]) if row["meta"] else {}
        for name in parsed:
            row[name] = (
                json.loads(row[name]) if isinstance(row[name], str) else row[name]
            )  # media of a version are bytes
    return rows


def told_rows(batch: Any) -> list[dict[str, Any]]:
    """Rows of a table or batch as they are shown: meta and json as text, of media what is known of them."""
    kinds = fields_of(batch.schema) if _METADATA_KEY in (batch.schema.metadata or {}) else {}
    media = [name for name, kind in kinds.items() if kind in MEDIA_KINDS and name in batch.schema.names]
    rows: list[dict[str, Any]] = batch.to_pylist()
    for row in rows if media else ():
        for name in media:
            row[name] = _told(row, name)
    return rows


def without_bytes(schema: "pa.Schema") -> list[str]:
    """Names of all columns to read but the media that a version holds."""
    import pyarrow as pa

    media = [c.name for c in schema if pa.types.is_struct(c.type)]
    return [f"{c.name}.path" if c.name in media else c.name for c in schema]


def table_of(
    rows: Sequence[Mapping[str, Any]], fields: Mapping[str, str], *, is_version: bool = False
) -> "pa.Table":
    """The inverse of `rows_of`: an Arrow table with `schema_of(fields)`."""
    stored, schema = [_storable(row, fields) for row in rows], schema_of(fields, is_version=is_version)
    return table_of_columns({name: [row[name] for row in stored] for name in schema.names}, schema)


def rejected_table(columns: Mapping[str, Sequence[Any]]) -> "pa.Table":
    """Rows of `rejected/`, from a list per column; a missing column is empty."""
    import pyarrow as pa

    kinds = {"score": pa.float64(), "threshold": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in REJECTED_COLUMNS])
    return table_of_columns({name: list(columns.get(name, ())) for name in REJECTED_COLUMNS}, schema)


def write_shard(table: "pa.Table", path: Path) -> None:
    """Parquet with fixed settings: equal tables give equal bytes, as long as pyarrow is the same."""
    import pyarrow.parquet as pq

    pq.write_table(
        table, path, row_group_size=_ROWS_PER_GROUP, version="2.6", data_page_version="1.0",
        compression="zstd", compression_level=3, write_statistics=True,
    )  # fmt: skip


def _told(row: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = row[name]
    if value is None:
        return None
    if isinstance(value, str):
        reference = json.loads(value)
        known = {**reference["facts"], "bytes": reference["bytes"], "digest": reference["digest"]}
        return {"path": reference["path"], **known}
    return {"path": value["path"], **facts_in(json.loads(row["meta"] or "{}"), name)}


def _storable(row: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    stored = {"id": row["id"], "source": row["source"]}
    for name, kind in fields.items():
        value = row.get(name)
        is_json = kind == "json" or is_reference(value)
        stored[name] = canonical_json(value).decode() if is_json and value is not None else value
    stored["meta"] = canonical_json(row["meta"]).decode() if row.get("meta") else ""
    return stored


def _arrow_type(kind: str, is_version: bool) -> "pa.DataType":
    import pyarrow as pa

    if kind in MEDIA_KINDS and is_version:
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if kind in _TEXT_LIKE:
        return pa.string()
    if kind == "number":
        return pa.float64()
    if kind == "messages":
        return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    raise ValueError(f"BUG: a field of type '{kind}' reached the shards")


def _hugging_face_feature(kind: str, is_version: bool) -> Any:
    if kind in MEDIA_KINDS and is_version:
        return {"_type": kind.capitalize()}
    if kind == "number":
        return {"dtype": "float64", "_type": "Value"}
    if kind == "messages":
        return {"feature": {"role": _STRING, "content": _STRING}, "_type": "List"}
    return _STRING


_STRING = {"dtype": "string", "_type": "Value"}
