"""Items on their way through the gates, in order; each gate sees what the earlier ones left."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spark_build.contract.media import MEDIA_KINDS
from spark_build.contract.rules import Gate, ItemGate
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Services
from spark_build.core.values import Struct, field
from spark_build.stages.entering import Entering
from spark_build.stages.gating import Candidate, Gated, check_none_fails
from spark_build.stages.item_gate import run_item_gate
from spark_build.stages.join_gate import run_join_gate
from spark_build.stages.loading import load_blind
from spark_build.stages.media import seen
from spark_build.stages.narrow import check_fields_exist
from spark_build.stages.rejected import Rejected, by_frequency, reasons


class Passed(Struct):
    kept: list[Candidate]
    rejected: list[Rejected] = field(default_factory=list)
    handled: set[int] = field(default_factory=set)  # numbers of candidates that an operation ran for
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by gate
    entering: dict[int, Entering] = field(default_factory=dict)  # by the number of a gate that compares items


def through_gates(
    job: Job, services: Services, candidates: Sequence[Candidate], fields: Mapping[str, str]
) -> Passed:
    """Errors: BadInput where a gate reads a field that is not there, or finds what may not be."""
    passed = Passed(list(candidates))
    for number, step in enumerate(job.steps):
        gated = run_gate(job, services, step, passed.kept, fields)
        for told in gated.told:
            services.report.log(told)
        check_none_fails(gated, step)
        passed.notes[free_name(step.label or step.rule, passed.notes)] = note(len(passed.kept), gated)
        if gated.joined is not None:
            passed.entering[number] = Entering.unknown(len(candidates))
            passed.entering[number].note([c.number for c in passed.kept], gated.joined)
        passed.kept, passed.handled = gated.kept, passed.handled | gated.handled
        passed.rejected += gated.rejected
    return passed


def run_gate(
    job: Job, services: Services, step: JobStep, candidates: Sequence[Candidate], fields: Mapping[str, str]
) -> Gated:
    gate, params = load_blind(job, step, Gate)
    read = fields_read(services, step, gate, candidates, fields)
    if isinstance(gate, ItemGate):
        is_mixed = any(kind in MEDIA_KINDS for kind in fields.values())
        return run_item_gate(services, step, gate, params, candidates, read, is_mixed=is_mixed)
    return run_join_gate(services, step, gate, params, candidates, read)  # type: ignore[arg-type]


def fields_read(
    services: Services, step: JobStep, gate: Gate, candidates: Sequence[Candidate], fields: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Of each item. Errors: BadInput where one is not there."""
    names = dict[tuple[str, ...], tuple[str, ...]]()  # items of one kind share what is read of them
    read = [
        names.setdefault(own, own)
        for c in candidates
        for own in [tuple(gate.fields_read(seen(c.item, services.blobs)))]
    ]
    check_fields_exist(step, read, list(fields))
    return read


def note(came_in: int, gated: Gated) -> dict[str, Any]:
    told = {
        "in": came_in,
        "dropped": len(gated.rejected),
        "replaced": gated.replaced,
        "reasons": reasons(gated.rejected),
        "flagged": by_frequency(gated.flagged),
        "counts": dict(sorted(gated.counts.items())),
    }
    return {**told, **gated.notes}


def free_name(label: str, taken: Mapping[str, Any]) -> str:
    """The same gate twice is 'pii', 'pii-2'."""
    name, number = label, 1
    while name in taken:
        number += 1
        name = f"{label}-{number}"
    return name


def warn_of_empty_splits(splits: Iterable[str], counts: Mapping[str, int], services: Services) -> None:
    for split in splits:
        if not counts.get(split):
            services.report.log(f"warning: the gates left nothing of split '{split}'")
