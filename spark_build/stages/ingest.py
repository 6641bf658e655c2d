"""Ingest: records read, typed, put into splits and transformed; `data/` and `rejected/` written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.items import Item
from spark_build.contract.rows import figures_of
from spark_build.contract.rules import Source
from spark_build.core.errors import BadInput
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services
from spark_build.stages.drafting import drafts_of, finished, rows_by_split
from spark_build.stages.fields import check_declared, typed
from spark_build.stages.ingest_changes import ingest_changes
from spark_build.stages.loading import load
from spark_build.stages.media import take_media
from spark_build.stages.previous import clear
from spark_build.stages.records import read_records
from spark_build.stages.rejected import Rejected, examples, in_order, reasons
from spark_build.stages.shard_writer import write_rejected, write_rows
from spark_build.stages.splicing import DoesNotFit
from spark_build.stages.splits import SplitPlan, balance_of
from spark_build.stages.transforming import Draft, apply_transform

_MOST_BALANCE_VALUES = 50  # of the balanced column, in the notes


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Errors: BadInput where nothing can be read, everything was rejected, or a split stays empty."""
    declared = dict(job.options.get("fields") or {})
    check_declared(declared)
    source, handled = load(job, job.steps[0], Source), set[tuple[str, int | str]]()
    if job.previous:
        try:
            return ingest_changes(job, context, services, source, declared, handled)
        except DoesNotFit as why:
            print(f"not gone on from the last result: {why}")  # for the log
            clear(job)
    return _ingest_all(job, context, services, source, declared, handled)


def _ingest_all(
    job: Job,
    context: Context,
    services: Services,
    source: Source,
    declared: Mapping[str, str],
    handled_before: set[tuple[str, int | str]],
) -> Outcome:
    source_step, *transforms = job.steps
    records = read_records(job, context, services, source_step, source)
    splits = SplitPlan.of(job.options.get("splits"))
    drafts, rejected = drafts_of(records, source_step, declared, splits, services.spool)
    handled = {n for n, r in enumerate(records) if r.is_new or r.identity in handled_before}
    total = len(records)
    del records  # drafts hold what is left of them
    for step in transforms:
        transformed = apply_transform(job, services, step, drafts, declared)
        drafts, handled = transformed.drafts, handled | transformed.handled
        rejected += transformed.rejected
    rejected = in_order(rejected)
    _check_rejected(job, total, drafts, rejected)
    items = finished(drafts)
    counts = Counter(item.split for item in items)
    splits.check(counts, total, job.limit)
    fields = typed((item.fields for item in items), declared, source.field_types())
    write_rows(Path(job.output), rows_by_split(items), fields)
    take_media(job, services.blobs)
    write_rejected(Path(job.output), "ingest", rejected)
    return Outcome(
        metrics=figures_of({**dict(sorted(counts.items())), "rejected": len(rejected)}),
        items={"handled": len(handled), "remembered": total - len(handled)},
        notes=_notes(items, rejected, splits, services),
    )


def _check_rejected(job: Job, records: int, drafts: Sequence[Draft], rejected: Sequence[Rejected]) -> None:
    faults = [row for row in rejected if row.is_fault]
    if faults and job.options.get("on_error") == "fail":
        raise BadInput(
            f"{len(faults):,} of {records:,} records can't be used (on_error: fail): {examples(faults)}",
            fix="mend them, or set `on_error: reject` to leave them out",
        )
    if not drafts:
        counted = ", ".join(f"{reason} ({count:,})" for reason, count in reasons(rejected).items())
        raise BadInput(
            f"every one of {records:,} records was rejected: {counted}. First: {examples(rejected)}",
            fix="mend them, or check the source's `with:` and the dataset's `fields:`",
        )


def _notes(
    items: Sequence[Item], rejected: Sequence[Rejected], splits: SplitPlan, services: Services
) -> dict[str, Any]:
    notes: dict[str, Any] = {"rejected": reasons(rejected)} if rejected else {}
    if splits.balance is not None and splits.ratios is not None:
        column = splits.balance
        table = balance_of((i.split, i.fields.get(column, i.meta.get(column))) for i in items)
        notes["balance"] = dict(list(table.items())[:_MOST_BALANCE_VALUES])
        for value, counts in notes["balance"].items():
            if missing := [split for split in splits.ratios if split not in counts]:
                services.report.log(f"warning: {column} '{value}' has no item in split {', '.join(missing)}")
    return notes
