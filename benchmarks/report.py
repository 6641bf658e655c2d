"""Results as a table to read, as Markdown for docs/measurements.md, and as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rounds import Outcome, Result, Workload


def who(versions: Mapping[str, str], asked_for: Sequence[str]) -> Iterator[str]:
    yield ", ".join(f"{name} {version}" for name, version in versions.items())
    if missing := [name for name in asked_for if name not in versions]:
        yield f"not installed: {', '.join(missing)}"


def save(
    outcomes: Sequence[Outcome], versions: Mapping[str, str], as_data: Path | None, as_text: Path | None
) -> None:
    if as_data:
        as_data.write_text(json.dumps(as_json(outcomes, versions), indent=1) + "\n")
    if as_text:
        as_text.write_text("\n".join(markdown(outcomes, versions)) + "\n")


def table(outcome: Outcome) -> Iterator[str]:
    """The workload's title with its verdict, then a line per contender; `ratio` is spark's median over the other's."""
    workload = outcome.workload
    unit = "s of wall time" if workload.is_wall else "s of CPU"
    asked = f", asked {_asked(workload)}" if workload.asked is not None else ""
    verdict = f": {outcome.verdict}" if outcome.verdict else ""
    yield f"{workload.title}, {unit}{asked}{verdict}"
    for result in outcome.results:
        facts = [f"ran {result.ran}"] if result.ran is not None else []
        facts += [f"{name} {value}" for name, value in result.facts.items()]
        ratio = _ratio(outcome, result)
        yield (
            f"  {result.contender:24} {_seconds(result, workload.is_wall):32} "
            f"{f'spark {ratio:.2f} ×' if ratio is not None else '':16} {', '.join(facts)}"
        ).rstrip()
    yield from (f"  WRONG: {problem}" for problem in outcome.wrong)


def markdown(outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> Iterator[str]:
    yield ", ".join(f"{name} {version}" for name, version in versions.items()) + ":"
    yield ""
    yield "| workload | asked | spark: median (least – most) | stages that ran | beside it |"
    yield "|---|---|---|---|---|"
    for outcome in outcomes:
        is_wall, spark = outcome.workload.is_wall, outcome.of("spark")
        asked = _asked(outcome.workload) if outcome.workload.asked is not None else ""
        ours = (
            _seconds(spark, is_wall) + (f" **{outcome.verdict}**" if outcome.verdict else "") if spark else ""
        )
        others = "; ".join(_beside(r, is_wall) for r in outcome.results if r is not spark)
        yield f"| {outcome.workload.title} | {asked} | {ours} | {_ran(spark)} | {others} |"


def _asked(workload: Workload) -> str:
    facts = [f"{name} {most:g}" for name, most in workload.asked_facts.items()]
    return ", ".join([f"{workload.asked:.2f} s{' wall' if workload.is_wall else ''}", *facts])


def as_json(outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "tools": dict(versions),
        "workloads": [
            {
                "name": o.workload.name,
                "title": o.workload.title,
                "asked": o.workload.asked,
                "of": "wall" if o.workload.is_wall else "cpu",
                "verdict": o.verdict,
                "wrong": o.wrong,
                "results": [
                    {
                        "contender": r.contender,
                        "cpu": r.cpu,
                        "wall": r.wall,
                        "ran": r.ran,
                        "ratio": _ratio(o, r),
                    }
                    | r.facts
                    for r in o.results
                ],
            }
            for o in outcomes
        ],
    }


def _ratio(outcome: Outcome, result: Result) -> float | None:
    spark, is_wall = outcome.of("spark"), outcome.workload.is_wall
    if spark is None or result is spark or not result.median(is_wall):
        return None
    return spark.median(is_wall) / result.median(is_wall)


def _seconds(result: Result, is_wall: bool) -> str:
    seconds = result.seconds(is_wall)
    text = f"{result.median(is_wall):.3f}"
    return text if len(seconds) == 1 else f"{text} ({min(seconds):.3f} – {max(seconds):.3f})"


def _ran(result: Result | None) -> str:
    if result is None:
        return ""
    facts = [str(result.ran)] if result.ran is not None else []
    return ", ".join(facts + [f"{name} {value}" for name, value in result.facts.items()])


def _beside(result: Result, is_wall: bool) -> str:
    ran = _ran(result)
    return f"{result.contender} {result.median(is_wall):.3f}" + (f" ({ran})" if ran else "")
