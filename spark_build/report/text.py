"""`spark plan` and `spark why` as text; imports nothing that takes time."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spark_build.report.causes import causes_text, drift_lines, shown
from spark_build.report.paint import Paint
from spark_build.report.words import count, duration, is_set, listed, moment, printable, short, size, value

if TYPE_CHECKING:
    from spark_build.core.record import Record
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
        return f"nothing to do: {count(n['fresh'], 'stage is', 'stages are')} fresh"
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


def why_text(plan: "Plan", stage: str, *, last: "Record | None" = None, color: bool = False) -> str:
    """Why `stage` is in its state: causes, followed up to the stages where they begin; its last result.

    `last` is the Record of its last build; a fresh stage brings its own.
    """
    paint = Paint(color)
    asked = plan[stage]
    lines = [
        f"{paint.state(asked.state)} {paint(asked.stage, 'bold')}",
        *_chain(plan, asked, 1, {stage}, paint),
    ]
    record = asked.record or last
    if record is None:
        return "\n".join([*lines, "  there is no earlier result"])
    return "\n".join(
        [*lines, "", *_result_lines(asked, record), *_manifest_lines(asked.manifest or record.manifest)]
    )


def _chain(plan: "Plan", s: "StagePlan", depth: int, told: set[str], paint: Paint) -> Iterator[str]:
    indent = "  " * depth
    if s.state == "fresh":
        yield f"{indent}nothing that counts has changed"
    own = [r for r in s.reasons if not (r.kind == "upstream" and s.state == "maybe")]
    for reason in own:
        way = f", by way of {listed(reason.via, 4)}" if reason.via else ""
        yield f"{indent}{causes_text([reason], s.state)[0]}{way}"
    by_name = {p.stage: p for p in plan.stages}
    for reason in s.reasons:
        if reason.kind != "upstream" or s.state != "maybe":
            continue
        above = by_name.get(reason.name)
        yield f"{indent}behind {paint.state(above.state if above else 'run')} {printable(reason.name)}"
        if above is not None and above.stage not in told:
            told.add(above.stage)
            yield from _chain(plan, above, depth + 1, told, paint)


def _result_lines(s: "StagePlan", record: "Record") -> Iterator[str]:
    what = "built" if s.state in ("fresh", "restore") else "last built"
    elsewhere = f" as {record.stage}" if record.stage != s.stage else ""
    yield f"{what} {moment(record.started)}{elsewhere}, took {duration(record.seconds)}, {size(record.size)}"
    yield f"  key     {short(record.key)}"
    yield f"  output  {short(record.output)}"
    if record.metrics:
        yield "  figures " + ", ".join(f"{n} {value(round(f, 6))}" for n, f in sorted(record.metrics.items()))
    if s.drift:
        yield f"  drift   {', '.join(map(printable, s.drift))}"


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
