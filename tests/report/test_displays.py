"""What a build shows while it runs: panel on a terminal, plain lines, JSON lines."""

import io
import json
import os
import re
import threading
from typing import Any, TextIO

import pytest

from spark_build.core.record import Record
from spark_build.engine.results import BuildResult, StageResult
from spark_build.report.panel import Panel, display
from spark_build.report.plain import MOST_LOG_LINES, JsonLines, PlainLines
from spark_build.report.running import Running

PROGRESS = {"event": "progress", "done": 120, "total": 400, "unit": "steps"}
LOSS = {"event": "metric", "name": "loss", "value": 2.3456, "step": 120}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(**facts: Any) -> Record:
    own = {"metrics": {}, "items": {"handled": 100, "remembered": 20000}, **facts}
    return Record(
        "a" * 64, "b" * 64, "dataset:t/filter", {}, "c" * 64, {}, 10, 1.9, "2026-11-20T12:00:00Z", **own
    )


FAILED = StageResult(
    "model:x/train",
    "failed",
    12.0,
    error="no file 'data/base'",
    fix="name a folder",
    log="/project/.spark/logs/train.log",
    log_tail="\n".join(f"line {n}" for n in range(100)),
    scratch="/project/.spark/work/abc/scratch",
    at="Sparkfile.yaml:31:5",
)


@pytest.fixture
def plain() -> tuple[PlainLines, Clock]:
    clock = Clock()
    return PlainLines("/project", "spark build model:x", io.StringIO(), io.StringIO(), clock=clock), clock


def told(stream: TextIO) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_ten_thousand_events_in_a_minute_are_at_most_six_lines(plain: tuple[PlainLines, Clock]) -> None:
    lines, clock = plain
    lines.started("model:x/train", None)
    for step in range(10_000):
        clock.now = step * 60 / 10_000
        lines.event("model:x/train", {**PROGRESS, "done": step, "total": 10_000})
    assert len(told(lines.stream).splitlines()) <= 1 + 6


def test_a_progress_line_has_rate_time_left_and_the_last_loss(plain: tuple[PlainLines, Clock]) -> None:
    lines, clock = plain
    lines.started("model:x/train", None)
    lines.event("model:x/train", {**PROGRESS, "done": 100})
    lines.event("model:x/train", LOSS)
    clock.now = 10.0
    lines.event("model:x/train", {**PROGRESS, "done": 120})
    assert (
        told(lines.stream).splitlines()[-1].split("  ")[-1]
        == "120/400 steps, 2/s, 2 min 20 s left, loss 2.346"
    )


def test_a_resumed_run_does_not_count_the_steps_before_it(plain: tuple[PlainLines, Clock]) -> None:
    _, clock = plain
    running = Running("model:x/train", None, clock)
    running.take({**PROGRESS, "done": 300})
    clock.now = 10.0
    running.take({**PROGRESS, "done": 310})
    assert running.pace.per_second == 1.0


