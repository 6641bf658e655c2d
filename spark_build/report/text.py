"""`spark plan` as text; imports nothing that takes time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spark_build.report.causes import causes_text, drift_lines, shown
from spark_build.report.fresh import nothing_to_do
from spark_build.report.paint import Paint
from spark_build.report.words import count, duration, size

if TYPE_CHECKING:
    from spark_build.engine.plan import Plan, StagePlan

_MOST_CAUSES = 4
_WIDEST_STAGE = 44


def plan_text(plan: "Plan", color: bool, *, verbose: bool = False) -> str:
    """One line per stage with its cause; fresh ones are counted, or shown with `verbose`."""
    paint = Paint(color)
    told = [s for s in plan.stages if verbose or s.state != "fresh" or s.drift]
    width = min(_WIDEST_STAGE, max((len(s.stage) for s in told), default=0))
    lines = [line for s in told for line in _stage_lines(s, width, paint, verbose)]
    folded = len(plan.stages) - len(told)
    if folded and told:
        lines.append(f"{paint.state('fresh', 8)} {paint(count(folded, 'other stage'), 'dim')}")
    return "\n".join([*lines, *([""] if lines else []), summary_text(plan)])


def _stage_lines(s: "StagePlan", width: int, paint: Paint, verbose: bool) -> Iterator[str]:
    causes = _details(s, verbose)
    head = f"{paint.state(s.state, 8)} {s.stage.ljust(width)}"
    yield f"{head}  {causes[0]}".rstrip() if causes else head.rstrip()
    for cause in causes[1:]:
        yield " " * (11 + width) + cause


def _details(s: "StagePlan", verbose: bool) -> list[str]:
    causes = causes_text(s.reasons, s.state)
    details = causes if verbose else shown(causes, _MOST_CAUSES)
    if s.state == "restore":
        details = [size(s.bytes) if s.bytes is not None else "size unknown", *details]
    if s.drift:
        details = [*details, *drift_lines(s.drift, " (--strict runs it again)")]
    if s.seconds is not None and s.state in ("run", "maybe"):
        details = [
            f"{details[0]}  ({duration(s.seconds)})" if details else f"({duration(s.seconds)})",
            *details[1:],
        ]
    return details


def summary_text(plan: "Plan") -> str:
    """`1 to run, 4 maybe, 1 fresh; 1.9 s of work, up to 4 min 2 s more`"""
    n = plan.summary
    if not n["run"] and not n["maybe"] and not n["restore"]:
        if not plan.stages:
            return "nothing to do: the Sparkfile declares no datasets and no models"
        return nothing_to_do(n["fresh"])
    words = {"run": "to run", "restore": "to restore", "maybe": "maybe", "fresh": "fresh"}
    counts = ", ".join(f"{n[state]} {word}" for state, word in words.items() if n[state])
    work = "; ".join(
        filter(None, [_work(plan, "run", "of work"), _work(plan, "maybe", "more at most"), _fetch(plan)])
    )
    return f"{counts}; {work}" if work else counts


def _work(plan: "Plan", state: str, words: str) -> str:
    """Times add up over stages, whether or not they will run side by side."""
    stages = [s for s in plan.stages if s.state == state]
    known = [s.seconds for s in stages if s.seconds is not None]
    if not known:
        return ""
    untimed = len(stages) - len(known)
    return f"{duration(sum(known))} {words}" + (f" and {untimed} never timed" if untimed else "")


def _fetch(plan: "Plan") -> str:
    sizes = [s.bytes for s in plan.stages if s.state == "restore" and s.bytes is not None]
    return f"{size(sum(sizes))} to fetch" if sizes else ""
