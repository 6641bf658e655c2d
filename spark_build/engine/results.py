"""What a build comes to: each stage's outcome, and the requirements that are not met."""

from __future__ import annotations  # what they name need not be loaded

from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct, field

if TYPE_CHECKING:
    from spark_build.core.record import Record
    from spark_build.engine.graph import Node, Requirement


OUTCOMES = ("ran", "restored", "fresh", "failed", "skipped")


class StageResult(Struct, frozen=True):
    """What became of one stage."""

    stage: str
    outcome: str  # ran restored fresh failed skipped
    seconds: float = 0.0
    record: Record | None = None
    error: str | None = None
    fix: str | None = None
    log: str | None = None  # path
    log_tail: str = ""
    scratch: str | None = None
    at: str | None = None
    drift: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The `stage` event of design section 10."""
        record = self.record
        data: dict[str, Any] = {
            "event": "stage",
            "stage": self.stage,
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "output": record.output if record else None,
            "items": None,
        }
        if record is not None and record.items is not None:
            handled, remembered = record.items.get("handled", 0), record.items.get("remembered", 0)
            if self.outcome != "ran":
                handled, remembered = 0, handled + remembered
            data["items"] = {"handled": handled, "remembered": remembered}
        if self.error is not None:
            data["error"] = self.error
        return data


class Unmet(Struct, frozen=True):
    """A requirement that a recorded figure does not meet."""

    stage: str
    requirement: Requirement
    figure: float | None

    def __str__(self) -> str:
        figure = "was not measured" if self.figure is None else f"is {self.figure:.4g}"
        asked = self.requirement
        return f"{asked.at}: {self.stage}: {asked.name} {figure}, required {asked.text}"


class BuildResult(Struct):
    """What became of all."""

    results: dict[str, StageResult] = field(default_factory=dict)
    unmet: list[Unmet] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_interrupted: bool = False

    def count(self, outcome: str) -> int:
        return sum(r.outcome == outcome for r in self.results.values())

    @property
    def exit_code(self) -> int:
        if self.is_interrupted:
            return 130
        if self.count("failed"):
            return 1
        if self.unmet:
            return 4
        return 1 if self.passed_over else 0

    def uninterrupted(self) -> BuildResult:
        """Itself, for what goes on from it. Errors: KeyboardInterrupt where there was one."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        return self

    @property
    def passed_over(self) -> list[str]:
        """Stages that did not run although nothing went wrong: a promise of ours is broken, never a success."""
        is_explained = self.is_interrupted or self.count("failed") or self.unmet
        return [] if is_explained else [s for s, r in self.results.items() if r.outcome == "skipped"]

    def to_json(self) -> dict[str, Any]:
        return {"event": "done", **{outcome: self.count(outcome) for outcome in OUTCOMES}}


def judged(node: Node, record: Record) -> list[Unmet]:
    """The stage's requirements that its recorded figures do not meet."""
    figures = [(r, record.metrics.get(r.name)) for r in node.requires]
    return [Unmet(node.stage, r, figure) for r, figure in figures if figure is None or not r.holds(figure)]
