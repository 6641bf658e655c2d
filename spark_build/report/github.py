"""A plan for GitHub Actions: a job summary in Markdown, and annotations on the lines that caused it."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spark_build.core.values import Struct, field
from spark_build.report.causes import cause_text, causes_text, drift_lines, shown
from spark_build.report.text import summary_text
from spark_build.report.words import count, duration, listed, printable

if TYPE_CHECKING:
    from spark_build.engine.explain import Reason
    from spark_build.engine.plan import Plan, StagePlan

MOST_ANNOTATIONS = 10  # GitHub shows no more of one kind per step
MOST_BYTES = 1_000_000  # of a summary; GitHub takes 1 MiB per step
MOST_CAUSES = 4
LONGEST_CAUSE = 300  # characters
LONGEST_MESSAGE = 1000
_AT = re.compile(r"(?P<file>.+):(?P<line>\d+):(?P<column>\d+)")
_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


class Place(Struct, frozen=True, order=True):
    file: str  # from the project's root
    line: int = 1
    column: int = 1

    @classmethod
    def parse(cls, at: str | None) -> "Place | None":
        match = _AT.fullmatch(at or "")
        return cls(match["file"], int(match["line"]), int(match["column"])) if match else None


class _Cause(Struct):
    """One line of the project and all that it wakes."""

    texts: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)


# annotations


def annotations(
    plan: "Plan", declared: Mapping[str, str], *, prefix: str = "", is_error: bool = False
) -> list[str]:
    """Workflow commands, at most ten; where there are more places the last says how many.

    `declared`: where the Sparkfile declares each stage. `prefix`: the project's folder in the repository.
    """
    level = "error" if is_error else "warning"
    causes = _by_place(plan, declared)
    places = list(causes)
    told = places if len(places) <= MOST_ANNOTATIONS else places[: MOST_ANNOTATIONS - 1]
    lines = [_annotation(level, place, causes[place], prefix) for place in told]
    if rest := places[len(told) :]:
        stages = {stage for place in rest for stage in causes[place].stages}
        text = f"and {count(len(rest), 'more place')} that {'make' if len(rest) > 1 else 'makes'} "
        text += f"{count(len(stages), 'stage')} stale: see the job's summary"
        lines.append(f"::{level} title=spark plan::{_message(text)}")
    return lines


def _by_place(plan: "Plan", declared: Mapping[str, str]) -> dict[Place, _Cause]:
    """Leaf causes by their places: of what runs first, then of what may run."""
    found: dict[Place, _Cause] = {}
    for state in ("run", "maybe"):
        for stage in (s for s in plan.stages if s.state == state):
            for reason in stage.reasons:
                if reason.kind == "upstream":
                    continue
                cause = found.setdefault(_place(reason, stage.stage, declared), _Cause())
                cause.texts += [t for t in [_without_place(reason, state)] if t not in cause.texts]
                cause.stages += [s for s in [stage.stage] if s not in cause.stages]
    return found


def _place(reason: "Reason", stage: str, declared: Mapping[str, str]) -> Place:
    """Where the value was written, else the first file of code that changed, else the stage's declaration."""
    if (place := Place.parse(reason.at)) is not None:
        return place
    code = (*reason.changed, *reason.added) if reason.kind == "rule" else ()
    return Place(code[0]) if code else Place.parse(declared.get(stage)) or Place("Sparkfile.yaml")


def _without_place(reason: "Reason", state: str) -> str:
    return cause_text(reason, state=state).removesuffix(f" at {printable(reason.at or '')}")


def _annotation(level: str, place: Place, cause: _Cause, prefix: str) -> str:
    values = {"file": prefix + place.file, "line": place.line, "col": place.column, "title": "spark plan"}
    properties = ",".join(f"{name}={_property(str(value))}" for name, value in values.items())
    text = f"{'; '.join(shown(cause.texts, MOST_CAUSES))}: {listed(cause.stages, 4)}"
    return f"::{level} {properties}::{_message(_cut(text, LONGEST_MESSAGE))}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


# the summary


def summary(plan: "Plan", *, title: str, notes: Sequence[str] = (), most_bytes: int = MOST_BYTES) -> str:
    """Markdown of at most `most_bytes`: what is stale and why; what found no room is counted."""
    told = [s for s in plan.stages if s.state != "fresh" or s.drift]
    head = f"### {_escaped(title)}\n\n{_escaped(summary_text(plan))}\n\n"
    head += "".join(f"- {_escaped(_cut(note, LONGEST_CAUSE))}\n" for note in shown(notes, 20))
    if told:
        head += "\n| state | stage | cause | last took |\n|---|---|---|---|\n"
    rows, left = [], told
    room = most_bytes - _bytes(head) - _bytes(_rest(told))
    for index, stage in enumerate(told):
        row = _row(stage)
        room -= _bytes(row)
        if room < 0:
            break
        rows.append(row)
        left = told[index + 1 :]
    return _cut_bytes("".join([head, *rows, _rest(left)]), most_bytes)


def _row(stage: "StagePlan") -> str:
    causes = [*causes_text(stage.reasons, stage.state), *drift_lines(stage.drift)]
    cell = "<br>".join(_escaped(_cut(cause, LONGEST_CAUSE)) for cause in shown(causes, MOST_CAUSES))
    took = duration(stage.seconds) if stage.seconds is not None else ""
    return f"| {stage.state} | {_escaped(stage.stage)} | {cell} | {took} |\n"


def _rest(stages: Sequence["StagePlan"]) -> str:
    if not stages:
        return ""
    states = ("run", "maybe", "restore", "fresh")
    counts = {state: sum(s.state == state for s in stages) for state in states}
    told = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    more = count(len(stages), "more stage", "more stages")
    return f"\nand {more} ({told}) for which a job's summary has no room; `spark plan` lists them\n"


def _escaped(text: str) -> str:
    """One line of Markdown that says `text`, whatever stands in it."""
    return _SPECIAL.sub(r"\\\1", html.escape(printable(text), quote=False))


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({count(len(text) - longest, 'more character')})"


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _cut_bytes(text: str, most: int) -> str:
    return (
        text
        if _bytes(text) <= most
        else text.encode("utf-8", "replace")[: max(0, most)].decode("utf-8", "ignore")
    )


__all__ = ["MOST_BYTES", "Place", "annotations", "summary"]
