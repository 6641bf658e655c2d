"""Shards of which some rows change: untouched ones are linked whole, the others are cut anew by their content."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract.shards import rows_of, schema_of, table_of, write_shard
from spark_build.core.values import Struct, field
from spark_build.stages.shard_writer import ends_shard, row_size

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]


class DoesNotFit(Exception):
    """What changed can't be told apart from the rest: the whole has to be done anew."""


class Shard(Struct, frozen=True):
    path: Path
    rows: int

    @classmethod
    def of(cls, path: Path) -> "Shard":
        import pyarrow.parquet as pq

        return cls(path, pq.read_metadata(path).num_rows)

    def read(self, *columns: str) -> "pa.Table":
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path, memory_map=True) as file:
            return file.read(columns=list(columns) or None, use_threads=False)

    def filled(self) -> dict[str, int]:
        """By column, at least so many rows with a value; from the footer alone."""
        import pyarrow.parquet as pq

        metadata, counts = pq.read_metadata(self.path), dict[str, int]()
        for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
            for column in (group.column(i) for i in range(group.num_columns)):
                if column.is_stats_set and "." not in (name := column.path_in_schema):  # no leaf of a list
                    counts[name] = counts.get(name, 0) + group.num_rows - column.statistics.null_count
        return counts


class Change(Struct):
    """Of one split, by positions among its old rows."""

    dropped: set[int] = field(default_factory=set)
    added: Sequence[tuple[int, Row]] = ()  # each before the old row there, in order


def splice(
    output: Path,
    split: str,
    shards: Sequence[Shard],
    change: Change,
    fields: Mapping[str, str],
) -> None:
    """`data/<split>-NNNNN.parquet`, as `write_rows` would write all rows. Errors: DoesNotFit."""
    cut = _Cut(output / "data", split, fields)
    cut.folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for shard in shards:
        end = start + shard.rows
        is_last = shard is shards[-1]
        dropped = {p - start for p in change.dropped if start <= p < end}
        added = [(p - start, row) for p, row in change.added if start <= p < end or (is_last and p == end)]
        if dropped or added or cut.is_within_shard:
            _cut_anew(cut, shard, dropped, added, is_last=is_last)
        else:
            cut.link(shard)
        start = end
    for row in () if shards else (row for _, row in change.added):
        cut.add(row)
    cut.end()


def link_or_copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)  # another device, or a file system without links


class _Cut:
    """The shards of a split, as they come."""

    def __init__(self, folder: Path, split: str, fields: Mapping[str, str]) -> None:
        self.folder, self._split, self._fields = folder, split, fields
        self._pieces: list[pa.Table] = []  # of the shard that has not ended
        self._count = 0

    @property
    def is_within_shard(self) -> bool:
        return bool(self._pieces)

    def link(self, shard: Shard) -> None:
        link_or_copy(shard.path, self._next())

    def keep(self, rows: "pa.Table") -> None:
        """Stored rows, none of which ends the shard."""
        if rows.num_rows:
            self._pieces.append(rows)

    def add(self, row: Row) -> None:
        self._pieces.append(table_of([row], self._fields))
        if ends_shard(str(row["id"]), row_size(row)):
            self.end()

    def end(self) -> None:
        import pyarrow as pa

        if self._pieces:
            schema = schema_of(self._fields)
            pieces = [pa.Table.from_arrays(piece.columns, schema=schema) for piece in self._pieces]
            write_shard(pa.concat_tables(pieces).combine_chunks(), self._next())
            self._pieces = []

    def _next(self) -> Path:
        self._count += 1
        return self.folder / f"{self._split}-{self._count - 1:05d}.parquet"


def _cut_anew(
    cut: _Cut, shard: Shard, dropped: set[int], added: Sequence[tuple[int, Row]], *, is_last: bool
) -> None:
    table = shard.read()
    here = 0
    for position in sorted(dropped | {p for p, _ in added if p < shard.rows}):
        cut.keep(table.slice(here, position - here))
        for row in (row for p, row in added if p == position):
            cut.add(row)
        here = position + 1 if position in dropped else position
    cut.keep(table.slice(here))
    behind = [row for p, row in added if p == shard.rows]
    if shard.rows - 1 not in dropped and (not is_last or (behind and _ends(table))):
        cut.end()
    for row in behind:
        cut.add(row)


def _ends(table: "pa.Table") -> bool:
    """Whether the last row of a split ends a shard; its size hangs on whether a null stood there as such."""
    (row,) = rows_of(table.slice(table.num_rows - 1))
    without = {name: value for name, value in row.items() if value is not None}
    ends = {ends_shard(row["id"], row_size(form)) for form in (row, without)}
    if len(ends) > 1:
        raise DoesNotFit("a row that ends its shard or not")
    return ends.pop()
