"""Filter: gates in order, each seeing what the earlier ones left; measurements are remembered."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.items import Item
from spark_build.contract.rows import DatasetFolder, figures_of
from spark_build.core.errors import BadInput
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services
from spark_build.core.spool import Spool
from spark_build.stages.drafting import rows_by_split
from spark_build.stages.filter_changes import filter_changes
from spark_build.stages.gate_changes import check_goes_on, keep_entering
from spark_build.stages.gating import Candidate
from spark_build.stages.media import take_media
from spark_build.stages.passing import Passed, through_gates, warn_of_empty_splits
from spark_build.stages.previous import clear, digest_of
from spark_build.stages.rejected import in_order
from spark_build.stages.shard_writer import write_rejected, write_rows
from spark_build.stages.splicing import DoesNotFit, Shard

_NO_META: Mapping[str, Any] = MappingProxyType({})  # one for all: many items


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Errors: BadInput where the gates leave nothing, or one reads a field that is not there."""
    handled = set[str]()
    if job.previous:
        try:
            return filter_changes(job, context, services, handled)
        except DoesNotFit as why:
            print(f"not gone on from the last result: {why}")  # for the log
            clear(job)
    return _filter_all(job, context, services, handled)


def _filter_all(job: Job, context: Context, services: Services, handled_before: set[str]) -> Outcome:
    folder = DatasetFolder(context.inputs["dataset"])
    fields = folder.fields
    candidates = _candidates(folder, services.spool)
    passed = through_gates(job, services, candidates, fields)
    if not passed.kept:
        raise _nothing_left(len(candidates), passed.notes)
    handled = passed.handled | {c.number for c in candidates if c.item.id in handled_before}
    counts = Counter(c.item.split for c in passed.kept)
    warn_of_empty_splits(folder.splits, counts, services)
    write_rows(Path(job.output), rows_by_split(c.item for c in passed.kept), fields)
    take_media(job, services.blobs)
    write_rejected(Path(job.output), "filter", in_order(passed.rejected))
    _keep_entering(job, services, folder, passed)
    return Outcome(
        metrics=figures_of({**dict(sorted(counts.items())), "rejected": len(passed.rejected)}),
        items={"handled": len(handled), "remembered": len(candidates) - len(handled)},
        notes={"gates": passed.notes},
    )


def _keep_entering(job: Job, services: Services, folder: DatasetFolder, passed: Passed) -> None:
    """For the next time: what of it hangs on each item alone."""
    try:
        check_goes_on(job)
    except DoesNotFit:
        return
    if passed.entering:
        shards = [
            (s, digest_of(path), Shard.of(path).rows) for s in folder.splits for path in folder.shards(s)
        ]
        keep_entering(job, services.memo, passed.entering, shards)


def _candidates(folder: DatasetFolder, spool: Spool) -> list[Candidate]:
    """Every item in canonical order; its number is what `handled` counts."""
    candidates: list[Candidate] = []
    names = list(folder.fields)
    for split in folder.splits:
        for row in folder.rows(split):
            fields = spool.fields({name: row[name] for name in names})
            item = Item(row["id"], sys.intern(row["source"]), split, fields, row["meta"] or _NO_META)
            candidates.append(Candidate(item, len(candidates)))
    return candidates


def _nothing_left(total: int, notes: Mapping[str, Any]) -> BadInput:
    told = []
    for label, note in notes.items():
        if note["dropped"]:
            why = ", ".join(f"{reason} {count:,}" for reason, count in note["reasons"].items())
            told.append(f"'{label}' dropped {note['dropped']:,} of {note['in']:,} ({why})")
    return BadInput(
        f"the gates left none of {total:,} items: {'; '.join(told)}",
        fix="loosen the gate that drops most; it measures nothing again",
    )
