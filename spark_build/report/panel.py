"""The live panel: one line per running stage at the bottom, finished stages scroll away above it."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from spark_build.core.values import Struct, field
from spark_build.report.paint import Paint, is_colored
from spark_build.report.plain import MOST_LOG_LINES, JsonLines, PlainLines
from spark_build.report.results import build_text, failure_text, result_text
from spark_build.report.running import Running, upload_of
from spark_build.report.tables import shortened
from spark_build.report.words import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from spark_build.engine.results import BuildResult, StageResult

REFRESHES_PER_SECOND = 5


def display(
    *, project: str, resume: str, is_json: bool = False, verbose: bool = False, stream: TextIO | None = None
) -> "Panel | PlainLines | JsonLines":
    """Who tells of a build: JSON lines where asked for, the panel on a terminal, else plain lines."""
    stream = stream or sys.stdout
    if is_json:
        return JsonLines(project, resume, stream)
    if stream.isatty():
        return Panel(project, resume, stream, verbose=verbose)
    return PlainLines(project, resume, stream, paint=Paint(is_colored(stream)), verbose=verbose)


class Panel(Struct, dict=True):
    project: str
    resume: str  # the command that goes on after a failure
    stream: TextIO = field(default_factory=lambda: sys.stdout)
    verbose: bool = False
    console: "Console | None" = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        # no width or height of our own: both follow the terminal
        self.console = self.console or Console(file=self.stream, highlight=False, markup=False, emoji=False)
        self.paint = Paint(is_colored(self.stream))
        self._lock = threading.Lock()  # events come from the build, refreshes from Live's own thread
        self._running: dict[str, Running] = {}
        self._waiting: dict[str, str] = {}
        self._logged: dict[str, int] = {}
        self._live = Live(
            get_renderable=self._render,
            console=self.console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "Panel":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, stage: str, seconds: float | None) -> None:
        with self._lock:
            self._waiting.pop(stage, None)
            self._running[stage] = Running(stage, seconds, self.clock)

    def event(self, stage: str, event: Mapping[str, Any]) -> None:
        with self._lock:
            self._running.setdefault(stage, Running(stage, None, self.clock)).take(event)
        if event.get("event") == "log":
            self._log(stage, str(event.get("text", "")))

    def uploading(self, stage: str, done: int, total: int) -> None:
        name = upload_of(stage)
        self.event(name, {"event": "progress", "done": done, "total": total, "unit": "bytes"})
        if done >= total:
            with self._lock:
                self._running.pop(name)

    def waiting(self, stage: str, holder: str) -> None:
        with self._lock:
            self._waiting[stage] = holder

    def finished(self, result: "StageResult") -> None:
        with self._lock:
            self._running.pop(result.stage, None)
            self._waiting.pop(result.stage, None)
        if result.outcome == "failed":
            self._print(failure_text(result, self.paint, project=self.project, resume=self.resume))
        elif self.verbose or result.outcome != "fresh" or result.drift:
            self._print(result_text(result, self.paint))

    def done(self, result: "BuildResult", seconds: float) -> None:
        self._print(build_text(result, seconds, self.paint))

    def _log(self, stage: str, text: str) -> None:
        count = self._logged[stage] = self._logged.get(stage, 0) + 1
        if count <= MOST_LOG_LINES:
            for line in text.splitlines():
                self._print(self.paint(f"{'log':8} {stage}  {printable(line)}", "dim"))

    def _print(self, text: str) -> None:
        from rich.text import Text

        assert self.console is not None
        self.console.print(Text.from_ansi(text), soft_wrap=True)

    def _render(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        assert self.console is not None
        width, most = self.console.width, max(1, self.console.height - 2)
        table = Table.grid(padding=(0, 1), expand=False)
        for _ in _cells(Running("", None, self.clock), width):
            table.add_column(no_wrap=True, overflow="ellipsis")
        with self._lock:
            for running in list(self._running.values())[:most]:
                table.add_row(*_cells(running, width))
            lines = [
                f"{printable(stage)}  waits for {printable(holder)}"
                for stage, holder in self._waiting.items()
            ]
            hidden = max(0, len(self._running) + len(lines) - most)
        shown = lines[: max(0, len(lines) - hidden)]
        return Group(
            table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in [*shown, *_rest(hidden)])
        )


def _rest(hidden: int) -> list[str]:
    return [f"and {hidden} more"] if hidden else []


def _cells(running: Running, width: int) -> "list[RenderableType]":
    """A line's cells; a narrow terminal loses the bar first, then the rate, then the figure."""
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    share = running.share
    percent = f"{share:4.0%}" if share is not None else "    "
    progress = running.progress_text()
    left = running.left_text()
    cells: list[RenderableType] = [Text(shortened(printable(running.stage), max(20, width // 2))), percent]
    if width >= 100:
        cells.append(ProgressBar(total=1.0, completed=share or 0.0, pulse=share is None, width=18))
    cells.append(progress)
    if width >= 80:
        cells.append(running.rate_text())
    cells.append(left)
    if width >= 60:
        cells.append(running.metric_text())
    return cells
