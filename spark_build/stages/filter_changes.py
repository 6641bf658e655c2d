"""Filter where few rows changed: these alone go through the gates, the shards that they fall into are cut anew."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.items import Item
from spark_build.contract.rows import DatasetFolder, figures_of
from spark_build.contract.rules import Gate, ItemGate
from spark_build.core.digest import Digest
from spark_build.core.errors import BadInput
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Memo, Services
from spark_build.core.values import Struct, replace
from spark_build.stages.drafting import row_of
from spark_build.stages.gating import Candidate
from spark_build.stages.loading import rule_class
from spark_build.stages.media import take_media
from spark_build.stages.passing import Passed, through_gates, warn_of_empty_splits
from spark_build.stages.previous import OldFolder, OldSplit, digest_of
from spark_build.stages.rejected import Rejected, by_frequency, in_order
from spark_build.stages.row_changes import RowChanges, Side, row_changes
from spark_build.stages.shard_writer import write_rejected
from spark_build.stages.splicing import Change, DoesNotFit, Shard, link_or_copy, splice

_MOST_CHANGED_SHARE = 0.25  # of the rows; beyond it the whole is as quick
_MOST_LOOKED_AT = 64  # unchanged rows, for one that the gates kept


class _Split(Struct, frozen=True):
    """One split: what came in then and now, and what the gates left then."""

    name: str
    was: Side
    now: Side
    left: OldSplit
    changes: RowChanges
    first_number: int  # of its rows now, among those of all splits


def filter_changes(job: Job, context: Context, services: Services, handled: set[str]) -> Outcome:
    """Errors: DoesNotFit; `handled` then holds the ids of items that a gate ran for all the same."""
    if not all(issubclass(rule_class(job, step, Gate), ItemGate) for step in job.steps):
        raise DoesNotFit("a gate that compares items")
    old, now = OldFolder(job.previous["output"]), DatasetFolder(context.inputs["dataset"])
    splits, fields = _splits(job, old, now), now.fields
    witness = _witness(splits, fields)
    gone = _through(job, services, [*_candidates(splits, fields, "gone"), witness], fields, known=True)
    new = _through(job, services, [*_candidates(splits, fields, "new"), witness], fields)
    handled |= {c.item.id for c in _candidates(splits, fields, "new") if c.number in new.handled}
    notes = _merged_notes(job.previous["notes"].get("gates") or {}, gone, new)
    output, counts = Path(job.output), Counter[str]()
    for split in splits:
        change = _change(split, gone, new, witness)
        splice(output, split.name, split.left.shards, change, fields)
        if count := len(split.left.ids) - len(change.dropped) + len(change.added):
            counts[split.name] = count
    take_media(job, services.blobs)
    rejected = _write_rejected(old, output, splits, gone, new)
    warn_of_empty_splits(now.splits, counts, services)
    total = sum(split.now.starts[-1] for split in splits)
    return Outcome(
        metrics=figures_of({**dict(sorted(counts.items())), "rejected": rejected}),
        items={"handled": len(new.handled), "remembered": total - len(new.handled)},
        notes={"gates": notes},
    )


def _splits(job: Job, old: OldFolder, now: DatasetFolder) -> list[_Split]:
    if "dataset" not in job.previous["inputs"]:
        raise DoesNotFit("what came in is not known")
    was = OldFolder(job.previous["inputs"]["dataset"])
    was.check()  # so that its shards have the digests that are told
    old.check(("data/", "rejected/"))
    if not [*was.fields.items()] == [*now.fields.items()] == [*old.fields.items()]:
        raise DoesNotFit("other fields")
    splits, first = [], 0
    for name in sorted({*was.dataset.splits, *now.splits, *old.dataset.splits}):
        then = _side(was.dataset, name, [was.files[f"data/{path.name}"] for path in was.dataset.shards(name)])
        here = _side(now, name, [*map(digest_of, now.shards(name))])
        splits.append(_Split(name, then, here, old.split(name), row_changes(then, here), first))
        first += here.starts[-1]
    gone, new = (sum(len(getattr(s.changes, which)) for s in splits) for which in ("gone", "new"))
    if max(gone, new) > _MOST_CHANGED_SHARE * first:
        raise DoesNotFit("most of it changed")
    return splits


def _side(dataset: DatasetFolder, split: str, digests: Sequence[Digest]) -> Side:
    return Side([Shard.of(path) for path in dataset.shards(split)], digests)


def _candidates(splits: Sequence[_Split], fields: Mapping[str, str], which: str) -> list[Candidate]:
    """The rows that are there no more (`gone`) or that were not there before (`new`), in canonical order."""
    candidates = []
    for split in splits:
        side, positions = (
            (split.was, split.changes.gone) if which == "gone" else (split.now, split.changes.new)
        )
        for position, row in zip(positions, side.rows(positions), strict=True):
            candidates.append(_candidate(row, split.name, fields, split.first_number + position))
    return candidates


def _candidate(row: Mapping[str, Any], split: str, fields: Mapping[str, str], number: int) -> Candidate:
    item = Item(row["id"], row["source"], split, {name: row[name] for name in fields}, row["meta"])
    return Candidate(item, number)


def _witness(splits: Sequence[_Split], fields: Mapping[str, str]) -> Candidate:
    """An item that the gates left and leave: what is refused where no item at all is so can't be refused now."""
    for split in splits:
        left = set(split.left.ids)
        for position in islice(_unchanged(split), _MOST_LOOKED_AT):
            if split.now.ids[position] in left:
                (row,) = split.now.rows([position])
                return _candidate(row, split.name, fields, split.first_number + position)
    raise DoesNotFit("nothing that is left as it was")


