"""Where there is no terminal: a line when a stage begins and ends, a few between; or JSON lines."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from spark_build.core.address import typed
from spark_build.core.values import Struct, field
from spark_build.report.paint import Paint
from spark_build.report.results import build_text, failure_text, result_text, stage_event
from spark_build.report.running import Running, upload_of
from spark_build.report.words import duration, printable

if TYPE_CHECKING:
    from spark_build.engine.results import BuildResult, StageResult

SECONDS_BETWEEN = 10.0
MOST_LOG_LINES = 20  # of one stage; the rest stands in its log
_LINE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # json.dumps would make one for each line


class PlainLines(Struct, dict=True):
    """Tells a build line by line; never more than one progress line per stage in ten seconds."""

    project: str
    resume: str  # the command that goes on after a failure
    stream: TextIO = field(default_factory=lambda: sys.stdout)
    errors: TextIO = field(default_factory=lambda: sys.stderr)
    paint: Paint = field(default_factory=lambda: Paint(False))
    verbose: bool = False
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._running: dict[str, Running] = {}
        self._told: dict[str, float] = {}  # when a stage's last progress line was written
        self._logged: dict[str, int] = {}
        self._waiting: set[str] = set()

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.flush()

    def started(self, stage: str, seconds: float | None) -> None:
        self._running[stage] = Running(stage, seconds, self.clock)
        self._told[stage] = self.clock()
        estimate = f"  {duration(seconds)} last time" if seconds is not None else ""
        self._write(f"{'start':8} {stage}{estimate}")

    def event(self, stage: str, event: Mapping[str, Any]) -> None:
        running = self._running.setdefault(stage, Running(stage, None, self.clock))
        running.take(event)
        if event.get("event") == "log":
            self._log(stage, str(event.get("text", "")))
        elif self.clock() - self._told.setdefault(stage, self.clock()) >= SECONDS_BETWEEN:
            self._told[stage] = self.clock()
            facts = (running.progress_text(), running.rate_text(), running.left_text(), running.metric_text())
            self._write(f"{'…':8} {stage}  {', '.join(filter(None, facts))}")

    def uploading(self, stage: str, done: int, total: int) -> None:
        self.event(upload_of(stage), {"event": "progress", "done": done, "total": total, "unit": "bytes"})

    def waiting(self, stage: str, holder: str) -> None:
        if stage not in self._waiting:
            self._waiting.add(stage)
            self._write(f"{'wait':8} {stage}  for {printable(holder)}")

    def finished(self, result: "StageResult") -> None:
        self._running.pop(result.stage, None)
        if result.outcome == "failed":
            self.stream.flush()
            print(
                failure_text(result, self.paint, project=self.project, resume=self.resume),
                file=self.errors,
                flush=True,
            )
        elif self.verbose or result.outcome != "fresh" or result.drift:
            self._write(result_text(result, self.paint))

    def done(self, result: "BuildResult", seconds: float) -> None:
        self._write(build_text(result, seconds, self.paint))

    def _log(self, stage: str, text: str) -> None:
        count = self._logged[stage] = self._logged.get(stage, 0) + 1
        if count <= MOST_LOG_LINES:
            for line in text.splitlines():
                self._write(f"{'log':8} {stage}  {printable(line)}")
        elif count == MOST_LOG_LINES + 1:
            self._write(f"{'log':8} {stage}  more in: spark log {typed(stage)}")

    def _write(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


class JsonLines(Struct):
    """`spark build --json`: one event a line (design section 10); failures also on standard error."""

    project: str
    resume: str
    stream: TextIO = field(default_factory=lambda: sys.stdout)
    errors: TextIO = field(default_factory=lambda: sys.stderr)
    ended: set[str] = field(default_factory=set)

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.flush()

    def started(self, stage: str, seconds: float | None) -> None:
        """Nothing: the contract knows no such event."""

    def waiting(self, stage: str, holder: str) -> None:
        """Nothing: the contract knows no such event."""

    def uploading(self, stage: str, done: int, total: int) -> None:
        """Nothing: the contract knows no such event."""

    def event(self, stage: str, event: Mapping[str, Any]) -> None:
        if stage not in self.ended and (told := stage_event(stage, event)) is not None:
            self._write(told)

    def finished(self, result: "StageResult") -> None:
        if (
            result.stage not in self.ended
        ):  # one event a stage, also where a damaged restore made it run after all
            self.ended.add(result.stage)
            self._write(result.to_json())
        if result.outcome == "failed":
            text = failure_text(result, Paint(False), project=self.project, resume=self.resume)
            print(text, file=self.errors, flush=True)

    def done(self, result: "BuildResult", seconds: float) -> None:
        for line in (*result.warnings, *map(str, result.unmet)):
            print(printable(line), file=self.errors, flush=True)
        self._write(result.to_json())

    def _write(self, data: Mapping[str, Any]) -> None:
        # a loss may be infinite, JSON knows no such number
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in data.items()}
        print(_LINE.encode(finite), file=self.stream, flush=True)
