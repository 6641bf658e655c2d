"""Gates that compare items: a signature each, remembered, and one deterministic join over all."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from spark_build.contract.rules import JoinGate
from spark_build.core.errors import ItemRejected
from spark_build.core.job import JobStep
from spark_build.core.ports import Services
from spark_build.stages.gating import Candidate, Gated, action_of, rejection
from spark_build.stages.joining import Join, Joining, Match
from spark_build.stages.media import seen
from spark_build.stages.narrow import View, has_any

LARGE_CLUSTER_SHARE, LARGE_CLUSTER_ITEMS = 0.001, 10
_EXAMPLES = 3

Read = tuple[str, ...]


def run_join_gate(
    services: Services,
    step: JobStep,
    gate: JoinGate,
    params: Any,
    candidates: Sequence[Candidate],
    read: Sequence[Read],
) -> Gated:
    """Items without a value in any field that the gate reads have nothing to compare, and stay."""

    numbers = [candidate.number for candidate in candidates]

    def view(item: Joining) -> View:
        position = bisect_left(numbers, item.number)
        return View(candidates[position].item, read[position])

    joining = all_joining(services, gate, candidates, read)
    join = Join(services, step, gate, params, joining, view)
    matches = join.run()
    gated = Gated(action_of(params), handled=join.handled, joined=joining)
    threshold = gate.threshold(params)
    for candidate in candidates:
        found = finding(candidate.number, matches, join.unreadable, threshold)
        if found is None:
            gated.kept.append(candidate)
        elif candidate.number in join.unreadable:
            gated.rejected.append(rejection(candidate, step, **found))
        else:
            gated.act(candidate, rejection(candidate, step, **found))
    gated.notes, gated.told = notes_of(step, len(candidates), join, matches)
    return gated


def all_joining(
    services: Services, gate: JoinGate, candidates: Sequence[Candidate], read: Sequence[Read]
) -> list[Joining]:
    return [
        Joining(
            c.number,
            c.item.id,
            c.item.source,
            c.digest(names),
            float(gate.priority(seen(c.item, services.blobs))),
        )
        for c, names in zip(candidates, read, strict=True)
        if has_any(c.item, names)
    ]


def finding(
    number: int,
    matches: Mapping[int, Match],
    unreadable: Mapping[int, ItemRejected],
    threshold: float | None,
) -> dict[str, Any] | None:
    """What a join found of an item, as a rejection tells it; None where it stays."""
    if number in unreadable:
        return {"reason": unreadable[number].reason, "detail": unreadable[number].detail}
    if number not in matches:
        return None
    reason, kept, score = matches[number]
    return {"reason": reason, "score": score, "threshold": threshold, "matched": kept.id}


def notes_of(
    step: JobStep, came_in: int, join: Join, matches: Mapping[int, Match]
) -> tuple[dict[str, Any], list[str]]:
    """How many pairs were compared, and clusters so large that a template or a broken reader is likelier than chance;
    and a warning of each of these.
    """
    notes: dict[str, Any] = {"pairs": {"compared": join.compared}}
    sizes = Counter(kept.number for _, kept, _ in matches.values())
    floor = max(LARGE_CLUSTER_ITEMS, LARGE_CLUSTER_SHARE * came_in)
    large = [(number, size + 1) for number, size in sizes.most_common() if size + 1 > floor][:_EXAMPLES]
    clusters, warnings = [], []
    for number, size in large:
        kept = next(kept for _, kept, _ in matches.values() if kept.number == number)
        alike = [join.item(n) for n, match in matches.items() if match[1].number == number][:_EXAMPLES]
        clusters.append({"kept": kept.id, "items": size, "examples": [item.id for item in alike]})
        warnings.append(
            f"warning: '{step.label or step.rule}' found {size:,} items alike: kept {kept.id} of {kept.source}, "
            f"dropped {', '.join(f'{item.id} of {item.source}' for item in alike)} and more"
        )
    return {**notes, **({"large_clusters": clusters} if clusters else {})}, warnings
