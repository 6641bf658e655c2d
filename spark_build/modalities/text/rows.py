"""Rows: files that hold many records. JSON, JSON lines, CSV, TSV, Parquet."""

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from spark_build.core.errors import ItemRejected
from spark_build.modalities.text.encoding import decode
from spark_build.modalities.text.records import Reading, Record
from spark_build.modalities.text.values import value_of
from spark_build.modalities.text.whitespace import unix_lines

_DELIMITERS = ",;\t|"  # earlier ones win ties
_PARQUET_BATCH_ROWS = 1000


def read_jsonl(location: Path, reading: Reading) -> Iterator[Record | ItemRejected]:
    for number, line in _lines(location, reading.encoding):
        if isinstance(line, ItemRejected):
            yield line
        elif line.strip():
            yield _parsed(line, f"line {number}", reading)


def _lines(location: Path, encoding: str) -> Iterator[tuple[int, str | ItemRejected]]:
    """JSON lines are UTF-8 unless the user says otherwise; a line that isn't spoils only itself."""
    is_utf8 = encoding in ("auto", "utf-8", "utf8")
    errors = "surrogateescape" if is_utf8 else "strict"
    # newline='\n': U+2028 and a lone CR may stand in a JSON string
    with open(location, encoding="utf-8-sig" if is_utf8 else encoding, errors=errors, newline="\n") as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                stray = (
                    next((c for c in line if "\udc80" <= c <= "\udcff"), None) if not line.isascii() else None
                )
                if stray is not None:
                    yield (
                        number,
                        ItemRejected(
                            "encoding", f"line {number}: byte 0x{ord(stray) - 0xDC00:02x} is not utf-8"
                        ),
                    )
                else:
                    yield number, line
        except UnicodeDecodeError as error:
            yield number + 1, ItemRejected("encoding", f"after line {number}: {error.reason} ({encoding})")


def _parsed(line: str, where: str, reading: Reading) -> Record | ItemRejected:
    try:
        value = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return ItemRejected("not_json", f"{where}: {_json_problem(error)}")
    return record_of_row(value, where, reading)


