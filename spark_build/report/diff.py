"""`spark diff`: two results beside each other, stage by stage, as text and as JSON."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.values import Struct, asdict, field
from spark_build.engine.explain import Reason
from spark_build.report.causes import causes_text
from spark_build.report.paint import Paint
from spark_build.report.words import count, duration, figure, printable, short, size

Pair = tuple[float | None, float | None]


class Result(Struct, frozen=True):
    """What one side has of a stage: of a Record, of a block of the lock, or of a plan that has not run."""

    stage: str
    key: Digest | None
    output: Digest | None  # None: not built
    manifest: Mapping[str, Any] | None = None  # None: nobody knows any more
    parts: Mapping[str, Digest] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the filter's notes
    libraries: Mapping[str, str] = field(default_factory=dict)  # full versions
    size: int | None = None
    seconds: float | None = None
    started: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict)  # what its Record keeps of why it ran

    def to_json(self) -> dict[str, Any]:
        names = ("stage", "key", "output", "size", "seconds", "started")
        return {name: getattr(self, name) for name in names}


class Items(Struct, frozen=True):
    """A dataset's items on both sides; `missing` says why they can't be told."""

    added: int = 0
    dropped: int = 0
    changed: int = 0
    examples: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    missing: str | None = None


class StageDiff(Struct, frozen=True):
    stage: str
    a: Result | None
    b: Result | None
    causes: tuple[Reason, ...] = ()
    metrics: Mapping[str, Pair] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, Pair]] = field(default_factory=dict)  # gate -> kept, dropped
    items: Items | None = None
    unknown: str | None = None  # why the causes can't be told

    @property
    def is_same(self) -> bool:
        """The same action with the same result."""
        return (
            self.a is not None
            and self.b is not None
            and (self.a.key, self.a.output) == (self.b.key, self.b.output)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "same": self.is_same,
            "a": self.a.to_json() if self.a else None,
            "b": self.b.to_json() if self.b else None,
            "causes": [reason.to_json() for reason in self.causes],
            "unknown": self.unknown,
            "metrics": {name: _pair_json(pair) for name, pair in self.metrics.items()},
            "gates": {gate: {n: _pair_json(p) for n, p in told.items()} for gate, told in self.gates.items()},
            "items": asdict(self.items) if self.items is not None else None,
        }


class Diff(Struct, frozen=True):
    a: str  # what the sides are, in words
    b: str
    stages: tuple[StageDiff, ...]
    members: "tuple[Diff, ...]" = ()  # of matrices: each pair of members by itself
    alone: tuple[str, ...] = ()  # members that have no other

    def to_json(self) -> dict[str, Any]:
        told = {"version": 1, "a": self.a, "b": self.b, "stages": [stage.to_json() for stage in self.stages]}
        if not self.members:
            return told
        members = [{"a": m.a, "b": m.b, "stages": [stage.stage for stage in m.stages]} for m in self.members]
        return {**told, "members": members, "alone": list(self.alone)}


def of_members(a: str, b: str, members: tuple[Diff, ...], alone: tuple[str, ...]) -> Diff:
    """Two matrices; a stage that several members share stands once."""
    stages: list[StageDiff] = []
    for stage in (stage for member in members for stage in member.stages):
        stages += [stage] if stage not in stages else []
    return Diff(a, b, tuple(stages), members, alone)


def diff_text(diff: Diff, *, color: bool = False) -> str:
    """What differs, stage by stage up the lineage; what is the same is counted."""
    if diff.members:
        pieces = [diff_text(member, color=color) for member in diff.members]
        pieces += [f"without another: {', '.join(map(printable, diff.alone))}"] if diff.alone else []
        return "\n\n".join(pieces)
    paint = Paint(color)
    differing = [stage for stage in diff.stages if not stage.is_same]
    lines = [f"{printable(diff.a)} → {printable(diff.b)}"]
    for stage in differing:
        lines += ["", _stage_head(stage, paint), *(f"  {line}" for line in _stage_lines(stage))]
    same = len(diff.stages) - len(differing)
    told = f"{len(differing)} of {count(len(diff.stages), 'stage')} differ"
    return "\n".join([*lines, "", told if differing else f"the same: {count(same, 'stage')}"])


def _stage_head(stage: StageDiff, paint: Paint) -> str:
    others = {r.stage for r in (stage.a, stage.b) if r is not None}
    name = " → ".join(printable(r.stage) for r in (stage.a, stage.b) if r is not None)
    return paint(name if len(others) > 1 else printable(stage.stage), "bold")


def _stage_lines(stage: StageDiff) -> Iterator[str]:
    if stage.a is None or stage.b is None:
        there = stage.b or stage.a
        assert there is not None
        yield f"only {'in the second' if stage.a is None else 'in the first'}: {_output(there)}"
        return
    yield from causes_text(stage.causes, "run")
    if stage.unknown:
        yield stage.unknown
    for name, (a, b) in stage.metrics.items():
        if a != b:
            yield f"figure {printable(name)} {_numbers((a, b))}"
    for gate, told in stage.gates.items():
        if any(a != b for a, b in told.values()):
            yield f"gate {printable(gate)}: " + ", ".join(f"{n} {_numbers(pair)}" for n, pair in told.items())
    if stage.items is not None:
        yield from _item_lines(stage.items)
    yield _outputs(stage.a, stage.b)


def _item_lines(items: Items) -> Iterator[str]:
    if items.missing is not None:
        yield f"items: {items.missing}"
        return
    yield f"items: {items.added} added, {items.dropped} dropped, {items.changed} changed"
    for what, examples in items.examples.items():
        for example in examples:
            why = f"  {printable(example['why'])}" if example.get("why") else ""
            yield f"  {what} {printable(short(example['id']))}  {printable(example['source'])}{why}"
        more = getattr(items, what) - len(examples)
        if examples and more > 0:
            yield f"  and {more} more {what}"


def _outputs(a: Result, b: Result) -> str:
    facts = ["the same result" if a.output == b.output else f"result {_output(a)} → {_output(b)}"]
    if a.size is not None and b.size is not None and a.size != b.size:
        facts.append(f"{size(a.size)} → {size(b.size)}")
    if a.seconds is not None and b.seconds is not None and a.key != b.key:
        facts.append(f"took {duration(a.seconds)} → {duration(b.seconds)}")
    return ", ".join(facts)


def _output(result: Result) -> str:
    return short(result.output) if result.output else "not built"


def _numbers(pair: Pair) -> str:
    a, b = pair
    told = " → ".join("none" if value is None else figure(value) for value in pair)
    difference = None if a is None or b is None or a == b else b - a
    return told if difference is None else f"{told} ({'+' if difference > 0 else ''}{figure(difference)})"


def _pair_json(pair: Pair) -> dict[str, float | None]:
    a, b = pair
    return {"a": a, "b": b, "difference": b - a if a is not None and b is not None else None}


def pairs(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, Pair]:
    """By name, in the order of the first, then what only the second has."""
    return {name: (a.get(name), b.get(name)) for name in dict.fromkeys(_both(a, b))}


def _both(a: Iterable[str], b: Iterable[str]) -> Iterator[str]:
    yield from a
    yield from b
