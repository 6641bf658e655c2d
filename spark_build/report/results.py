"""Finished stages and whole builds as text."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spark_build.report.causes import drift_lines
from spark_build.report.fresh import nothing_to_do
from spark_build.report.paint import Paint
from spark_build.report.words import count, duration, figure, listed, printable

if TYPE_CHECKING:
    from spark_build.engine.results import BuildResult, StageResult

_LOG_LINES = 20
_MOST_FIGURES = 4


def result_text(result: "StageResult", paint: Paint, width: int = 0) -> str:
    """`ran      dataset:tickets/filter  1.9 s, 100 items handled, 20000 remembered`"""
    facts = ", ".join(_facts(result))
    return f"{paint.state(result.outcome, 8)} {result.stage.ljust(width)}  {facts}".rstrip()


def _facts(result: "StageResult") -> Iterator[str]:
    if result.outcome in ("ran", "restored", "failed"):
        yield duration(result.seconds)
    if result.outcome == "ran" and result.record is not None:
        if (items := result.to_json()["items"]) is not None:
            yield f"{count(items['handled'], 'item')} handled, {items['remembered']} remembered"
        yield from _figures(result.record.metrics)
    if result.drift:
        yield from drift_lines(result.drift)


def _figures(metrics: Mapping[str, float]) -> Iterator[str]:
    names = sorted(metrics, key=lambda name: ("." in name, name))  # `items` before `items.train`
    yield from (f"{printable(name)} {figure(metrics[name])}" for name in names[:_MOST_FIGURES])
    if len(names) > _MOST_FIGURES:
        yield f"and {count(len(names) - _MOST_FIGURES, 'more figure')}"


def failure_text(result: "StageResult", paint: Paint, *, project: str, resume: str) -> str:
    """Where, what, fix; the end of the log; where log and scratch lie; the command that goes on."""
    where = f"{result.at}: " if result.at else ""
    lines = [f"{paint('failed', 'red')}   {result.stage}  after {duration(result.seconds)}"]
    lines.append(f"  {where}{printable_lines(result.error or 'failed without a word', '  ')}")
    if result.fix:
        lines.append(f"  fix: {printable_lines(result.fix, '       ')}")
    if tail := _untold(result):
        lines += ["  the end of its log:", *(f"  | {printable(line)}" for line in tail)]
    if result.log:
        lines.append(f"  log      {shown_path(result.log, project)}")
    if result.scratch:
        lines.append(f"  scratch  {shown_path(result.scratch, project)}")
    return "\n".join([*lines, f"  go on    {resume}"])


def _untold(result: "StageResult") -> list[str]:
    """The end of the log without the lines that the message says already."""
    told = {line.strip() for line in f"{result.error}\nfix: {result.fix}".splitlines()}
    lines = result.log_tail.rstrip().splitlines()[-_LOG_LINES:]
    return [line for line in lines if line.strip() not in told]


def printable_lines(text: str, indent: str) -> str:
    return f"\n{indent}".join(printable(line) for line in text.splitlines())


def shown_path(path: str, project: str) -> str:
    """Relative to the project where it lies inside."""
    relative = os.path.relpath(path, project)
    return path if relative.startswith("..") else relative


def build_text(result: "BuildResult", seconds: float, paint: Paint) -> str:
    """The last lines: what is amiss, then one line that counts."""
    lines = [f"{paint('note', 'cyan')}     {printable(warning)}" for warning in result.warnings]
    lines += [f"{paint('not met', 'red')}  {printable(str(unmet))}" for unmet in result.unmet]
    if passed_over := result.passed_over:
        told = listed(passed_over)
        lines.append(
            f"{paint('failed', 'red')}   BUG: {told} did not run, though nothing failed; build it again"
        )
    return "\n".join([*lines, _count_line(result, seconds)])


def _count_line(result: "BuildResult", seconds: float) -> str:
    counts = {o: result.count(o) for o in ("ran", "restored", "failed", "skipped", "fresh")}
    if result.is_interrupted:
        end = "; interrupted: scratch is kept, the same command goes on from there"
    elif counts["failed"] and (counts["ran"] or counts["restored"]):
        end = "; what does not depend on the failure went on (--fail-fast stops at the first)"
    else:
        end = ""
    if not result.results and not end:
        return "nothing to do: the Sparkfile declares no datasets and no models"
    if not any(counts[o] for o in ("ran", "restored", "failed", "skipped")):
        return nothing_to_do(counts["fresh"]) + end
    return ", ".join(f"{n} {o}" for o, n in counts.items() if n) + f" in {duration(seconds)}{end}"


def stage_event(stage: str, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """A worker's `progress` or `metric` as `spark build --json` prints it; None for all others."""
    if event.get("event") not in ("progress", "metric"):
        return None
    names = ("done", "total", "unit") if event["event"] == "progress" else ("name", "value", "step")
    return {"event": event["event"], "stage": stage, **{name: event.get(name) for name in names}}
