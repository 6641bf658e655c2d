"""What is counted of a column's values, straight from its buffers: characters, words, messages, numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract.columns import numbers_in

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_BATCH_ROWS = 4096
# of media: units of figures, by the name of the fact; what is counted like labels
MEDIA_FIGURES = {
    "width": "pixels wide", "height": "pixels high", "duration": "seconds", "frame_rate": "frames per second",
    "sample_rate": "Hz", "channels": "channels", "bytes": "bytes",
}  # fmt: skip
MEDIA_COUNTED = ("format", "mode", "video_codec", "audio_codec")


def read_column(shards: Sequence[Path], name: str) -> Iterator["pa.Array"]:
    """Of `name.path` the records that have the part `path` alone."""
    return (in_batch(batch, name) for batch in read_batches(shards, [name]))


def in_batch(batch: "pa.RecordBatch", name: str) -> "pa.Array":
    """By name: what begins like a name, up to a dot, comes with it from Parquet, and in the file's order."""
    return batch.column(name if name in batch.schema.names else name.rpartition(".")[0])


def read_batches(shards: Sequence[Path], names: Sequence[str]) -> Iterator["pa.RecordBatch"]:
    """Some columns, a few thousand rows at a time."""
    import pyarrow.parquet as pq

    for shard in shards:
        with pq.ParquetFile(shard) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=list(names))


def counts_of(column: "pa.Array", kind: str) -> dict[str, "np.ndarray[Any, Any]"]:
    """Per value. Straight from the column's buffers: what pyarrow.compute takes to load is more than all of this."""
    if kind == "text":
        return {"characters": _characters(*text_of(column)), "words": _words(*text_of(column))}
    if kind == "json":
        return {"characters": _characters(*text_of(column))}
    if kind == "messages":
        return {"messages": _lengths(_bounds(column))}
    if kind == "number":
        return {"value": numbers_in(column)}
    return {}


def _bounds(column: "pa.Array") -> "np.ndarray[Any, Any]":
    """Where each value begins, and where the last one ends."""
    import numpy as np

    return np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)


def text_of(column: "pa.StringArray") -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Bytes of all values, one after the other, and their bounds."""
    import numpy as np

    bounds = _bounds(column)
    return np.frombuffer(column.buffers()[2] or b"", np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def _lengths(bounds: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    lengths: np.ndarray[Any, Any] = np.diff(bounds)
    return lengths


def _characters(text: "np.ndarray[Any, Any]", bounds: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Bytes that begin one: in UTF-8 the others are 10xxxxxx."""
    if not (text & 0x80).any():
        return _lengths(bounds)
    return _marks_between((text & 0xC0) != 0x80, bounds)


def _words(text: "np.ndarray[Any, Any]", bounds: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Runs of anything but ASCII white space (`[^\\s]+`, as RE2 reads it); bytes suffice to tell."""
    is_space = (text == 32) | ((text - 9 <= 4) & (text != 11))  # what lies below 9 wraps around
    begins = ~is_space
    begins[1:] &= is_space[:-1]
    first = bounds[:-1][_lengths(bounds) > 0]  # bytes of their texts
    begins[first] = ~is_space[first]
    return _marks_between(begins, bounds)


def _marks_between(marks: "np.ndarray[Any, Any]", bounds: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """How many bytes of each value are marked."""
    import numpy as np

    return _lengths(np.searchsorted(np.flatnonzero(marks), bounds))
