"""The way from records to kept items: what each step rejected, flagged and changed."""

from collections.abc import Mapping
from typing import Any

from spark_build.core.record import Record
from spark_build.report.dataset.facts import Funnel, Gate
from spark_build.report.dataset.findings import Found
from spark_build.stages.passing import free_name


def funnel(
    kept: int, reading: Found, gating: Found, flagged: Found, ingest: Record | None, filtered: Record | None
) -> Funnel:
    """By Records; where there are none, what the rows tell: who rejected and flagged them."""
    notes = dict(filtered.notes.get("gates", {})) if filtered is not None else {}
    rules = _rules(filtered) if filtered is not None else {}
    names = [*_in_order(notes, rules), *(name for name in _gates_of(gating, flagged) if name not in notes)]
    gates = tuple(_gate(name, notes.get(name), rules.get(name), gating, flagged) for name in names)
    steps = tuple(
        Gate(name, rejected=sum(reading.of(name).values()), reasons=reading.of(name))
        for name in _gates_of(reading)
    )
    return Funnel(
        reading=steps,
        gates=gates,
        kept=kept,
        rejected=sum(reading.counts.values()) + sum(gating.counts.values()),
        read=sum(ingest.items.values()) if ingest is not None and ingest.items else None,
        items=_whole(ingest.metrics.get("items")) if ingest is not None else None,
    )


def _gates_of(*found: Found) -> list[str]:
    return list(dict.fromkeys(gate for one in found for gate, _ in one.counts))


def _rules(record: Record) -> dict[str, str]:
    """The rule of each gate by its name in the notes, in the order that items met them."""
    rules: dict[str, str] = {}
    for step in record.manifest["steps"]:
        rules[free_name(step.get("name") or step["rule"], rules)] = step["rule"]
    return rules


def _in_order(notes: Mapping[str, Any], rules: Mapping[str, str]) -> list[str]:
    """Notes are kept sorted by name, the manifest's steps are not."""
    return [*(name for name in rules if name in notes), *(name for name in notes if name not in rules)]


def _gate(name: str, note: Mapping[str, Any] | None, rule: str | None, gating: Found, flagged: Found) -> Gate:
    """By its note; of a gate that is used twice the rows name the first alone."""
    if note is None:
        reasons, flags = gating.of(name), flagged.of(name)
        return Gate(
            name,
            rule,
            rejected=sum(reasons.values()),
            flagged=sum(flags.values()),
            reasons=reasons,
            flags=flags,
        )
    return Gate(
        name,
        rule,
        came=note["in"],
        rejected=note["dropped"],
        flagged=sum(note.get("flagged", {}).values()),
        replaced=note.get("replaced", 0),
        reasons=note["reasons"],
        flags=note.get("flagged", {}),
        counts=note.get("counts", {}),
    )


def _whole(figure: float | None) -> int | None:
    return None if figure is None else int(figure)
