"""Records on their way through ingest: as typed items with a split, in canonical order, each with an id of its own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from spark_build.contract.items import Bad, Item, Raw
from spark_build.contract.media import content_of
from spark_build.core.errors import ItemRejected
from spark_build.core.forgotten import REASON as FORGOTTEN
from spark_build.core.job import JobStep
from spark_build.core.spool import Spool
from spark_build.core.values import replace
from spark_build.stages.fields import converted, own_columns_out, plain_fields
from spark_build.stages.ids import content_id, unique
from spark_build.stages.records import Record
from spark_build.stages.rejected import Rejected, nameless
from spark_build.stages.splits import SplitPlan
from spark_build.stages.transforming import Draft


def drafts_of(
    records: Sequence[Record],
    step: JobStep,
    declared: Mapping[str, str],
    splits: SplitPlan,
    spool: Spool,
) -> tuple[list[Draft], list[Rejected]]:
    """Records as items with a type, a split and an id; and those that can't be."""
    drafts, rejected = [], []
    for number, record in enumerate(records):
        place, found = (record.source, record.position, 0), record.found
        if isinstance(found, Bad):
            row = nameless(place, step.label or step.rule, found.reason, found.detail)
            rejected.append(replace(row, is_fault=found.reason != FORGOTTEN))
            continue
        fields, own_id, meta = own_columns_out(found)
        fields = plain_fields(fields)
        item = Item(
            own_id or content_id({n: content_of(v) for n, v in fields.items()}),
            record.source,
            "",
            fields,
            meta,
        )
        try:
            item = _in_split(item, found, declared, splits)
            drafts.append(Draft(replace(item, fields=spool.fields(item.fields)), place, number))
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


def finished(drafts: Sequence[Draft]) -> list[Item]:
    """Items in canonical order (split, source, position), each with an id of its own."""
    ordered = sorted(drafts, key=lambda draft: (draft.item.split, draft.place))
    ids = unique([draft.item.id for draft in ordered])
    return [_renamed(draft.item, own_id) for draft, own_id in zip(ordered, ids, strict=True)]


def _renamed(item: Item, own_id: str) -> Item:
    return item if item.id == own_id else Item(own_id, item.source, item.split, item.fields, item.meta)


def rows_by_split(items: Iterable[Item]) -> dict[str, Iterator[dict[str, Any]]]:
    """Each row is made when it is asked for."""
    by_split: dict[str, list[Item]] = {}
    for item in items:
        by_split.setdefault(item.split, []).append(item)
    return {split: map(row_of, own) for split, own in by_split.items()}


def row_of(item: Item) -> dict[str, Any]:
    return {**item.fields, "id": item.id, "source": item.source, "meta": dict(item.meta)}
