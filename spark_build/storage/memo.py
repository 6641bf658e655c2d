"""The item memo on disk: per operation a few sorted Parquet segments, each named by its own digest."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spark_build.contract.columns import column_of
from spark_build.core.digest import Digest, digest_file
from spark_build.core.disk import disk_problem
from spark_build.storage.durable import Disk
from spark_build.storage.jottings import Jottings, left_behind

if TYPE_CHECKING:
    import numpy as np

KEY_BYTES = 32
MOST_SEGMENTS = 8  # of one operation; beyond that the small ones are merged
_GROUP_BYTES, _GROUP_ROWS = 1 << 20, 8192  # of a row group: what one look-up decodes
_RECENT_GROUPS = 2  # of a segment that stay decoded
_FEW_OF = 4  # fewer than every fourth row are taken one by one
_STALE_SECONDS = 3600.0  # an unfinished segment older than this was left by a killed writer


class LocalMemo:
    """What per-item operations found: `folder/<operation>/<digest>.parquet`.

    Safe with several writers: a segment is written beside and renamed, and goes only when the merged one
    can be seen. Keys are held in memory (32 bytes each), values are read where they are asked for.
    """

    def __init__(
        self, folder: Path, report: Callable[[str], None] | None = None, disk: Disk | None = None
    ) -> None:
        self._folder = folder
        self._disk = Disk() if disk is None else disk
        self._report = report or (lambda text: None)
        self._open: dict[tuple[Digest, str], _Segment] = {}
        self._jotted: dict[Digest, Jottings] = {}

    def get(self, operation: Digest, keys: Sequence[bytes]) -> list[bytes | None]:
        import numpy as np

        self._take_over(operation)
        found: list[bytes | None] = [None] * len(keys)
        segments = self._segments(operation) if keys else []
        if not segments:
            return found
        wanted = np.frombuffer(b"".join(keys), dtype=f"S{KEY_BYTES}")
        open_positions = np.arange(len(keys))
        for segment in segments:
            rows = segment.rows_of(wanted[open_positions])
            hits = rows >= 0
            if not hits.any():
                continue
            for position, value in zip(
                open_positions[hits].tolist(), segment.values(rows[hits]), strict=True
            ):
                found[position] = value
            open_positions = open_positions[~hits]
            if not len(open_positions):
                break
        return found

    def put(self, operation: Digest, entries: Mapping[bytes, bytes]) -> None:
        """One more segment. Errors: Unavailable where the disk is full; other trouble is only reported."""
        if not entries:
            return
        folder = self._folder / operation
        try:
            self._disk.make_folder(os.path.abspath(folder))
            is_jotted = operation in self._jotted and self._jotted[operation].keys <= entries.keys()
            self._write(folder, iter(sorted(entries.items())), flush=is_jotted)
            if len(_names(folder)) > MOST_SEGMENTS:
                self._merge(operation)
        except OSError as error:
            self._not_written(error)
        else:
            if is_jotted:
                self._jotted.pop(operation).discard()

    def jot(self, operation: Digest, key: bytes, value: bytes) -> None:
        """Errors: Unavailable, whatever keeps it from the disk: what can't be kept must not be paid for."""
        try:
            if operation not in self._jotted:
                self._disk.make_folder(os.path.abspath(self._folder / operation))
                self._jotted[operation] = Jottings(self._folder / operation)
            self._jotted[operation].add(key, value)
        except OSError as error:
            raise disk_problem(error, str(self._folder)) from error

    def operations(self) -> list[Digest]:
        """All of which something is remembered."""
        try:
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except FileNotFoundError:
            return []

    def entries(self, operation: Digest) -> Iterator[tuple[bytes, bytes]]:
        self._take_over(operation)
        for segment in self._segments(operation):
            yield from segment.entries()

    def forget(self, operation: Digest, keys: Collection[bytes]) -> None:
        """Their segments without them, also those that are damaged: nobody knows what these hold.

        Errors: OSError, and then a segment may still hold them.
        """
        folder = self._folder / operation
        for segment in self._segments(operation):
            if gone := sum(segment.holds(key) for key in keys):
                if gone < len(segment.keys):
                    left = (entry for entry in segment.entries() if entry[0] not in keys)
                    self._write(folder, left, flush=True)
                self._open.pop((operation, segment.name), None)
                (folder / segment.name).unlink(missing_ok=True)
        for path in (*folder.glob("*.damaged"), *folder.glob(".*.tmp")):
            path.unlink(missing_ok=True)

    def _take_over(self, operation: Digest) -> None:
        """What killed builds jotted down, as a segment."""
        folder = self._folder / operation
        for path, entries in left_behind(folder, KEY_BYTES):
            try:
                if entries:
                    self._write(folder, iter(sorted(entries.items())), flush=True)
                path.unlink(missing_ok=True)
            except OSError as error:
                self._not_written(error)

    def _segments(self, operation: Digest) -> list["_Segment"]:
        """Every segment that can be read, the largest first; a damaged one is set aside."""
        while True:
            try:
                opened = [self._segment(operation, name) for name in _names(self._folder / operation)]
            except FileNotFoundError:
                continue  # another process merged it: look again, its entries are in a new one
            return sorted((s for s in opened if s is not None), key=lambda s: -len(s.keys))

    def _segment(self, operation: Digest, name: str) -> "_Segment | None":
        if (operation, name) not in self._open:
            path = self._folder / operation / name
            if digest_file(path, path.stat().st_size) != path.stem:
                self._set_aside(path, "its content does not match its name")
                return None
            try:
                self._open[operation, name] = _Segment(path)
            except FileNotFoundError:
                raise
            except Exception as error:  # pyarrow has no common class for what is wrong in a file
                self._set_aside(path, str(error))
                return None
        return self._open[operation, name]

    def _set_aside(self, path: Path, why: str) -> None:
        path.replace(path.with_suffix(".damaged"))
        self._report(f"memo: segment {path.parent.name[:12]}/{path.name[:12]} is damaged ({why}); set aside")

    def _merge(self, operation: Digest) -> None:
        """The smallest segments in one; each entry is rewritten a logarithmic number of times in all."""
        folder = self._folder / operation
        segments = sorted(self._segments(operation), key=lambda s: s.size)
        merged = segments[: _how_many_to_merge([s.size for s in segments])]
        if len(merged) < 2:
            return
        name = self._write(folder, _joined(merged), flush=True)
        for segment in merged:
            if segment.name != name:
                self._open.pop((operation, segment.name), None)
                (folder / segment.name).unlink(missing_ok=True)
        _remove_stale(folder)

    def _write(self, folder: Path, entries: Iterable[tuple[bytes, bytes]], *, flush: bool) -> str:
        """The name of the new segment. `entries` come by ascending key.

        `flush`: what holds them by now goes next; else they are worth no more than finding them again.
        """
        beside = folder / f".{os.getpid()}-{os.urandom(16).hex()}.tmp"
        self._disk.write_with(str(beside), lambda file: _fill(file, entries))
        try:
            name = f"{digest_file(beside)}.parquet"
            if flush:
                self._disk.flush_file(str(beside))
            self._disk.rename(str(beside), str(folder / name))
            if flush:
                self._disk.flush_folder(str(folder))
        finally:
            beside.unlink(missing_ok=True)
        return name

    def _not_written(self, error: OSError) -> None:
        import errno

        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_problem(error, str(self._folder)) from error
        self._report(f"memo: can't be written ({error.strerror or error}); this work will not be remembered")