def _unchanged(split: _Split) -> Iterator[int]:
    """Positions now; those first whose shards have been read already."""
    first = split.changes.new[0] if split.changes.new else 0
    runs = [run for run in split.changes.kept if run[1] + run[2] > first] or split.changes.kept
    return (position for _, begin, count in runs for position in range(max(begin, 0), begin + count))


class _KnownAlone:
    """A memo that has to know everything: no operation runs for an item that is gone."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo

    def get(self, operation: Digest, keys: Sequence[bytes]) -> list[bytes | None]:
        values = self._memo.get(operation, keys)
        if None in values:
            raise DoesNotFit("what the gates found of an item that is gone")
        return values

    def put(self, operation: Digest, entries: Mapping[bytes, bytes]) -> None:
        """Nothing is new."""

    def jot(self, operation: Digest, key: bytes, value: bytes) -> None:
        """Nothing is new."""


def _through(
    job: Job,
    services: Services,
    candidates: Sequence[Candidate],
    fields: Mapping[str, str],
    *,
    known: bool = False,
) -> Passed:
    if known:
        services = replace(services, memo=_KnownAlone(services.memo))
    try:
        return through_gates(job, services, candidates, fields)
    except BadInput as why:  # the whole says it better
        raise DoesNotFit(why.message) from None


def _merged_notes(
    old: Mapping[str, Mapping[str, Any]], gone: Passed, new: Passed
) -> dict[str, dict[str, Any]]:
    if old.keys() != new.notes.keys():
        raise DoesNotFit("notes of other gates")
    return {name: _merged_note(old[name], gone.notes[name], note) for name, note in new.notes.items()}


def _merged_note(old: Mapping[str, Any], gone: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    if old.keys() != new.keys():
        raise DoesNotFit("other notes")
    merged = {name: old[name] - gone[name] + new[name] for name in ("in", "dropped", "replaced")}
    reasons, flagged = (
        by_frequency({name: count for name, count in _merged(old, gone, new, which).items() if count})
        for which in ("reasons", "flagged")
    )
    counts = _merged(old, gone, new, "counts")
    if any(not count and name in gone["counts"] for name, count in counts.items()):
        raise DoesNotFit("a count that may have gone")
    return {**merged, "reasons": reasons, "flagged": flagged, "counts": dict(sorted(counts.items()))}


def _merged(
    old: Mapping[str, Any], gone: Mapping[str, Any], new: Mapping[str, Any], name: str
) -> dict[str, int]:
    names = {*old[name], *new[name]}
    return {n: old[name].get(n, 0) - gone[name].get(n, 0) + new[name].get(n, 0) for n in names}


def _change(split: _Split, gone: Passed, new: Passed, witness: Candidate) -> Change:
    place = {own_id: position for position, own_id in enumerate(split.left.ids)}
    left_before = [
        c.item.id for c in gone.kept if c.item.split == split.name and c.item.id != witness.item.id
    ]
    if not place.keys() >= set(left_before):
        raise DoesNotFit("an item that the gates kept, and that is not there")
    dropped = {place[own_id] for own_id in left_before}
    kept = [c for c in new.kept if c.item.split == split.name and c.item.id != witness.item.id]
    added = []
    for candidate in kept:
        position = candidate.number - split.first_number
        following = (place.get(own_id) for own_id in split.now.ids[position + 1 :])
        before = next((p for p in following if p is not None and p not in dropped), len(place))
        added.append((before, row_of(candidate.item)))
    return Change(dropped, added)


def _write_rejected(old: OldFolder, output: Path, splits: Sequence[_Split], gone: Passed, new: Passed) -> int:
    """How many there are."""
    before = old.rejected("filter")
    if not gone.rejected and not new.rejected:
        for file in old.rejected_files("filter"):
            link_or_copy(file, output / "rejected" / file.name)
        return len(before)
    no_more = {row.id for row in gone.rejected}
    rest = {row["id"]: row for row in before if row["id"] not in no_more}
    numbers = {
        own_id: split.first_number + position
        for split in splits
        for position, own_id in enumerate(split.now.ids)
        if own_id in rest
    }
    if len(rest) + len(no_more) != len(before) or numbers.keys() != rest.keys():
        raise DoesNotFit("an item that the gates dropped, and that is not listed")
    unchanged = (Rejected((row["split"], numbers[own_id], 0), **row) for own_id, row in rest.items())
    rejected = in_order([*unchanged, *new.rejected])
    write_rejected(output, "filter", rejected)
    return len(rejected)
