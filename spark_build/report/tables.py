"""Tables of text that fit the terminal: builds, results, deployments."""

import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from spark_build.core.address import target_of, typed
from spark_build.core.values import Struct, field
from spark_build.report.causes import cause_text
from spark_build.report.paint import Paint
from spark_build.report.text import summary_text
from spark_build.report.words import duration, figure, listed, moment, printable, short, size

if TYPE_CHECKING:
    from spark_build.engine.plan import Plan

_NARROWEST_COLUMN = 8


class Run(Struct, frozen=True):
    """One build, as the journal keeps it."""

    id: str
    started: str  # ISO 8601
    seconds: float
    ran: tuple[str, ...] = ()  # stages
    failed: tuple[str, ...] = ()
    fresh: int = 0
    accepted: tuple[str, ...] = ()  # 'dataset:x/filter: accepted 2026-11-26: only comments changed'
    changed: tuple[Any, ...] = ()  # engine Reasons of the stages that ran
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # eval stage -> figures
    options: str = ""  # '--profile quick'
    run: str | None = None  # 'run-3f2a', where there are options
    is_interrupted: bool = False


class Listed(Struct, frozen=True):
    """A result in the store, for `spark ls`."""

    address: str  # of a dataset, model or exporter's stage
    output: str
    size: int  # bytes
    built: str  # ISO 8601
    tags: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    is_here: bool = True
    accepted: str | None = None  # 'accepted 2026-11-26: only comments changed'
    versions: tuple[Any, ...] = ()  # of a dataset that was asked for by name (report/versions.py)


class Deployed(Struct, frozen=True):
    name: str
    state: str  # 'running' | 'stopped' | 'unhealthy'
    url: str | None = None
    model: str | None = None
    digest: str | None = None
    since: str | None = None  # ISO 8601
    reason: str | None = None  # why `spark up` would act


def runs_text(runs: Sequence[Run], width: int | None = None) -> str:
    """One line per build, the newest first: when, how long, what ran, what had changed, figures."""
    if not runs:
        return "no build yet"
    headers = ("build", "when", "took", "outcome", "changed", "figures")
    return table(headers, [_run_row(run) for run in runs], width)


def _run_row(run: Run) -> tuple[str, ...]:
    outcome = [f"{len(run.ran)} ran"] if run.ran else []
    outcome += [f"{len(run.failed)} failed"] if run.failed else []
    outcome += [f"{len(run.accepted)} accepted"] if run.accepted else []
    outcome += ["interrupted"] if run.is_interrupted else []
    outcome += [f"{run.options} ({run.run})" if run.run else run.options] if run.options else []
    changed = list(dict.fromkeys([*run.accepted, *(cause_text(reason) for reason in run.changed)]))
    figures = [
        f"{target_of(stage)} {name} {figure(value)}"
        for stage, metrics in run.metrics.items()
        for name, value in metrics.items()
    ]
    return (
        run.id,
        moment(run.started),
        duration(run.seconds),
        ", ".join(outcome) or "nothing to do",
        listed(changed, 2) if changed else "",
        listed(figures, 3) if figures else "",
    )


def ls_text(results: Sequence[Listed], width: int | None = None) -> str:
    """What the store holds, by address."""
    if not results:
        return "nothing is built yet"
    headers = ("result", "tags", "digest", "size", "", "built", "figures")
    rows = [
        (
            r.address,
            ", ".join(r.tags),
            short(r.output),
            size(r.size) + ("" if r.is_here else " (not here)"),
            r.accepted or "",
            moment(r.built),
            listed([f"{n} {figure(v)}" for n, v in r.metrics.items()], 3) if r.metrics else "",
        )
        for r in results
    ]
    return table(headers, rows, width)


def status_text(plan: "Plan", deployments: Sequence[Deployed], color: bool, width: int | None = None) -> str:
    """The plan in one line per target, and what is served."""
    paint = Paint(color)
    targets: dict[str, list[str]] = {}
    for s in plan.stages:
        targets.setdefault(target_of(s.stage), []).append(s.state)
    name_width = max(map(len, targets), default=0)
    lines = [f"{name.ljust(name_width)}  {_states(states, paint)}" for name, states in targets.items()]
    lines += [*([""] if lines else []), summary_text(plan)]
    if deployments:
        rows = [_deployed_row(d) for d in deployments]
        lines += ["", table(("deployment", "state", "url", "model", "digest", "since"), rows, width)]
        lines += [
            f"{d.name}: {printable(d.reason)}: spark up {typed(d.name)}" for d in deployments if d.reason
        ]
    return "\n".join(lines)


def _states(states: Sequence[str], paint: Paint) -> str:
    order = ("run", "restore", "maybe", "fresh")
    counts = [(state, sum(s == state for s in states)) for state in order]
    return ", ".join(
        paint.state(state) if n == len(states) else f"{n} {paint.state(state)}" for state, n in counts if n
    )


def _deployed_row(d: Deployed) -> tuple[str, ...]:
    since = moment(d.since) if d.since else ""
    return (d.name, d.state, d.url or "", d.model or "", short(d.digest or ""), since)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns side by side. With a `width` the widest are cut until a line fits; cut text ends in `…`."""
    cells = [[printable(cell) for cell in row] for row in (headers, *rows)]
    used = [i for i in range(len(headers)) if any(row[i] for row in cells[1:])]
    widths = {i: max(cell_width(row[i]) for row in cells) for i in used}
    while width is not None and sum(widths.values()) + 2 * (len(used) - 1) > width:
        widest = max(widths, key=lambda i: (widths[i], i))
        if widths[widest] <= _NARROWEST_COLUMN:
            break
        widths[widest] -= 1
    return "\n".join("  ".join(fitted(row[i], widths[i]) for i in used).rstrip() for row in cells)


def fitted(text: str, width: int) -> str:
    """`text` in exactly `width` cells of a terminal: padded, or cut with `…`."""
    own = cell_width(text)
    if own <= width:
        return text + " " * (width - own)
    kept, taken = "", 0
    for character in text:
        if taken + cell_width(character) > width - 1:
            break
        kept, taken = kept + character, taken + cell_width(character)
    return kept + "…" + " " * (width - 1 - taken)


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` cells; what tells a matrix's members apart stands at its end, so that stays."""
    if cell_width(text) <= width:
        return text
    head, tail = width // 2, width - 1 - width // 2
    return fitted(text, head).rstrip("… ") + "…" + text[-tail:]


def cell_width(text: str) -> int:
    """Cells that a terminal gives to `text`: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(c) or c in "\u200b\u200d\ufe0f"
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def terminal_width(stream: TextIO) -> int | None:
    """Columns of the terminal behind `stream`; None where it is none, so that nothing is cut in a file."""
    return shutil.get_terminal_size().columns if stream.isatty() else None
