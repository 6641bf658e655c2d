"""A filter's splits, then and now: which rows came, went or stayed, and what became of those that were there then."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.rows import DatasetFolder
from spark_build.core.digest import Digest
from spark_build.core.job import Job
from spark_build.core.values import Struct
from spark_build.stages import entering
from spark_build.stages.gating import Candidate
from spark_build.stages.previous import OldFolder, OldSplit, digest_of
from spark_build.stages.row_changes import RowChanges, Side, row_changes
from spark_build.stages.splicing import DoesNotFit, Shard

MOST_CHANGED_SHARE = 0.25  # of the rows; beyond it the whole is as quick
_MOST_LOOKED_AT = 64  # unchanged rows, for one that the gates kept


class Split(Struct, frozen=True, dict=True):
    """What came in then and now, and what the gates left then."""

    name: str
    was: Side
    now: Side
    left: OldSplit
    changes: RowChanges
    first_then: int  # of its rows then, among those of all splits
    first_number: int  # of its rows now

    @cached_property
    def left_ids(self) -> set[str]:
        return set(self.left.ids)


class ChangedSplits(Struct, frozen=True, dict=True):
    splits: Sequence[Split]
    fields: Mapping[str, str]
    total: int  # rows now
    dropped: Mapping[str, Mapping[str, Any]]  # rows of `rejected/` then, by id

    @cached_property
    def ids(self) -> list[str]:
        return [own_id for split in self.splits for own_id in split.now.ids]

    @cached_property
    def sources(self) -> list[str]:
        return [source for split in self.splits for source in split.now.sources]

    @property
    def unchanged(self) -> Iterator[tuple[Split, int, int, int]]:
        """Runs of rows: their split, numbers of the first one then and now, and how many."""
        for split in self.splits:
            for before, position, count in split.changes.kept:
                yield split, split.first_then + before, split.first_number + position, count

    def shards(self, which: str) -> list[entering.Shard]:
        """Of `was` or `now`, all splits' one behind the other."""
        return [
            (split.name, digest, shard.rows)
            for split in self.splits
            for side in [split.was if which == "was" else split.now]
            for shard, digest in zip(side.shards, side.digests, strict=True)
        ]

    def candidates(self, which: str) -> list[Candidate]:
        """The rows that are there no more (`gone`) or that were not there before (`new`), in canonical order."""
        found = []
        for split in self.splits:
            side = split.was if which == "gone" else split.now
            positions = split.changes.gone if which == "gone" else split.changes.new
            for position, row in zip(positions, side.rows(positions), strict=True):
                found.append(self._candidate(row, split, position))
        return found

    def rows(self, numbers: Iterable[int]) -> list[Candidate]:
        """As they come in now."""
        found = []
        for number in numbers:
            split = self._split_of(number)
            position = number - split.first_number
            (row,) = split.now.rows([position])
            found.append(self._candidate(row, split, position))
        return found

    def names(self, numbers: Iterable[int]) -> list[Candidate]:
        """The same without what they hold."""
        return [Candidate(Item(self.ids[n], self.sources[n], self._split_of(n).name, {}), n) for n in numbers]

    def witness(self) -> Candidate:
        """An item that the gates left and leave: what is refused where no item at all is so can't be refused now."""
        for split in self.splits:
            for position in islice(_unchanged(split), _MOST_LOOKED_AT):
                if split.now.ids[position] in split.left_ids:
                    return self.rows([split.first_number + position])[0]
        raise DoesNotFit("nothing that is left as it was")

    def _split_of(self, number: int) -> Split:
        return next(split for split in reversed(self.splits) if split.first_number <= number)

    def _candidate(self, row: Mapping[str, Any], split: Split, position: int) -> Candidate:
        item = Item(row["id"], row["source"], split.name, {n: row[n] for n in self.fields}, row["meta"])
        return Candidate(item, split.first_number + position)


def changed_splits(job: Job, old: OldFolder, now: DatasetFolder) -> ChangedSplits:
    if "dataset" not in job.previous["inputs"]:
        raise DoesNotFit("what came in is not known")
    was = OldFolder(job.previous["inputs"]["dataset"])
    was.check()  # so that its shards have the digests that are told
    old.check(("data/", "rejected/"))
    if not [*was.fields.items()] == [*now.fields.items()] == [*old.fields.items()]:
        raise DoesNotFit("other fields")
    splits, first_then, first = [], 0, 0
    for name in sorted({*was.dataset.splits, *now.splits, *old.dataset.splits}):
        then = _side(was.dataset, name, [was.files[f"data/{path.name}"] for path in was.dataset.shards(name)])
        here = _side(now, name, [*map(digest_of, now.shards(name))])
        splits.append(Split(name, then, here, old.split(name), row_changes(then, here), first_then, first))
        first_then += then.starts[-1]
        first += here.starts[-1]
    gone, new = (sum(len(getattr(s.changes, which)) for s in splits) for which in ("gone", "new"))
    if max(gone, new) > MOST_CHANGED_SHARE * first:
        raise DoesNotFit("most of it changed")
    dropped = {row["id"]: row for row in old.rejected("filter")}
    return ChangedSplits(splits, now.fields, first, dropped)


def _side(dataset: DatasetFolder, split: str, digests: Sequence[Digest]) -> Side:
    return Side([Shard.of(path) for path in dataset.shards(split)], digests)


def _unchanged(split: Split) -> Iterator[int]:
    """Positions now; those first whose shards have been read already."""
    first = split.changes.new[0] if split.changes.new else 0
    runs = [run for run in split.changes.kept if run[1] + run[2] > first] or split.changes.kept
    return (position for _, begin, count in runs for position in range(max(begin, 0), begin + count))