class _Segment:
    """One file, its keys in memory; it stays readable when another process deletes it."""

    def __init__(self, path: Path) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        self.name = path.name
        self.size = path.stat().st_size
        self._file = pq.ParquetFile(path, memory_map=True)
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._recent: dict[int, Any] = {}
        self._starts = np.cumsum([0, *groups])
        self.keys = _keys_of(self._file.read(columns=["key"])["key"])

    def rows_of(self, wanted: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """For each wanted key its row, or -1."""
        import numpy as np

        rows = np.searchsorted(self.keys, wanted)
        rows[rows == len(self.keys)] = 0
        return np.where(self.keys[rows] == wanted, rows, -1)

    def holds(self, key: bytes) -> bool:
        import numpy as np

        return bool((self.rows_of(np.frombuffer(key, dtype=f"S{KEY_BYTES}")) >= 0).any())

    def values(self, rows: "np.ndarray[Any, Any]") -> list[bytes]:
        """In the order of `rows`; each row group is decoded once."""
        import numpy as np

        groups = np.searchsorted(self._starts, rows, side="right") - 1
        values: list[bytes] = [b""] * len(rows)
        for group in sorted({*groups.tolist()}):
            places = np.flatnonzero(groups == group)
            taken = _taken(self._column(group), (rows[places] - self._starts[group]).tolist())
            for place, value in zip(places.tolist(), taken, strict=True):
                values[place] = value
        return values

    def _column(self, group: int) -> Any:
        """One row group's values; the last few are kept, for callers that ask key by key."""
        if group not in self._recent:
            while len(self._recent) >= _RECENT_GROUPS:
                self._recent.pop(next(iter(self._recent)))
            self._recent[group] = self._file.read_row_group(group, columns=["value"])[
                "value"
            ].combine_chunks()
        return self._recent[group]

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group)
            yield from zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True)


