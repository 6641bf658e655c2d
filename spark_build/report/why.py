"""`spark why`: the chain of causes as text and as JSON, and what a stage's key is made of."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct
from spark_build.engine.plan import StagePlan
from spark_build.report.causes import causes_text, drift_lines
from spark_build.report.paint import Paint
from spark_build.report.words import duration, is_set, moment, printable, short, size, value

if TYPE_CHECKING:
    from spark_build.core.record import Record
    from spark_build.engine.chain import Cause, Link
    from spark_build.engine.explain import Reason

_MOST_FILES = 20  # of one kind that are named


class Why(Struct, frozen=True):
    stage: str
    planned: StagePlan | None  # None: its sources can't be looked at …
    problem: str | None  # … for this reason
    chain: "Link | None"  # why it is not fresh, or what was accepted
    ran: "Link | None"  # why it ran last
    record: "Record | None"  # its last result
    builds: dict[tuple[str, str], str]  # (stage, key) -> the build that made it

    def to_json(self) -> dict[str, Any]:
        planned = self.planned or StagePlan(self.stage, "unknown")
        told = {**planned.to_json(), "state": self.planned.state if self.planned else None}
        chains = {"chain": self._link_json(self.chain, set()), "ran": self._link_json(self.ran, set())}
        return {"version": 1, **told, **chains, "problem": self.problem}

    def _link_json(self, link: "Link | None", told: set[int]) -> dict[str, Any] | None:
        """A link that stands above already is named, not told twice."""
        if link is None:
            return None
        old, new = (self._record_json(link.stage, record) for record in (link.old, link.new))
        head = {"stage": link.stage, "state": link.state, "old": old, "new": new}
        if id(link) in told:
            return {**head, "above": True, "causes": []}
        told.add(id(link))
        return {**head, "above": False, "causes": [self._cause_json(cause, told) for cause in link.causes]}

    def _cause_json(self, cause: "Cause", told: set[int]) -> dict[str, Any]:
        return {**cause.reason.to_json(), "behind": self._link_json(cause.behind, told)}

    def _record_json(self, stage: str, record: "Record | None") -> dict[str, Any] | None:
        if record is None:
            return None
        build = self.builds.get((stage, record.key))
        return {"key": record.key, "output": record.output, "started": record.started, "build": build}


def why_text(why: Why, *, color: bool = False) -> str:
    """Why a stage is in its state: causes, followed up to the stages where they begin; why it ran last."""
    paint = Paint(color)
    lines = [*_head_lines(why, paint), *_Telling(why, paint).lines(why.chain, 1)]
    if why.record is None:
        return "\n".join([*lines, "  there is no earlier result"])
    manifest = (why.planned.manifest if why.planned is not None else None) or why.record.manifest
    return "\n".join(
        [
            *lines,
            "",
            *_ran_lines(why, paint),
            *_result_lines(why.record),
            *_manifest_lines(manifest),
        ]
    )


def _head_lines(why: Why, paint: Paint) -> Iterator[str]:
    if why.planned is None:
        yield paint(why.stage, "bold")
        first, *rest = (why.problem or "").split("\n")
        yield f"  can't be planned here: {printable(first)}"
        yield from (f"  {printable(line)}" for line in rest)
        yield "  what follows is told from its records alone"
        return
    yield f"{paint.state(why.planned.state)} {paint(why.stage, 'bold')}"
    yield from (f"  {line}" for line in drift_lines(why.planned.drift))
    if why.planned.state in ("fresh", "restore") and why.chain is None:
        yield "  nothing that counts has changed"


def _ran_lines(why: Why, paint: Paint) -> Iterator[str]:
    """When it ran last, and what was new then."""
    assert why.record is not None
    elsewhere = f" as {printable(why.record.stage)}" if why.record.stage != why.stage else ""
    build = why.builds.get((why.stage, why.record.key))
    head = f"last ran {moment(why.record.started)}{elsewhere}{f' in build {build}' if build else ''}"
    if why.ran is None or why.ran.old is None:
        yield f"{head}, for the first time"
        return
    yield f"{head}, after {moment(why.ran.old.started)}; since then:"
    lines = [*_Telling(why, paint).lines(why.ran, 1)]
    yield from lines or ["  nothing that its record knows of: it was asked to run, or its result was gone"]


class _Telling(Struct, dict=True):
    """Chains as indented lines; a link that was told already is only named."""

    why: Why
    paint: Paint

    def __post_init__(self) -> None:
        self._told: set[int] = set()

    def lines(self, link: "Link | None", depth: int) -> Iterator[str]:
        if link is None:
            return
        self._told.add(id(link))
        state = link.state or "run"
        for cause in link.causes:
            if cause.behind is None and cause.reason.kind != "upstream":
                yield from _leaf_lines(cause.reason, state, "  " * depth)
            else:
                yield from self._upstream(cause, state, depth)

    def _upstream(self, cause: "Cause", state: str, depth: int) -> Iterator[str]:
        behind = cause.behind
        if behind is None or behind.state is None:
            head = f"{printable(cause.reason.name)} gave something else{self._when(behind)}"
        else:
            head = f"behind {self.paint.state(behind.state)} {printable(behind.stage)}"
        is_told = behind is not None and id(behind) in self._told
        yield f"{'  ' * depth}{head}{' (see above)' if is_told else ''}"
        if not is_told:
            yield from self.lines(behind, depth + 1)

    def _when(self, behind: "Link | None") -> str:
        if behind is None or behind.new is None:
            return ""
        build = self.why.builds.get((behind.stage, behind.new.key))
        return f" on {moment(behind.new.started)}{f' in build {build}' if build else ''}"


def _leaf_lines(reason: "Reason", state: str, indent: str) -> Iterator[str]:
    """The cause, and where its one line leaves files out, these."""
    yield from (f"{indent}{line}" for line in causes_text([reason], state))
    if reason.kind == "input" and reason.at:
        yield f"{indent}  named at {printable(reason.at)}"
    for what, names in (("added", reason.added), ("changed", reason.changed), ("removed", reason.removed)):
        if len(names) > 4 or (what == "added" and names and (reason.changed or reason.removed)):
            yield from (f"{indent}  {what} {printable(name)}" for name in names[:_MOST_FILES])
            if (left := len(names[_MOST_FILES:]) + reason.more.get(what, 0)) > 0:
                yield f"{indent}  and {left} more {what}"


def _result_lines(record: "Record") -> Iterator[str]:
    yield f"it took {duration(record.seconds)}, {size(record.size)}"
    yield f"  key     {short(record.key)}"
    yield f"  output  {short(record.output)}"
    if record.metrics:
        yield "  figures " + ", ".join(f"{n} {value(round(f, 6))}" for n, f in sorted(record.metrics.items()))


def _manifest_lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What the key is made of, in the order in which it is read."""
    yield "what counts"
    for step in manifest.get("steps", []):
        revision = f" revision {step['revision']}" if step.get("revision") is not None else ""
        yield f"  {printable(step['rule'])}{revision}"
        yield from _facts(step)
    yield from _facts(
        {k: v for k, v in manifest.items() if k not in ("steps", "kind", "revision")}, indent="  "
    )


def _facts(step: Mapping[str, Any], indent: str = "    ") -> Iterator[str]:
    for group in ("params", "options", "inputs", "code", "env", "tools", "libraries", "numerics"):
        facts = sorted((step.get(group) or {}).items())
        yield from (
            f"{indent}{_LABELS[group]}{printable(n)} {_fact(given)}" for n, given in facts if is_set(given)
        )
        if unset := [name for name, given in facts if not is_set(given)]:
            yield f"{indent}unset: {', '.join(map(printable, unset))}"


_LABELS = {
    "params": "", "options": "", "inputs": "input ", "code": "code ", "env": "env ", "tools": "tool ",
    "libraries": "library ", "numerics": "numerics ",
}  # fmt: skip


def _fact(given: Any) -> str:
    if isinstance(given, str) and len(given) == 64:
        return short(given)
    if isinstance(given, Mapping):
        return (
            ", ".join(
                f"{printable(str(name))} {'absent' if inner is None else _fact(inner)}"
                for name, inner in given.items()
            )
            or "none"
        )
    return value(given)
