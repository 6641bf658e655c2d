"""Rows of Parquet and Arrow files as the `datasets` library writes them: labels by name, images and audio as media."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from spark_build.contract import Bad, Media, Raw, SourceFile
from spark_build.contract.media import new_file
from spark_build.core.digest import digest_bytes, digest_json
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.kinds import HEAD_BYTES, media_format
from spark_build.modalities.text.rows import columns_to_read, record_of_row
from spark_build.sources._media import read_media
from spark_build.sources._reading import ReadingParams

_ROWS_AT_ONCE = 100  # each may hold an image
_INFO = b"huggingface"  # of the schema's metadata: the library's own types
_MEDIA = ("Image", "Audio", "Video")
_STANDS = "media"  # in a row for what is put in its place

Features = Mapping[str, Any]


def is_table(file: SourceFile) -> bool:
    """By content, or by the name that Arrow's streams have, which begin with nothing of their own."""
    with open(file.location, "rb") as opened:
        head = opened.read(6)
    return head[:4] == b"PAR1" or head == b"ARROW1" or file.path.endswith(".arrow")


def labels_in(file: SourceFile) -> dict[str, list[str]]:
    """Names of the labels by column; none of a file that is broken or says nothing."""
    try:
        with _Table(file) as table:
            features = _features(table.schema)
    except ItemRejected:
        return {}
    return {name: list(f["names"]) for name, f in features.items() if f.get("_type") == "ClassLabel"}


def read_table(file: SourceFile, params: ReadingParams) -> Iterator[Raw | Bad]:
    """Nested columns are kept as JSON values. Errors: ItemRejected where the file is damaged; rows before it came."""
    with _Table(file) as table:
        features = _features(table.schema)
        media = [name for name in table.schema.names if _is_media(table.schema.field(name), features)]
        columns = columns_to_read(table.schema.names, params.reading())
        for number, row in enumerate(table.rows(columns), 1):
            yield _read(row, number, media, features, file, params)


def _read(
    row: dict[str, Any],
    number: int,
    media: Sequence[str],
    features: Features,
    file: SourceFile,
    params: ReadingParams,
) -> Raw | Bad:
    taken = {name: row[name] for name in media if row.get(name) is not None}
    try:
        plain = {name: _with_names(value, features.get(name), name) for name, value in row.items()}
        record = record_of_row({**plain, **dict.fromkeys(taken, _STANDS)}, f"row {number}", params.reading())
        if isinstance(record, ItemRejected):
            return Bad(record.reason, record.detail)
        columns = params.columns or {name: name for name in record.fields}
        mine = {field: taken[column] for field, column in columns.items() if column in taken}
        found = {field: _media(value, field, number, file, params) for field, value in mine.items()}
    except ItemRejected as why:
        return Bad(why.reason, f"row {number}: {why.detail}".removesuffix(": "))
    content = {**record.fields, **{field: digest_bytes(value["bytes"]) for field, value in mine.items()}}
    return Raw({**record.fields, **found}, digest_json(content), record.id, meta=record.meta)


def _media(
    value: Mapping[str, Any], field: str, number: int, file: SourceFile, params: ReadingParams
) -> Media:
    data, name = value.get("bytes"), PurePosixPath(str(value.get("path") or "")).name
    if not data:
        raise ItemRejected("no_bytes", f"'{field}' names {name or 'nothing'}, and does not hold it")
    found = media_format(data[:HEAD_BYTES], len(data))
    if found is None:
        raise ItemRejected("no_media", f"'{field}' holds neither image, audio nor video")
    place = new_file(found.suffix)
    place.write_bytes(data)
    called = name or f"{PurePosixPath(file.path).stem}-{number}{found.suffix}"
    try:
        made = SourceFile(called, place, len(data), "")
        return read_media(made, found, max_bytes=params.max_bytes, max_pixels=params.max_pixels)
    except ItemRejected as why:
        place.unlink(missing_ok=True)
        raise ItemRejected(why.reason, f"'{field}': {why.detail.replace(str(place), called)}") from None


def _is_media(column: Any, features: Features) -> bool:
    """Also without the library's own types: a struct of bytes and path is what it keeps media in."""
    import pyarrow as pa

    if features.get(column.name, {}).get("_type") in _MEDIA:
        return bool(pa.types.is_struct(column.type))
    if not pa.types.is_struct(column.type) or {f.name for f in column.type.fields} != {"bytes", "path"}:
        return False
    kind = column.type.field("bytes").type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _features(schema: Any) -> Features:
    """Of every column that the library has a type for. Anything else says nothing."""
    try:
        told = json.loads((schema.metadata or {})[_INFO])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return {name: f for name, f in told.items() if isinstance(f, dict)} if isinstance(told, dict) else {}


def _with_names(value: Any, feature: Any, name: str) -> Any:
    """Labels by name, also within lists and structs; -1 is the library's word for none."""
    if value is None or not isinstance(feature, dict | list):
        return value
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        return label_name(value, feature.get("names") or (), name)
    inner = feature[0] if isinstance(feature, list) else feature.get("feature")
    if isinstance(value, list):
        return [_with_names(one, inner, name) for one in value]
    if isinstance(value, Mapping) and isinstance(feature, dict):
        return {key: _with_names(one, feature.get(key), name) for key, one in value.items()}
    return value


def label_name(value: Any, names: Sequence[str], column: str) -> str | None:
    """Errors: ItemRejected for a number that has no name."""
    if value == -1:
        return None
    if not 0 <= value < len(names):
        raise ItemRejected("bad_label", f"'{column}' is {value:g}, and {len(names)} labels have names")
    return str(names[int(value)])


class _Table:
    """An open Parquet file, Arrow file or Arrow stream. Errors: ItemRejected where it is damaged."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._map: Any = None

    def __enter__(self) -> "_Table":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with _told(self._file):
            with open(self._file.location, "rb") as opened:
                head = opened.read(6)
            if head[:4] == b"PAR1":
                self._open: Any = pq.ParquetFile(self._file.location)
                self.schema = self._open.schema_arrow
                return self
            self._map = pa.memory_map(str(self._file.location))
            opener = pa.ipc.open_file if head == b"ARROW1" else pa.ipc.open_stream
            self._open = opener(self._map)
            self.schema = self._open.schema
        return self

    def __exit__(self, *_: object) -> None:
        (self._open if self._map is None else self._map).close()

    def rows(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        with _told(self._file):
            for batch in self._batches(columns):
                for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                    yield from batch.slice(start, _ROWS_AT_ONCE).to_pylist()

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        if hasattr(self._open, "iter_batches"):
            yield from self._open.iter_batches(_ROWS_AT_ONCE, columns=columns)
        elif hasattr(self._open, "num_record_batches"):
            for number in range(self._open.num_record_batches):
                yield self._open.get_batch(number).select(columns)
        else:
            for batch in self._open:
                yield batch.select(columns)


@contextmanager
def _told(file: SourceFile) -> Iterator[None]:
    """What pyarrow can't read, as one item's reason."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = "not_arrow" if file.path.endswith(".arrow") else "not_parquet"
        raise ItemRejected(reason, str(error).split("\n", 1)[0]) from None
