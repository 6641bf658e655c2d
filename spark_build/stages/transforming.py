"""Transforms: each item once in its life, remembered by the fields that the transform reads."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.rules import AskingTransform, Transform
from spark_build.core.errors import ItemRejected, SparkError
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Blobs, Services
from spark_build.core.spool import Spool
from spark_build.core.values import Struct, replace
from spark_build.stages.asking import asked_of, became
from spark_build.stages.fields import plain_fields, reconverted
from spark_build.stages.ids import numbered
from spark_build.stages.items_memo import remember
from spark_build.stages.loading import failed, load_blind
from spark_build.stages.media import is_usable, named, referred, seen
from spark_build.stages.narrow import View, decoded, encoded_found, encoded_rejection
from spark_build.stages.progress import Progress
from spark_build.stages.rejected import Place, Rejected
from spark_build.stages.spreading import Work


class Draft(Struct):
    """An item on its way through ingest."""

    item: Item
    place: Place
    record: int  # the record that it came from: what `handled` counts


class Transformed(Struct, frozen=True):
    drafts: list[Draft]
    rejected: list[Rejected]
    handled: set[int]  # records


def apply_transform(
    job: Job, services: Services, step: JobStep, drafts: Sequence[Draft], declared: Mapping[str, str]
) -> Transformed:
    """What the transform makes of the items it is for; the others pass unchanged."""
    rule, params = load_blind(job, step, Transform)
    chosen = [position for position, draft in enumerate(drafts) if _is_for(step, draft.item.split)]
    blobs = services.blobs
    read = {position: rule.fields_read(seen(drafts[position].item, blobs)) for position in chosen}
    views = [View(drafts[p].item, read[p]) for p in chosen]
    progress = Progress(services.report, len(chosen), "items")
    if isinstance(rule, AskingTransform):
        values, ran = asked_of(job, services, step, rule, views, progress)
    else:
        values, ran = remember(
            services,
            step.operation,
            [view.key for view in views],
            Work(
                applied,
                Transform,
                step,
                rule,
                views.__getitem__,
                blobs,
                is_pure=not rule.uses_model_of(params),
            ),
            progress=progress,
            usable=is_usable(blobs),
        )
    numbers = {position: number for number, position in enumerate(chosen)}
    result = Transformed([], [], {drafts[chosen[i]].record for i in ran})
    for position, draft in enumerate(drafts):
        if position not in numbers:
            result.drafts.append(draft)
            continue
        try:
            found = _found(values[numbers[position]])
            if isinstance(rule, AskingTransform):
                found = became(step, rule, params, View(draft.item, read[position]), found, blobs)
            result.drafts.extend(_pieces(draft, found, read[position], declared, services.spool))
        except ItemRejected as rejected:
            result.rejected.append(_rejected(draft, step, rejected))
    return replace(result, drafts=_replaced(result.drafts))


def _is_for(step: JobStep, split: str) -> bool:
    only = step.options.get("only")
    return only is None or split == only or (isinstance(only, list | tuple) and split in only)


def applied(step: JobStep, rule: Transform, views: Sequence[View], blobs: Blobs) -> Iterator[bytes]:
    """What each became, as it is remembered."""
    return (_apply(step, rule, view, blobs) for view in views)


def _apply(step: JobStep, rule: Transform, view: View, blobs: Blobs) -> bytes:
    item = view.item
    try:
        made = rule.apply(view.narrowed(blobs))
        return encoded_found([referred(fields, blobs) for fields in made], step, item)
    except ItemRejected as rejected:
        return encoded_rejection(rejected)
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, f"on item '{item.id}' of {item.source}", error) from error


def _found(value: bytes) -> Any:
    found, rejected = decoded(value)
    if rejected is not None:
        raise rejected
    return found


def _pieces(
    draft: Draft,
    found: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    declared: Mapping[str, str],
    spool: Spool,
) -> Iterator[Draft]:
    """The items that one became. Fields that the transform does not read stay as they are."""
    if not found:
        raise ItemRejected("dropped")
    unread = {name: value for name, value in draft.item.fields.items() if name not in names}
    ids = numbered(draft.item.id, len(found))
    for own_id, fields in zip(ids, found, strict=True):
        fields = named(fields, {n: draft.item.fields[n] for n in names if n in draft.item.fields})
        whole = spool.fields({**unread, **reconverted(plain_fields(fields), declared)})
        yield Draft(replace(draft.item, id=own_id, fields=whole), draft.place, draft.record)


def _replaced(drafts: list[Draft]) -> list[Draft]:
    """Places anew: position among the pieces of a record, through however many transforms."""
    counts: dict[tuple[str, int], int] = {}
    for draft in drafts:
        source, position, _ = draft.place
        number = counts.get((source, position), 0)
        counts[source, position] = number + 1
        draft.place = (source, position, number)
    return drafts


def _rejected(draft: Draft, step: JobStep, why: ItemRejected) -> Rejected:
    item: Any = draft.item
    is_fault = why.reason != "dropped"
    return Rejected(
        draft.place, item.id, item.source, item.split, step.label or step.rule, why.reason,
        detail=why.detail, is_fault=is_fault,
    )  # fmt: skip
