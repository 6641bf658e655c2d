"""Arrow columns from Python values, built from buffers.

`pyarrow.array` asks pandas about whatever it is given, and imports it for that wherever it is installed: for a stage
that handles one item that is most of its time. Values of another type than the column's are left to it all the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_MOST_BYTES = 2**31 - 1  # offsets are 32 bits wide


def column_of(values: Sequence[Any], kind: "pa.DataType") -> "pa.Array":
    """What `pyarrow.array(values, kind)` gives."""
    import pyarrow as pa

    built = None
    if pa.types.is_string(kind):
        built = _texts(values)
    elif pa.types.is_binary(kind):
        built = _bytes(values, kind)
    elif pa.types.is_fixed_size_binary(kind):
        built = _of_fixed_size(values, kind)
    elif pa.types.is_float64(kind):
        built = _numbers(values)
    elif pa.types.is_struct(kind):
        built = _records(values, kind)
    elif pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        built = _lists_of_records(values, kind)
    return pa.array(values, kind) if built is None else built


def table_of_columns(columns: Mapping[str, Sequence[Any]], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_arrays([column_of(columns[c.name], c.type) for c in schema], schema=schema)


def positions_of(rows: "np.ndarray[Any, Any]") -> "pa.Array":
    """Whole numbers, to take rows by."""
    import numpy as np
    import pyarrow as pa

    return pa.Array.from_buffers(
        pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows, np.int64))]
    )


def numbers_in(column: "pa.Array") -> "np.ndarray[Any, Any]":
    """The values of a column of numbers without nulls; nothing is copied."""
    import numpy as np

    return np.from_dlpack(column)


def _texts(values: Sequence[Any]) -> "pa.Array | None":
    import pyarrow as pa

    if not _are(values, str, type(None)):
        return None
    return _of_variable_size(values, [b"" if v is None else v.encode() for v in values], pa.string())


def _bytes(values: Sequence[Any], kind: "pa.DataType") -> "pa.Array | None":
    if not _are(values, bytes, type(None)):
        return None
    return _of_variable_size(values, [b"" if v is None else v for v in values], kind)


def _of_variable_size(values: Sequence[Any], data: Sequence[bytes], kind: "pa.DataType") -> "pa.Array | None":
    import numpy as np
    import pyarrow as pa

    offsets = _offsets(map(len, data), len(data))
    if offsets[-1] > _MOST_BYTES:
        return None
    buffers = [_validity(values), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(data))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _of_fixed_size(values: Sequence[Any], kind: "pa.DataType") -> "pa.Array | None":
    import pyarrow as pa

    if not _are(values, bytes) or any(len(value) != kind.byte_width for value in values):
        return None
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(b"".join(values))])


def _numbers(values: Sequence[Any]) -> "pa.Array | None":
    import numpy as np
    import pyarrow as pa

    if not _are(values, float, type(None)):
        return None
    data = np.array([0.0 if v is None else v for v in values], np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [_validity(values), pa.py_buffer(data)])


def _records(values: Sequence[Any], kind: "pa.DataType") -> "pa.Array | None":
    import pyarrow as pa

    fields = [*kind]
    if not _are(values, dict, type(None)):
        return None
    columns = [
        column_of([None if v is None else v.get(field.name) for v in values], field.type) for field in fields
    ]
    buffers = [_validity(values)]
    return pa.Array.from_buffers(kind, len(values), buffers, children=columns)


def _lists_of_records(values: Sequence[Any], kind: "pa.DataType") -> "pa.Array | None":
    import numpy as np
    import pyarrow as pa

    records = [record for value in values if type(value) is list for record in value]
    fields = [*kind.value_type]
    if not (_are(values, list, type(None)) and _are(records, dict) and {*map(len, records)} <= {len(fields)}):
        return None
    try:
        columns = [column_of([record[field.name] for record in records], field.type) for field in fields]
    except KeyError:  # another name than those of the type
        return None
    offsets = _offsets((0 if v is None else len(v) for v in values), len(values))
    inner = pa.StructArray.from_arrays(columns, fields=fields)
    buffers = [_validity(values), pa.py_buffer(offsets.astype(np.int32))]
    return pa.Array.from_buffers(kind, len(values), buffers, children=[inner])


def _are(values: Iterable[Any], *kinds: type) -> bool:
    return {*map(type, values)} <= {*kinds}


def _offsets(lengths: Iterable[int], count: int) -> "np.ndarray[Any, Any]":
    import numpy as np

    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, count), out=offsets[1:])
    return offsets


def _validity(values: Sequence[Any]) -> "pa.Buffer | None":
    """A bit for each value that is there; None where all are."""
    import numpy as np
    import pyarrow as pa

    if None not in values:
        return None
    there = np.fromiter((value is not None for value in values), np.bool_, len(values))
    return pa.py_buffer(np.packbits(there, bitorder="little"))
