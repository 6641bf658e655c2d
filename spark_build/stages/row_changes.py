"""Which rows of a split are other ones than before: shards of equal digest are passed over, the rest is compared."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from spark_build.contract.shards import rows_of
from spark_build.core.digest import Digest
from spark_build.core.values import Struct
from spark_build.stages.splicing import DoesNotFit, Shard

if TYPE_CHECKING:
    import pyarrow as pa

Position = int  # of a row in its split
Run = tuple[Position, Position, int]  # begin in the old split, begin in the new one, so many rows


class Side(Struct, frozen=True, dict=True):
    """A split, then or now."""

    shards: Sequence[Shard]
    digests: Sequence[Digest]

    @cached_property
    def ids(self) -> list[str]:
        return [own_id for number in range(len(self.shards)) for own_id in self.ids_of(number)]

    @cached_property
    def sources(self) -> list[str]:
        tables = (self._tables.get(n) or shard.read("source") for n, shard in enumerate(self.shards))
        return [source for table in tables for source in table["source"].to_pylist()]

    def ids_of(self, number: int) -> list[str]:
        """Of one shard."""
        table = self._tables.get(number) or self.shards[number].read("id")
        ids: list[str] = table["id"].to_pylist()
        return ids

    @cached_property
    def starts(self) -> list[Position]:
        starts = [0]
        for shard in self.shards:
            starts.append(starts[-1] + shard.rows)
        return starts

    def rows(self, positions: Iterable[Position]) -> Iterator[dict[str, Any]]:
        for position in positions:
            number = next(
                n for n, (start, end) in enumerate(pairwise(self.starts)) if start <= position < end
            )
            start = position - self.starts[number]
            yield rows_of(self.read(number).slice(start, 1))[0]

    def slice(self, position: Position, count: int) -> "pa.Table":
        """Rows that lie in one shard."""
        number = bisect_right(self.starts, position) - 1
        return self.read(number).slice(position - self.starts[number], count)

    def read(self, number: int) -> "pa.Table":
        """One shard, all of it; it stays."""
        if number not in self._tables:
            self._tables[number] = self.shards[number].read()
        return self._tables[number]

    @cached_property
    def _tables(self) -> "dict[int, pa.Table]":
        return {}


class RowChanges(Struct, frozen=True):
    gone: Sequence[Position]  # in the old split
    new: Sequence[Position]  # in the new one
    kept: Sequence[Run]  # what is as it was, in order


def row_changes(old: Side, new: Side) -> RowChanges:
    """Errors: DoesNotFit where rows changed places."""
    common = set(old.digests) & set(new.digests)
    if len(set(old.digests)) < len(old.digests) or len(set(new.digests)) < len(new.digests):
        raise DoesNotFit("two shards that are alike")
    runs = [
        (old.starts[old.digests.index(digest)], start, shard.rows)
        for digest, start, shard in zip(new.digests, new.starts, new.shards, strict=False)
        if digest in common
    ]
    runs += _equal_runs(old, new, common)
    runs.sort(key=lambda run: run[1])
    if any(before[0] + before[2] > after[0] for before, after in pairwise(runs)):
        raise DoesNotFit("rows in another order")
    return RowChanges(
        list(_outside(((a, n) for a, _, n in runs), old.starts[-1])),
        list(_outside(((b, n) for _, b, n in runs), new.starts[-1])),
        runs,
    )


def _equal_runs(old: Side, new: Side, common: set[Digest]) -> list[Run]:
    """Of shards that only one side has; each run lies in one shard of either side."""
    then, now = _rows_outside(old, common), _rows_outside(new, common)
    head = _in_common(then.ids, now.ids)
    tail = _in_common(then.ids[head:][::-1], now.ids[head:][::-1])
    where = {own_id: n for n, own_id in enumerate(then.ids[head : len(then.ids) - tail], head)}
    middle = ((where.get(now.ids[n]), n, 1) for n in range(head, len(now.ids) - tail))
    pairs = [(0, 0, head), *middle, (len(then.ids) - tail, len(now.ids) - tail, tail)]
    runs = [(a, b, count) for a, b, count in pairs if a is not None and count]
    whole = (run for pair in runs for run in _in_one_shard(then, now, pair))
    return [equal for run in whole for equal in _equal_parts(old, new, run)]


class _Rows(Struct, frozen=True):
    """Ids of some shards, one after the other, and where each of these shards begins: here, and in its split."""

    ids: list[str]
    begins: list[int]
    positions: list[Position]

    def place(self, number: int) -> tuple[Position, int]:
        """A row's position in its split, and how many rows its shard has from there."""
        shard = bisect_right(self.begins, number) - 1
        return self.positions[shard] + number - self.begins[shard], self.begins[shard + 1] - number


def _rows_outside(side: Side, common: set[Digest]) -> _Rows:
    """Of shards that are not `common`."""
    rows = _Rows([], [0], [])
    for number, digest in enumerate(side.digests):
        if digest not in common:
            side.read(number)  # their rows are compared next
            rows.ids.extend(side.ids_of(number))
            rows.begins.append(len(rows.ids))
            rows.positions.append(side.starts[number])
    return rows


def _in_common(one: list[str], other: list[str]) -> int:
    """How many both begin with."""
    least, most = 0, min(len(one), len(other))
    while least < most:  # slices compare quickly
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _in_one_shard(then: _Rows, now: _Rows, pair: Run) -> Iterator[Run]:
    a, b, left = pair
    while left:
        (before, old_left), (position, new_left) = then.place(a), now.place(b)
        count = min(left, old_left, new_left)
        yield before, position, count
        a, b, left = a + count, b + count, left - count


def _equal_parts(old: Side, new: Side, run: Run) -> Iterator[Run]:
    """The run without rows whose ids are equal and whose content is not."""
    before, position, count = run
    if _are_equal(old.slice(before, count), new.slice(position, count)):
        yield run
    elif count > 1:
        half = count // 2
        yield from _equal_parts(old, new, (before, position, half))
        yield from _equal_parts(old, new, (before + half, position + half, count - half))


def _are_equal(one: "pa.Table", other: "pa.Table") -> bool:
    """As they are stored: Arrow takes 0.0 and -0.0 for equal."""
    columns = zip(one.columns, other.columns, strict=True)
    return all(_in_bits(column).equals(_in_bits(twin)) for column, twin in columns)


def _in_bits(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    if not pa.types.is_float64(column.type):
        return column
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())


def _outside(runs: Iterable[tuple[Position, int]], total: int) -> Iterator[Position]:
    here = 0
    for begin, count in sorted(runs):
        yield from range(here, begin)
        here = begin + count
    yield from range(here, total)
