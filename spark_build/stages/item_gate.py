"""Gates that look at one item at a time: `measure` is remembered, `decide` is asked anew."""

from collections.abc import Iterator, Sequence
from typing import Any

from spark_build.contract.items import Item, Verdict
from spark_build.contract.rules import ItemGate
from spark_build.core.errors import ItemRejected, SparkError, StageFailed
from spark_build.core.job import JobStep
from spark_build.core.ports import Blobs, Services
from spark_build.core.spool import Spool
from spark_build.core.values import replace
from spark_build.stages.gating import Candidate, Gated, action_of, rejection
from spark_build.stages.items_memo import remember
from spark_build.stages.loading import failed
from spark_build.stages.media import named, referred, seen
from spark_build.stages.narrow import View, decoded, encoded_found, encoded_rejection, has_any
from spark_build.stages.progress import Progress
from spark_build.stages.spreading import Work


def run_item_gate(
    services: Services,
    step: JobStep,
    gate: ItemGate,
    params: Any,
    candidates: Sequence[Candidate],
    read: Sequence[tuple[str, ...]],
    *,
    is_mixed: bool,
) -> Gated:
    """`is_mixed`: of several modalities. There an item without a value that the gate reads has nothing to measure."""
    asked = [p for p, c in enumerate(candidates) if not is_mixed or has_any(c.item, read[p])]
    values, ran = remember(
        services,
        step.operation,
        [candidates[p].digest(read[p]) for p in asked],
        Work(
            measured,
            ItemGate,
            step,
            gate,
            lambda p: View(candidates[asked[p]].item, read[asked[p]]),
            services.blobs,
            is_pure=not gate.uses_model_of(params),
        ),
        batch=gate.batch_items,
        progress=Progress(services.report, len(asked), "items"),
    )
    gated = Gated(action_of(params), handled={candidates[asked[p]].number for p in ran})
    numbers = {position: number for number, position in enumerate(asked)}
    for position, candidate in enumerate(candidates):
        if position not in numbers:
            gated.kept.append(candidate)
            continue
        try:
            value = values[numbers[position]]
            verdict = _verdict(services, step, gate, params, candidate, value)
            _settle(gated, step, candidate, verdict, services.spool)
        except ItemRejected as why:
            gated.rejected.append(rejection(candidate, step, why.reason, detail=why.detail))
    return gated


def measured(step: JobStep, gate: ItemGate, batch: Sequence[View], blobs: Blobs) -> Iterator[bytes]:
    """What was found of each, as it is remembered; where one of a batch can't be handled, each by itself."""
    items = [view.narrowed(blobs) for view in batch]
    try:
        found = gate.measure_many(items)
        if len(found) != len(items):
            raise ValueError(f"measure_many gave {len(found)} values for {len(items)} items")
    except ItemRejected:
        yield from (
            _measured_alone(step, gate, one.item, item) for one, item in zip(batch, items, strict=True)
        )
        return
    except SparkError:
        raise
    except Exception as error:
        names = f"item '{batch[0].item.id}' of {batch[0].item.source}"
        raise failed(step, f"on {names}{' and others' if len(batch) > 1 else ''}", error) from error
    yield from (encoded_found(value, step, one.item) for one, value in zip(batch, found, strict=True))


def _measured_alone(step: JobStep, gate: ItemGate, whole: Item, item: Item) -> bytes:
    try:
        return encoded_found(gate.measure(item), step, whole)
    except ItemRejected as rejected:
        return encoded_rejection(rejected)
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, f"on item '{whole.id}' of {whole.source}", error) from error


def _verdict(
    services: Services, step: JobStep, gate: ItemGate, params: Any, candidate: Candidate, value: bytes
) -> Verdict:
    found, rejected = decoded(value)
    if rejected is not None:
        raise rejected
    try:
        verdict = gate.decide_item(seen(candidate.item, services.blobs), found, params)
        if not isinstance(verdict, Verdict):
            raise StageFailed(
                f"'{step.label or step.rule}': decide has to give a Verdict, not {type(verdict).__name__}",
                fix="return Verdict.keep() or Verdict.drop('reason')",
            )
        if not verdict.fields:
            return verdict
        made = named(referred(verdict.fields, services.blobs), candidate.item.fields)
        return replace(verdict, fields=made)
    except (ItemRejected, SparkError):
        raise
    except Exception as error:
        item = candidate.item
        raise failed(step, f"deciding on item '{item.id}' of {item.source}", error) from error


def _settle(gated: Gated, step: JobStep, candidate: Candidate, verdict: Verdict, spool: Spool) -> None:
    gated.counts.update(verdict.counts)
    if verdict.action == "drop":
        found = {name: getattr(verdict, name) for name in ("score", "threshold", "matched", "detail")}
        gated.act(candidate, rejection(candidate, step, verdict.reason or step.rule, **found))
    elif verdict.action == "replace":
        gated.replaced += 1
        item = candidate.item.with_fields(verdict.fields or {})
        gated.kept.append(Candidate(replace(item, fields=spool.fields(item.fields)), candidate.number))
    else:
        gated.kept.append(candidate)