def _json_problem(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"column {error.colno}: {error.msg}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_json(data: bytes, reading: Reading) -> Iterator[Record | ItemRejected]:
    """A list of objects, or one object."""
    try:
        value = json.loads(decode(data, reading.encoding), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ItemRejected("not_json", f"line {error.lineno}: {_json_problem(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ItemRejected("not_json", _json_problem(error)) from None
    for number, row in enumerate(value if isinstance(value, list) else [value], 1):
        yield record_of_row(row, f"item {number}", reading)


def read_csv(data: bytes, reading: Reading, *, delimiter: str) -> Iterator[Record | ItemRejected]:
    """Every value is text; an empty one is None.

    Errors: ItemRejected for a header that can't be one.
    """
    # lines within quotes take LF, so that saving the file on another system changes nothing
    text = unix_lines(decode(data, reading.encoding))
    csv.field_size_limit(2**31 - 1)  # the module's own limit of 128 KiB is shorter than many a document
    delimiter = _delimiter(text) if delimiter == "auto" else delimiter
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _numbered(reader)
    _, first = next(rows, (1, []))
    if isinstance(first, ItemRejected):
        raise first
    header = [name.strip() for name in first]
    _check_header(header, reading)
    for line, row in rows:
        if isinstance(row, ItemRejected):
            yield row
        elif len(row) != len(header):
            yield ItemRejected(
                "uneven_row", f"line {line}: {_values(len(row))}, the header has {len(header)}"
            )
        else:
            yield record_of_row(
                {n: v or None for n, v in zip(header, row, strict=True)}, f"line {line}", reading
            )


def _numbered(reader: Any) -> Iterator[tuple[int, list[str] | ItemRejected]]:
    """Rows with the line that they begin on; blank lines are left out."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, ItemRejected("not_csv", f"line {line}: {_csv_problem(error)}")
            continue
        if row:
            yield line, row


def _csv_problem(error: csv.Error) -> str:
    return "a quote that never closes" if "end of data" in str(error) else str(error)


def _delimiter(text: str) -> str:
    header = text.lstrip("\n").partition("\n")[0]
    outside_quotes = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside_quotes.count)


def _check_header(header: Sequence[str], reading: Reading) -> None:
    if not header:
        raise ItemRejected("empty", "no header")
    for position, name in enumerate(header, 1):
        if not name:
            raise ItemRejected("bad_header", f"column {position} has no name")
        if name in header[: position - 1]:
            raise ItemRejected("duplicate_header", f"column '{name}' twice")
    _check_columns(header, reading)


def _check_columns(header: Sequence[str], reading: Reading) -> None:
    for column in (*reading.columns.values(), *([reading.id_column] if reading.id_column else [])):
        if column not in header:
            raise ItemRejected("missing_column", f"no column '{column}'; it has {', '.join(header)}")


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


def read_parquet(location: Path, reading: Reading) -> Iterator[Record | ItemRejected]:
    """Errors: ItemRejected for a file that is cut off or damaged; rows before the damage have been given."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(location) as file:
            wanted = columns_to_read(file.schema_arrow.names, reading)
            batches = file.iter_batches(_PARQUET_BATCH_ROWS, columns=wanted)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield record_of_row(row, f"row {number}", reading)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ItemRejected("not_parquet", str(error).split("\n", 1)[0]) from None


def columns_to_read(names: Sequence[str], reading: Reading) -> list[str]:
    """Of a table with these columns. Errors: ItemRejected where one is there twice, or one that is asked for is not."""
    if repeated := next((n for n in names if names.count(n) > 1), None):
        raise ItemRejected("duplicate_header", f"column '{repeated}' twice")
    _check_columns(names, reading)
    return [n for n in names if n in _wanted(names, reading)]


def _wanted(names: Sequence[str], reading: Reading) -> set[str]:
    if not reading.columns:
        return set(names)
    return {*reading.columns.values(), reading.id_column or "id", "source", "meta"}


def record_of_row(row: Any, where: str, reading: Reading) -> Record | ItemRejected:
    """Of one row, whatever holds it; `where` is for people."""
    if not isinstance(row, Mapping):
        return ItemRejected("not_an_object", f"{where}: {type(row).__name__} instead of an object")
    try:
        return _record_of(row, reading)
    except ItemRejected as bad:
        return ItemRejected(bad.reason, f"{where}: {bad.detail}")


def _record_of(row: Mapping[str, Any], reading: Reading) -> Record:
    """Columns as fields; `id` names the record, and a row's own `source` and `meta` are its meta."""
    id_column = reading.id_column or "id"
    columns = reading.columns or {name: name for name in row if name not in (id_column, "source", "meta")}
    fields = {value_of(name): _column(row, column) for name, column in columns.items()}
    if not fields or all(value is None for value in fields.values()):
        raise ItemRejected("empty", "no value")
    meta = _meta(row.get("meta"))
    if row.get("source") is not None and "source" not in columns.values():
        meta = {**meta, "source": value_of(row["source"])}
    return Record(
        fields, is_row=True, id=_id(row, id_column, is_named=reading.id_column is not None), meta=meta
    )


def _column(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise ItemRejected("missing_column", f"no '{column}'")
    try:
        return value_of(row[column])
    except ItemRejected as bad:
        raise ItemRejected(bad.reason, f"'{column}' holds {bad.detail}") from None


def _id(row: Mapping[str, Any], column: str, *, is_named: bool) -> str | None:
    value = row.get(column)
    if value is None or value == "":
        if is_named:
            raise ItemRejected("no_id", f"no value in '{column}'")
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ItemRejected("no_id", f"'{column}' is neither text nor a whole number")
    return str(value_of(str(value)))


def _meta(value: Any) -> dict[str, Any]:
    """A row's own meta: an object, also where a shard holds it as JSON text."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value, parse_constant=_refuse_constant) if value else {}
    if isinstance(value, Mapping):
        return {str(name): value_of(inner) for name, inner in value.items()}
    return {} if value is None else {"meta": value_of(value)}
