"""Rejected items: what went, at which gate, and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from spark_build.core.values import Struct, replace
from spark_build.stages.ids import content_id, unique

Place = tuple[str, int, int]  # source, position in it, position among what a transform made of it


class Rejected(Struct, frozen=True):
    place: Place  # orders the rows; not stored
    id: str
    source: str
    split: str | None
    gate: str
    reason: str
    score: float | None = None
    threshold: float | None = None
    matched: str | None = None
    detail: str = ""
    is_fault: bool = True  # something is wrong with it, so that `on_error: fail` counts it


def nameless(place: Place, gate: str, reason: str, detail: str) -> Rejected:
    """A record that could not be read, and has no content that could name it."""
    name = content_id([place[0], reason, detail])
    return Rejected(place, name, place[0], None, gate, reason, detail=detail)


def in_order(rejected: Iterable[Rejected]) -> list[Rejected]:
    """By place, with ids of their own."""
    ordered = sorted(rejected, key=lambda row: (row.place, row.gate))
    names = unique([row.id for row in ordered])
    return [
        replace(row, id=name) if row.id != name else row for row, name in zip(ordered, names, strict=True)
    ]


def reasons(rejected: Iterable[Rejected]) -> dict[str, int]:
    """How often each reason stands, the most frequent first."""
    return reasons_of(row.reason for row in rejected)


def reasons_of(names: Iterable[str]) -> dict[str, int]:
    return by_frequency(Counter(names))


def by_frequency(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda counted: (-counted[1], counted[0])))


def examples(rejected: Sequence[Rejected], count: int = 5) -> str:
    """'a.md: binary; b.jsonl: not_json (line 7: Expecting value); and 3 more'."""
    shown = [_told(row) for row in rejected[:count]]
    more = [f"and {len(rejected) - count:,} more"] if len(rejected) > count else []
    return "; ".join(shown + more)


def _told(row: Rejected) -> str:
    facts = [row.detail] if row.detail else []
    facts += [
        f"{name} {value:g}" for name in ("score", "threshold") if (value := getattr(row, name)) is not None
    ]
    facts += [f"like {row.matched}"] if row.matched else []
    return f"{row.source}: {row.reason}" + (f" ({', '.join(facts)})" if facts else "")
