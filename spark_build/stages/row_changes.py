"""Which rows of a split are other ones than before: shards of equal digest are passed over, the rest is compared."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from spark_build.contract.shards import rows_of
from spark_build.core.digest import Digest
from spark_build.stages.splicing import DoesNotFit, Shard

if TYPE_CHECKING:
    import pyarrow as pa

Position = int  # of a row in its split
Run = tuple[Position, Position, int]  # begin in the old split, begin in the new one, so many rows


@dataclass(frozen=True)
class Side:
    """A split, then or now."""

    shards: Sequence[Shard]
    digests: Sequence[Digest]

    @cached_property
    def ids(self) -> list[str]:
        return [own_id for shard in self.shards for own_id in shard.read("id")["id"].to_pylist()]

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
            yield rows_of(self._table(number).slice(start, 1))[0]

    def slice(self, position: Position, count: int) -> "pa.Table":
        """Rows that lie in one shard."""
        number = next(n for n, (start, end) in enumerate(pairwise(self.starts)) if start <= position < end)
        return self._table(number).slice(position - self.starts[number], count)

    def _table(self, number: int) -> "pa.Table":
        if number not in self._tables:
            self._tables[number] = self.shards[number].read()
        return self._tables[number]

    @cached_property
    def _tables(self) -> "dict[int, pa.Table]":
        return {}


@dataclass(frozen=True)
class RowChanges:
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
    """Of shards that only one side has."""
    where = {own_id: position for position, own_id, _ in _rows_outside(old, common)}
    runs: list[Run] = []
    shards: tuple[int, int] | None = None
    begin_of = _ShardNumber(old)
    for position, own_id, number in _rows_outside(new, common):
        before = where.get(own_id)
        if before is None:
            continue
        here = (begin_of(before), number)
        if (
            runs
            and here == shards
            and (before, position)
            == (
                runs[-1][0] + runs[-1][2],
                runs[-1][1] + runs[-1][2],
            )
        ):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((before, position, 1))
        shards = here
    return [equal for run in runs for equal in _equal_parts(old, new, run)]


class _ShardNumber:
    """Of a position; asked for positions that mostly follow one another."""

    def __init__(self, side: Side) -> None:
        self._starts = side.starts

    def __call__(self, position: Position) -> int:
        from bisect import bisect_right

        return bisect_right(self._starts, position) - 1


def _rows_outside(side: Side, common: set[Digest]) -> Iterator[tuple[Position, str, int]]:
    """(position, id, number of its shard) of rows in shards that are not `common`."""
    for number, (shard, digest) in enumerate(zip(side.shards, side.digests, strict=True)):
        if digest not in common:
            start = side.starts[number]
            for position in range(start, start + shard.rows):
                yield position, side.ids[position], number


def _equal_parts(old: Side, new: Side, run: Run) -> Iterator[Run]:
    """The run without rows whose ids are equal and whose content is not."""
    before, position, count = run
    if old.slice(before, count).equals(new.slice(position, count)):
        yield run
    elif count > 1:
        half = count // 2
        yield from _equal_parts(old, new, (before, position, half))
        yield from _equal_parts(old, new, (before + half, position + half, count - half))


def _outside(runs: Iterable[tuple[Position, int]], total: int) -> Iterator[Position]:
    here = 0
    for begin, count in sorted(runs):
        yield from range(here, begin)
        here = begin + count
    yield from range(here, total)


def sides(
    splits: Iterable[str], old: Mapping[str, Side], new: Mapping[str, Side]
) -> Iterator[tuple[str, Side, Side]]:
    empty = Side([], [])
    for split in splits:
        yield split, old.get(split, empty), new.get(split, empty)
