"""Filter where few rows changed: these alone go through the gates, the shards that they fall into are cut anew."""

from collections import Counter
from pathlib import Path

from spark_build.contract.context import Context
from spark_build.contract.rows import DatasetFolder, figures_of
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services
from spark_build.stages.changed_splits import ChangedSplits, Split, changed_splits
from spark_build.stages.drafting import row_of
from spark_build.stages.gate_changes import through_changed_gates
from spark_build.stages.media import take_media
from spark_build.stages.passing import Passed, warn_of_empty_splits
from spark_build.stages.previous import OldFolder
from spark_build.stages.rejected import Rejected, in_order
from spark_build.stages.shard_writer import write_rejected
from spark_build.stages.splicing import Change, DoesNotFit, link_or_copy, splice


def filter_changes(job: Job, context: Context, services: Services, handled: set[str]) -> Outcome:
    """Errors: DoesNotFit; `handled` then holds the ids of items that a gate ran for all the same."""
    old, now = OldFolder(job.previous["output"]), DatasetFolder(context.inputs["dataset"])
    changed = changed_splits(job, old, now)
    passed = through_changed_gates(job, services, changed, handled)
    gone, new = passed.gone, passed.new
    output, counts = Path(job.output), Counter[str]()
    for split in changed.splits:
        change = _change(split, gone, new)
        splice(output, split.name, split.left.shards, change, changed.fields)
        if count := len(split.left.ids) - len(change.dropped) + len(change.added):
            counts[split.name] = count
    take_media(job, services.blobs)
    rejected = _write_rejected(old, output, changed, gone, new)
    for told in passed.told:
        services.report.log(told)
    warn_of_empty_splits(now.splits, counts, services)
    return Outcome(
        metrics=figures_of({**dict(sorted(counts.items())), "rejected": rejected}),
        items={"handled": len(new.handled), "remembered": changed.total - len(new.handled)},
        notes={"gates": passed.notes},
    )


def _change(split: Split, gone: Passed, new: Passed) -> Change:
    place = {own_id: position for position, own_id in enumerate(split.left.ids)}
    left_before = [c.item.id for c in gone.kept if c.item.split == split.name]
    if not place.keys() >= set(left_before):
        raise DoesNotFit("an item that the gates kept, and that is not there")
    dropped = {place[own_id] for own_id in left_before}
    kept = [c for c in new.kept if c.item.split == split.name]
    added = []
    for candidate in kept:
        position = candidate.number - split.first_number
        following = (place.get(own_id) for own_id in split.now.ids[position + 1 :])
        before = next((p for p in following if p is not None and p not in dropped), len(place))
        added.append((before, row_of(candidate.item)))
    return Change(dropped, added)


def _write_rejected(old: OldFolder, output: Path, changed: ChangedSplits, gone: Passed, new: Passed) -> int:
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
        for split in changed.splits
        for position, own_id in enumerate(split.now.ids)
        if own_id in rest
    }
    if len(rest) + len(no_more) != len(before) or numbers.keys() != rest.keys():
        raise DoesNotFit("an item that the gates dropped, and that is not listed")
    unchanged = (Rejected((row["split"], numbers[own_id], 0), **row) for own_id, row in rest.items())
    rejected = in_order([*unchanged, *new.rejected])
    write_rejected(output, "filter", rejected)
    return len(rejected)