def _taken(column: Any, rows: Sequence[int]) -> list[bytes]:
    """As `column.take` does, for which pyarrow.compute would be loaded: that takes as long as many thousand rows."""
    if _FEW_OF * len(rows) < len(column):
        return [column[row].as_py() for row in rows]
    values: list[bytes] = column.to_pylist()
    return [values[row] for row in rows]


def _keys_of(column: Any) -> "np.ndarray[Any, Any]":
    import numpy as np

    chunks = [
        np.frombuffer(c.buffers()[1], f"S{KEY_BYTES}", len(c), c.offset * KEY_BYTES) for c in column.chunks
    ]
    return np.concatenate(chunks) if chunks else np.empty(0, f"S{KEY_BYTES}")


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".parquet"))
    except FileNotFoundError:
        return []


def _how_many_to_merge(sizes: list[int]) -> int:
    """Of segments by ascending size: the first two, and on while the next is not much larger."""
    count, total = min(2, len(sizes)), sum(sizes[:2])
    while count < len(sizes) and sizes[count] <= 2 * total:
        total += sizes[count]
        count += 1
    return count


def _joined(segments: Sequence[_Segment]) -> Iterator[tuple[bytes, bytes]]:
    """All entries by ascending key; of equal keys one, since one operation finds one thing."""
    import heapq

    last = None
    for key, value in heapq.merge(*(s.entries() for s in segments), key=lambda entry: entry[0]):
        if key != last:
            yield key, value
            last = key


def _fill(file: IO[bytes], entries: Iterable[tuple[bytes, bytes]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("key", pa.binary(KEY_BYTES)), ("value", pa.binary())])
    codecs = {"key": "NONE", "value": "ZSTD"}
    with pq.ParquetWriter(
        file, schema, compression=codecs, use_dictionary=False, write_statistics=False
    ) as writer:
        for group in _groups(entries):
            keys, values = zip(*group, strict=True)
            columns = [column_of(keys, pa.binary(KEY_BYTES)), column_of(values, pa.binary())]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(group))


def _groups(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    group: list[tuple[bytes, bytes]] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += KEY_BYTES + len(entry[1])
        if size >= _GROUP_BYTES or len(group) >= _GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _remove_stale(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue  # its writer has just finished
