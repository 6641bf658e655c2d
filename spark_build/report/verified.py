"""What `spark verify` found, and how it is told."""

from collections.abc import Iterator
from typing import Any

from spark_build.core.values import Struct
from spark_build.engine.graph import Node
from spark_build.report.difference import Difference
from spark_build.report.paint import Paint
from spark_build.report.words import count, number, printable

LEVELS = ("bitwise", "numerics", "metric", "none")  # the strictest first
CAME_OUT = ("equal", "close", "not compared")  # verdicts that are no difference


class Level(Struct, frozen=True):
    """How a stage's result can be reproduced."""

    name: str
    tolerance: float = 0.0  # of metric: how far figures may lie apart, relative
    why: str = ""  # of none

    @classmethod
    def of(cls, node: Node) -> "Level":
        """The weakest of its steps'."""
        return cls.weakest([cls(s.reproducible, s.tolerance, s.reproducible_why) for s in node.steps])

    @classmethod
    def weakest(cls, levels: "list[Level]") -> "Level":
        """Of several with tolerances the widest counts."""
        name = max((level.name for level in levels), key=LEVELS.index, default=LEVELS[0])
        of_it = [level for level in levels if level.name == name]
        tolerance = max((level.tolerance for level in of_it), default=0.0)
        return cls(name, tolerance, next((level.why for level in of_it if level.why), ""))


class Verified(Struct, frozen=True):
    """One stage: what the store holds of it, and what came out now."""

    stage: str
    level: Level
    verdict: str  # equal close 'not compared' differs behind failed skipped
    expected: str
    got: str | None = None
    seconds: float = 0.0
    difference: Difference | None = None
    error: str | None = None
    drift: tuple[str, ...] = ()  # what the old result was taken for, though its key says otherwise

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "level": self.level.name,
            "verdict": self.verdict,
            "expected": self.expected,
            "got": self.got,
            "seconds": round(self.seconds, 3),
            "difference": self.difference.to_json() if self.difference is not None else None,
            "error": self.error,
        }


class Verification(Struct, frozen=True):
    target: str
    stages: tuple[Verified, ...]
    kept: str | None = None  # the folder that was built in

    @property
    def verdict(self) -> str:
        found = {stage.verdict for stage in self.stages}
        if found & {"failed", "skipped"}:
            return "failed"
        return "differs" if found & {"differs", "behind"} else "equal"

    @property
    def exit_code(self) -> int:
        return {"equal": 0, "failed": 1, "differs": 4}[self.verdict]

    def to_json(self) -> dict[str, Any]:
        told = [stage.to_json() for stage in self.stages]
        return {
            "version": 1,
            "target": self.target,
            "verdict": self.verdict,
            "stages": told,
            "kept": self.kept,
        }


def verification_text(verification: Verification, paint: Paint) -> str:
    """A line per stage, what differs below it, and one line that says what it comes to."""
    lines = [line for stage in verification.stages for line in _stage_lines(stage, paint)]
    if verification.kept:
        lines.append(f"built in {printable(verification.kept)}")
    return "\n".join([*lines, _last_line(verification)])


def _stage_lines(stage: Verified, paint: Paint) -> Iterator[str]:
    color = {"equal": "green", "close": "green", "differs": "red", "failed": "red"}.get(
        stage.verdict, "yellow"
    )
    yield f"{paint(stage.verdict.ljust(12), color)} {stage.stage}  {_level_text(stage.level)}"
    if stage.difference is not None:
        yield f"    {stage.difference}"
    if stage.verdict == "behind":
        yield "    made of what differs above"
    if stage.error is not None:
        yield f"    {printable(stage.error)}"
    if stage.drift and stage.verdict not in CAME_OUT:
        yield f"    its result was taken for another key's: {', '.join(map(printable, stage.drift))}"


def _level_text(level: Level) -> str:
    if level.name == "metric":
        return f"metric, within {number(level.tolerance)}"
    return f"none: {printable(level.why)}" if level.why else level.name


def _last_line(verification: Verification) -> str:
    target, stages = printable(verification.target), verification.stages
    if verification.verdict == "failed":
        return f"{target} could not be built again: there is no verdict"
    differing = [s for s in stages if s.verdict == "differs"]
    if differing or verification.verdict == "differs":
        first = differing[0].stage if differing else stages[0].stage
        return f"{target} differs: {count(len(differing), 'stage')} came out otherwise, first {first}"
    others = {word: sum(s.verdict == word for s in stages) for word in ("close", "not compared")}
    told = ", ".join(f"{n} {word}" for word, n in others.items() if n)
    return f"{target} verified: {count(len(stages), 'stage')} built again, as before{f' ({told})' if told else ''}"


__all__ = ["Level", "Verification", "Verified", "verification_text"]