def test_fresh_stages_are_not_listed_unless_asked_for(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    lines.finished(StageResult("dataset:t/filter", "fresh", record=record()))
    assert told(lines.stream) == ""
    lines.verbose = True
    lines.finished(StageResult("dataset:t/filter", "fresh", record=record()))
    assert told(lines.stream) == "fresh    dataset:t/filter\n"


def test_a_finished_stage_says_how_many_items_it_handled(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    lines.finished(StageResult("dataset:t/filter", "ran", 1.94, record(metrics={"items": 99.0})))
    assert (
        told(lines.stream)
        == "ran      dataset:t/filter  1.9 s, 100 items handled, 20000 remembered, items 99\n"
    )


def test_a_failure_names_line_fix_log_scratch_and_the_command_that_goes_on(
    plain: tuple[PlainLines, Clock],
) -> None:
    lines, _ = plain
    lines.finished(FAILED)
    text = told(lines.errors)
    assert text.startswith(
        "failed   model:x/train  after 12 s\n"
        "  Sparkfile.yaml:31:5: no file 'data/base'\n"
        "  fix: name a folder\n"
    )
    assert (
        "  | line 99\n"
        "  log      .spark/logs/train.log\n"
        "  scratch  .spark/work/abc/scratch\n"
        "  go on    spark build model:x\n" in text
    )
    assert "line 79" not in text
    assert "/project" not in text


def test_waiting_for_another_build_is_said_once(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    for _ in range(100):
        lines.waiting("model:x/train", "another build (pid 7)")
    assert told(lines.stream) == "wait     model:x/train  for another build (pid 7)\n"


def test_a_talkative_stage_is_cut_short_with_a_pointer_to_its_log(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    for n in range(1000):
        lines.event("model:x/train", {"event": "log", "text": f"line {n}"})
    logged = told(lines.stream).splitlines()
    assert len(logged) == MOST_LOG_LINES + 1
    assert logged[-1].endswith("more in: spark log model:x/train")


def test_the_last_line_says_that_the_rest_went_on(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    result = BuildResult({"a": FAILED, "b": StageResult("b", "ran", 1.0), "c": StageResult("c", "skipped")})
    lines.done(result, 13.0)
    assert told(lines.stream).splitlines()[-1] == (
        "1 ran, 1 failed, 1 skipped in 13 s; "
        "what does not depend on the failure went on (--fail-fast stops at the first)"
    )


def test_a_stage_that_was_passed_over_without_a_cause_is_no_success(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    result = BuildResult({"a": StageResult("a", "ran", 1.0), "b": StageResult("b", "skipped")})
    lines.done(result, 3.0)
    assert "BUG: b did not run, though nothing failed" in told(lines.stream)
    assert result.exit_code == 1


def test_an_interrupted_build_says_how_to_go_on(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    lines.done(BuildResult({"a": StageResult("a", "skipped")}, is_interrupted=True), 3.0)
    assert "the same command goes on from there" in told(lines.stream)


def test_a_build_without_work_says_so(plain: tuple[PlainLines, Clock]) -> None:
    lines, _ = plain
    lines.done(BuildResult({"a": StageResult("a", "fresh", record=record())}), 0.1)
    assert told(lines.stream) == "nothing to do: 1 stage is fresh\n"


def test_an_upload_is_told_with_rate_and_time_left_and_json_knows_none(
    plain: tuple[PlainLines, Clock],
) -> None:
    lines, clock = plain
    for clock.now in range(21):
        lines.uploading("dataset:t/version", int(clock.now * 1_000_000), 40_000_000)
    last = " ".join(told(lines.stream).splitlines()[-1].split())
    assert last == "… dataset:t/version upload 20 MB/40 MB, 1 MB/s, 20 s left"
    stream = io.StringIO()
    JsonLines("/project", "spark build", stream).uploading("dataset:t/version", 1, 2)
    assert stream.getvalue() == ""


def test_json_lines_are_those_of_the_contract() -> None:
    lines = JsonLines("/project", "spark build", io.StringIO(), io.StringIO())
    lines.started("dataset:t/filter", None)
    lines.waiting("dataset:t/filter", "another build")
    for event in (PROGRESS, LOSS, {"event": "log", "text": "x"}, {"event": "checkpoint", "step": 3}):
        lines.event("dataset:t/filter", event)
    lines.finished(StageResult("dataset:t/filter", "ran", 1.94, record()))
    lines.done(BuildResult({"dataset:t/filter": StageResult("dataset:t/filter", "ran", 1.94, record())}), 2.0)
    assert [json.loads(line) for line in told(lines.stream).splitlines()] == [
        {"event": "progress", "stage": "dataset:t/filter", "done": 120, "total": 400, "unit": "steps"},
        {"event": "metric", "stage": "dataset:t/filter", "name": "loss", "value": 2.3456, "step": 120},
        {
            "event": "stage", "stage": "dataset:t/filter", "outcome": "ran", "seconds": 1.94,
            "output": "c" * 64,
            "items": {"handled": 100, "remembered": 20000},
        },
        {"event": "done", "ran": 1, "restored": 0, "fresh": 0, "failed": 0, "skipped": 0},
    ]  # fmt: skip


def test_an_infinite_loss_is_still_json() -> None:
    lines = JsonLines("/project", "spark build", io.StringIO(), io.StringIO())
    lines.event("model:x/train", {**LOSS, "value": float("inf")})
    assert json.loads(told(lines.stream))["value"] is None


def test_a_failure_under_json_prints_the_end_of_its_log_on_standard_error_alone() -> None:
    lines = JsonLines("/project", "spark build", io.StringIO(), io.StringIO())
    lines.finished(FAILED)
    assert json.loads(told(lines.stream))["outcome"] == "failed"
    assert "| line 99" in told(lines.errors)


class Terminal:
    """A real pseudo terminal, and all that was written to it."""

    def __init__(self) -> None:
        self._main, slave = os.openpty()
        self.stream = os.fdopen(slave, "w", buffering=1)
        self._parts: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._main, 65536)
            except OSError:  # EIO: the other end is closed
                return
            if not part:
                return
            self._parts.append(part)

    def close(self) -> str:
        self.stream.close()
        self._reader.join(timeout=10)
        os.close(self._main)
        return b"".join(self._parts).decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_the_panel_shows_progress_rate_time_left_and_loss(terminal: Terminal) -> None:
    clock = Clock()
    panel = Panel("/project", "spark build", terminal.stream, clock=clock)
    with panel:
        panel.started("model:x/train", None)
        panel.event("model:x/train", {**PROGRESS, "done": 100})
        clock.now = 10.0
        panel.event("model:x/train", PROGRESS)
        panel.event("model:x/train", LOSS)
        panel._live.refresh()
    line = [line for line in without_escapes(terminal.close()).splitlines() if "120/400" in line][-1]
    assert re.search(r"model:x/train +30% .* 120/400 steps +2/s +2 min 20 s left +loss 2\.346", line)


def test_finished_stages_scroll_above_the_panel_and_stay(terminal: Terminal) -> None:
    panel = Panel("/project", "spark build", terminal.stream)
    with panel:
        panel.started("dataset:t/filter", 3.0)
        panel.finished(StageResult("dataset:t/filter", "ran", 1.9, record()))
        panel.done(
            BuildResult({"dataset:t/filter": StageResult("dataset:t/filter", "ran", 1.9, record())}), 2.0
        )
    text = without_escapes(terminal.close())
    assert "ran      dataset:t/filter  1.9 s, 100 items handled" in text
    assert text.rstrip().endswith("1 ran in 2.0 s")


def test_an_upload_beside_the_stages_has_a_line_of_its_own_until_it_is_there(terminal: Terminal) -> None:
    clock = Clock()
    with Panel("/project", "spark build", terminal.stream, clock=clock) as panel:
        panel.started("model:x/train", 60.0)
        for clock.now in (0.0, 10.0):
            panel.uploading("dataset:t/version", int(clock.now * 1_000_000), 40_000_000)
        panel._live.refresh()
        panel.uploading("dataset:t/version", 40_000_000, 40_000_000)
        panel._live.refresh()
    shown = without_escapes(terminal.close())
    row = [line for line in shown.splitlines() if "upload" in line][-1]
    assert re.search(r"dataset:t/version upload +25% .* 10 MB/40 MB +1 MB/s +30 s left", row)
    assert "model:x/train" in shown[shown.rindex(row) + len(row) :], "it is gone when it is there"


def test_names_with_brackets_are_shown_as_they_are(terminal: Terminal) -> None:
    panel = Panel("/project", "spark build", terminal.stream)
    with panel:
        panel.event("model:x/train", {"event": "log", "text": "labels [bold]a[/bold] [red]"})
    assert "labels [bold]a[/bold] [red]" in without_escapes(terminal.close())


def test_no_color_is_honoured_on_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    panel = Panel("/project", "spark build", terminal.stream)
    with panel:
        panel.finished(FAILED)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", terminal.close())


def test_a_terminal_gets_the_panel_a_pipe_plain_lines_and_json_what_it_asked_for(terminal: Terminal) -> None:
    kinds = [
        type(display(project="/p", resume="spark build", stream=terminal.stream)),
        type(display(project="/p", resume="spark build", stream=io.StringIO())),
        type(display(project="/p", resume="spark build", stream=terminal.stream, is_json=True)),
    ]
    terminal.close()
    assert kinds == [Panel, PlainLines, JsonLines]


def test_what_does_not_fit_the_screen_is_counted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "10")
    panel = Panel("/project", "spark build", terminal.stream)
    with panel:
        for n in range(30):
            panel.started(f"model:m{n}/train", None)
        panel.waiting("model:other/train", "another build (pid 7)")
        panel._live.refresh()
    frame = without_escapes(terminal.close()).rpartition("model:m0/train")[2]
    assert "model:m7/train" in frame
    assert "model:m8/train" not in frame
    assert "and 23 more" in frame


def test_time_alone_is_no_progress(plain: tuple[PlainLines, Clock]) -> None:
    _, clock = plain
    running = Running("model:x/train", 14.0, clock)
    clock.now = 12.0
    assert (running.share, running.seconds_left) == (None, None)
    assert running.progress_text() == "12 s, 14 s last time"


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_a_narrow_terminal_loses_cells_not_lines(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    panel = Panel("/project", "spark build", terminal.stream)
    with panel:
        panel.started("model:a-rather-long-name/train", None)
        panel.event("model:a-rather-long-name/train", PROGRESS)
        panel._live.refresh()
    text = without_escapes(terminal.close())
    assert max(map(len, text.splitlines())) <= columns
    assert "model:a" in text
