"""The worker: whatever a stage does, there is a result that says what came of it."""

import errno
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from processes import job_in

from spark_build.core.errors import BadInput, TransientError
from spark_build.core.job import Job, JobResult, JobStep, Outcome
from spark_build.core.ports import Services
from spark_build.executors.worker import DONE, FAILED, RunStage, run_worker


class NoMemo:
    """Remembers nothing, as a memo may."""

    def get(self, operation: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return [None] * len(keys)

    def put(self, operation: str, entries: Mapping[bytes, bytes]) -> None:
        return None

    def jot(self, operation: str, key: bytes, value: bytes) -> None:
        return None


def work(job: Job, run_stage: RunStage) -> tuple[int, JobResult]:
    for path in (job.result, job.events):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    job_file = Path(job.result).with_name("job.json")
    job.save(job_file)
    code = run_worker(job_file, run_stage, lambda job, report: NoMemo())
    return code, JobResult.load(Path(job.result))


def failing(error: BaseException) -> RunStage:
    def run_stage(job: Job, services: Services) -> Outcome:
        raise error

    return run_stage


def test_a_good_stage_gives_its_outcome_and_what_was_noted(tmp_path: Path) -> None:
    def run_stage(job: Job, services: Services) -> Outcome:
        services.report.note("supervised_tokens", 12)
        return Outcome({"loss": 0.5}, {"handled": 1, "remembered": 2}, {"gates": {}})

    code, result = work(job_in(tmp_path), run_stage)
    assert code == DONE
    notes = {"supervised_tokens": 12, "gates": {}}
    assert result == JobResult(True, {"loss": 0.5}, {"handled": 1, "remembered": 2}, notes)


def test_a_problem_keeps_its_words_and_its_fix(tmp_path: Path) -> None:
    code, result = work(job_in(tmp_path), failing(BadInput("data: empty", fix="put files there")))
    assert code == FAILED
    assert (result.ok, result.error, result.fix, result.transient) == (
        False,
        "data: empty",
        "put files there",
        False,
    )


def test_a_transient_problem_is_marked(tmp_path: Path) -> None:
    assert work(job_in(tmp_path), failing(TransientError("try later")))[1].transient


def test_an_unexpected_error_names_rule_place_and_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_stage(job: Job, services: Services) -> Outcome:
        return Outcome({"x": float([][0])})

    step = JobStep("short", f"{__file__}:Short", {}, "op", label="too-short")
    _, result = work(job_in(tmp_path, steps=(step,)), run_stage)
    assert result.error is not None
    assert result.error.startswith("'too-short' (test_worker.py:")
    assert result.error.endswith("failed: IndexError: list index out of range")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk"),
        (SystemExit(2), "called sys.exit(2)"),
        (RuntimeError("one\ntwo"), "RuntimeError: one"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_every_way_to_fail_has_its_words(tmp_path: Path, error: BaseException, told: str) -> None:
    code, result = work(job_in(tmp_path), failing(error))
    assert code == FAILED
    assert told in (result.error or "")


def test_secrets_stand_in_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t")

    def run_stage(job: Job, services: Services) -> Outcome:
        services.report.log("used s3cr3t")
        services.report.note("header", {"auth": ["Bearer s3cr3t"]})
        return Outcome()

    job = job_in(tmp_path, secrets=("TOKEN",))
    _, result = work(job, run_stage)
    assert "s3cr3t" not in Path(job.events).read_text()
    assert result.notes == {"header": {"auth": ["Bearer ***"]}}


def test_the_search_path_of_the_worker_is_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")

    def run_stage(job: Job, services: Services) -> Outcome:
        return Outcome(notes={"seen": os.environ.get("PYTHONPATH")})

    assert work(job_in(tmp_path), run_stage)[1].notes == {"seen": None}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


FILL = """
import sys
from pathlib import Path
from spark_build.core.job import Outcome
from spark_build.executors.worker import run_worker

def run_stage(job, services):
    output = Path(job.output); output.mkdir()
    with open(output / "big", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1000)
            print("still room")

sys.exit(run_worker(sys.argv[1], run_stage, lambda job, report: None))
"""


def test_a_worker_on_a_full_disk_can_still_tell(small_disk: Path) -> None:
    from processes import ended, python

    executor = python(small_disk, FILL)
    status, result = ended(executor, executor.start(job_in(small_disk)))
    assert status > 0
    assert result is not None
    assert "no space left on the disk" in (result.error or "")
    assert result.fix


def test_events_are_json_lines_with_their_time(tmp_path: Path) -> None:
    def run_stage(job: Job, services: Services) -> Outcome:
        services.report.progress(1, 10, "rows")
        services.report.metric("loss", float("nan"), 3)
        services.report.checkpoint(3)
        return Outcome()

    job = job_in(tmp_path)
    work(job, run_stage)
    events = [json.loads(line) for line in Path(job.events).read_text().splitlines()]
    assert all(event.pop("time") > 1.7e9 for event in events)
    assert events == [
        {"event": "progress", "done": 1, "total": 10, "unit": "rows"},
        {"event": "metric", "name": "loss", "value": None, "step": 3},
        {"event": "checkpoint", "step": 3},
    ]


def test_half_an_event_is_read_when_it_is_whole(tmp_path: Path) -> None:
    from spark_build.executors.events import EventReader

    path = tmp_path / "events.jsonl"
    reader = EventReader(str(path))
    assert reader.new() == []
    path.write_bytes(b'{"event": "log", "text": "a"}\n{"event": "l')
    assert [e["text"] for e in reader.new()] == ["a"]
    with path.open("ab") as file:
        file.write(b'og", "text": "b"}\nnot json\n[1]\n')
    assert [e["text"] for e in reader.new()] == ["b"]
