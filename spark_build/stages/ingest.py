"""Ingest: records read, typed, put into splits and transformed; `data/` and `rejected/` written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.items import Bad, Item, Raw
from spark_build.contract.rows import figures_of
from spark_build.contract.rules import Source
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Services
from spark_build.stages.fields import check_declared, converted, own_columns_out, plain_fields, typed
from spark_build.stages.ids import content_id, unique
from spark_build.stages.loading import load
from spark_build.stages.records import Record, read_records
from spark_build.stages.rejected import Rejected, examples, in_order, nameless, reasons
from spark_build.stages.shard_writer import write_rejected, write_rows
from spark_build.stages.splits import SplitPlan, balance_of
from spark_build.stages.transforming import Draft, apply_transform

_MOST_BALANCE_VALUES = 50  # of the balanced column, in the notes


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Errors: BadInput where nothing can be read, everything was rejected, or a split stays empty."""
    declared = dict(job.options.get("fields") or {})
    check_declared(declared)
    source_step, *transforms = job.steps
    records = read_records(job, context, services, source_step, load(job, source_step, Source))
    splits = SplitPlan.of(job.options.get("splits"))
    drafts, rejected = _drafts(records, source_step, declared, splits)
    handled = {number for number, record in enumerate(records) if record.is_new}
    for step in transforms:
        transformed = apply_transform(job, services, step, drafts, declared)
        drafts, handled = transformed.drafts, handled | transformed.handled
        rejected += transformed.rejected
    rejected = in_order(rejected)
    _check_rejected(job, len(records), drafts, rejected)
    items = _finished(drafts)
    counts = Counter(item.split for item in items)
    splits.check(counts, len(records), job.limit)
    write_rows(Path(job.output), rows_by_split(items), typed((item.fields for item in items), declared))
    write_rejected(Path(job.output), "ingest", rejected)
    return Outcome(
        metrics=figures_of({**dict(sorted(counts.items())), "rejected": len(rejected)}),
        items={"handled": len(handled), "remembered": len(records) - len(handled)},
        notes=_notes(items, rejected, splits, services),
    )


def _drafts(
    records: Sequence[Record], step: JobStep, declared: Mapping[str, str], splits: SplitPlan
) -> tuple[list[Draft], list[Rejected]]:
    """Records as items with a type, a split and an id; and those that can't be."""
    drafts, rejected = [], []
    for number, record in enumerate(records):
        place, found = (record.source, record.position, 0), record.found
        if isinstance(found, Bad):
            rejected.append(nameless(place, step.label or step.rule, found.reason, found.detail))
            continue
        fields, own_id, meta = own_columns_out(found)
        fields = plain_fields(fields)
        item = Item(own_id or content_id(fields), record.source, "", fields, meta)
        try:
            drafts.append(Draft(_in_split(item, found, declared, splits), place, number))
        except ItemRejected as why:
            gate = "splits" if why.reason in ("no_group", "bad_split") else "fields"
            rejected.append(Rejected(place, item.id, item.source, None, gate, why.reason, detail=why.detail))
    for draft, own_id in zip(drafts, unique([draft.item.id for draft in drafts]), strict=True):
        draft.item = _renamed(draft.item, own_id)
    return drafts, rejected


def _in_split(item: Item, raw: Raw, declared: Mapping[str, str], splits: SplitPlan) -> Item:
    fields = converted(item.fields, declared)
    # a record's key is its file or its content, so that chunks of one record and equal rows stay together
    split = splits.split_of(raw.key or item.id, raw.split, fields, item.meta)
    return Item(item.id, item.source, split, fields, item.meta)


def _finished(drafts: Sequence[Draft]) -> list[Item]:
    """Items in canonical order (split, source, position), each with an id of its own."""
    ordered = sorted(drafts, key=lambda draft: (draft.item.split, draft.place))
    ids = unique([draft.item.id for draft in ordered])
    return [_renamed(draft.item, own_id) for draft, own_id in zip(ordered, ids, strict=True)]


def _renamed(item: Item, own_id: str) -> Item:
    return item if item.id == own_id else Item(own_id, item.source, item.split, item.fields, item.meta)


def rows_by_split(items: Sequence[Item]) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        own = {"id": item.id, "source": item.source, "meta": dict(item.meta)}
        rows.setdefault(item.split, []).append({**item.fields, **own})
    return rows


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
