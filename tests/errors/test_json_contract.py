"""Design section 10 to the letter: what stands on standard output under --json, and the exit codes."""

import json
import re
import signal
import time
from typing import Any

import pytest

from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  notes: {source: data, gates: [short], splits: {train: 0.8, test: 0.2}}
  bad: {source: void}
gates:
  short: {use: quality, with: {rules: [word_count], min_words: 3}}
targets:
  size:
    recipe: {use: command, with: {run: "python3 train.py {inputs.dataset} {output}", progress: log.jsonl}}
    dataset: notes
"""
TRAIN = """\
import json, pathlib, sys
out = pathlib.Path(sys.argv[2])
with open(out / "log.jsonl", "w") as log:
    for step in (1, 2):
        log.write(json.dumps({"step": step, "total": 2, "loss": 1 / step}) + "\\n")
(out / "weights.txt").write_text("1")
print("on standard output")
"""
HEX = re.compile(r"[0-9a-f]{64}")
STAGES = [*(f"dataset:notes/{s}" for s in ("ingest", "filter", "version")), "model:size/train"]
BAD = ["dataset:bad/ingest", "dataset:bad/version"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("project"))
    folder.sparkfile(SPARKFILE)
    folder.write("train.py", TRAIN)
    (folder.path / "void").mkdir()
    documents(folder, 10)
    return folder


@pytest.fixture(scope="module")
def first_plan(project: Folder) -> dict[str, Any]:
    return project.plan()


@pytest.fixture(scope="module")
def first_build(project: Folder, first_plan: dict[str, Any]) -> list[dict[str, Any]]:
    return project.build(code=1).lines


def test_a_plan_has_these_fields_and_no_others(first_plan: dict[str, Any]) -> None:
    assert list(first_plan) == ["version", "stages", "summary"]
    assert first_plan["version"] == 1
    assert {s["stage"] for s in first_plan["stages"]} == {*STAGES, *BAD}
    for stage in first_plan["stages"]:
        assert list(stage) == ["stage", "state", "key", "output", "reasons", "seconds", "bytes", "drift"]
        assert stage["state"] in ("run", "maybe")
        assert HEX.fullmatch(stage["key"]) if stage["state"] == "run" else stage["key"] is None
        assert (stage["output"], stage["seconds"], stage["bytes"], stage["drift"]) == (None, None, None, [])
    assert first_plan["summary"] == {"fresh": 0, "restore": 0, "run": 2, "maybe": 4}


def test_a_reason_has_these_fields_and_a_known_kind(first_plan: dict[str, Any]) -> None:
    (reason,) = first_plan["stages"][0]["reasons"]
    assert reason == {
        "kind": "new", "name": "dataset:notes/ingest", "old": None, "new": None, "at": "Sparkfile.yaml:4:10"
    }  # fmt: skip
    kinds = {r["kind"] for s in first_plan["stages"] for r in s["reasons"]}
    assert kinds == {"new", "upstream"}


def test_a_build_gives_one_stage_event_per_stage_and_done_last(first_build: list[dict[str, Any]]) -> None:
    stages = [e for e in first_build if e["event"] == "stage"]
    assert sorted(e["stage"] for e in stages) == sorted([*STAGES, *BAD])
    for event in stages:
        fields = ["event", "stage", "outcome", "seconds", "output", "items"]
        assert list(event) == fields + (["error"] if event["outcome"] == "failed" else [])
        assert isinstance(event["seconds"], int | float)
        assert HEX.fullmatch(event["output"]) if event["outcome"] == "ran" else event["output"] is None
    assert {e["stage"]: e["outcome"] for e in stages} == {
        **dict.fromkeys(STAGES, "ran"), "dataset:bad/ingest": "failed", "dataset:bad/version": "skipped"
    }  # fmt: skip
    assert first_build[-1] == {
        "event": "done", "ran": 4, "restored": 0, "fresh": 0, "failed": 1, "skipped": 1
    }  # fmt: skip


def test_items_are_counted_where_a_stage_works_by_item(first_build: list[dict[str, Any]]) -> None:
    items = {e["stage"]: e["items"] for e in first_build if e["event"] == "stage"}
    assert items["dataset:notes/ingest"] == {"handled": 10, "remembered": 0}
    assert items["dataset:notes/filter"] == {"handled": 10, "remembered": 0}
    assert items["model:size/train"] is None


def test_between_them_stand_progress_and_metric_events(first_build: list[dict[str, Any]]) -> None:
    assert {e["event"] for e in first_build} == {"stage", "progress", "metric", "done"}
    metrics = [e for e in first_build if e["event"] == "metric"]
    assert [list(m) for m in metrics] == [["event", "stage", "name", "value", "step"]] * 2
    assert [(m["name"], m["value"], m["step"]) for m in metrics] == [("loss", 1.0, 1), ("loss", 0.5, 2)]
    progress = [e for e in first_build if e["event"] == "progress" and e["stage"] == "model:size/train"]
    assert progress[-1] == {
        "event": "progress", "stage": "model:size/train", "done": 2, "total": 2, "unit": "steps"
    }  # fmt: skip


def test_a_fresh_stage_has_an_event_and_counts_all_items_as_remembered(
    project: Folder, first_build: list[dict[str, Any]]
) -> None:
    ran = project.build("model:size")
    assert ran.err == ""
    assert [e["stage"] for e in ran.lines[:-1]] == STAGES
    assert set(ran.outcomes.values()) == {"fresh"}
    assert ran.items["dataset:notes/filter"] == {"handled": 0, "remembered": 10}
    assert ran.lines[-1] == {"event": "done", "ran": 0, "restored": 0, "fresh": 4, "failed": 0, "skipped": 0}


def test_a_fresh_stage_has_key_and_output_in_the_plan(
    project: Folder, first_build: list[dict[str, Any]]
) -> None:
    outputs = {e["stage"]: e["output"] for e in first_build if e["event"] == "stage"}
    for stage in project.plan("model:size")["stages"]:
        assert stage["state"] == "fresh"
        assert HEX.fullmatch(stage["key"])
        assert stage["output"] == outputs[stage["stage"]]
        assert stage["seconds"] > 0
        assert stage["reasons"] == []


def test_an_input_reason_lists_paths_and_a_param_reason_its_place(
    project: Folder, first_build: list[dict[str, Any]]
) -> None:
    project.write("data/new.md", "words of a new document\n")
    project.edit("min_words: 3", "min_words: 4")
    try:
        plan = {s["stage"]: s for s in project.plan("model:size")["stages"]}
        assert plan["dataset:notes/ingest"]["reasons"] == [
            {
                "kind": "input", "name": "data", "old": None, "new": None, "at": "Sparkfile.yaml:4:19",
                "added": ["new.md"], "changed": [], "removed": [],
            }
        ]  # fmt: skip
        param = plan["dataset:notes/filter"]["reasons"][0]
        assert (param["kind"], param["name"], param["old"], param["new"]) == (
            "param", "gates.short.min_words", 3, 4
        )  # fmt: skip
        assert param["at"] == "Sparkfile.yaml:7:64"
    finally:
        (project.path / "data" / "new.md").unlink()
        project.edit("min_words: 4", "min_words: 3")


def test_every_exit_code_has_its_cause(project: Folder, first_build: list[dict[str, Any]]) -> None:
    project.spark("plan", "--check", "model:size", code=0)
    project.build("dataset:bad", code=1)
    project.spark("plan", "nothing", code=2)
    project.spark("plan", "--check", code=3)
    project.edit(
        "splits: {train: 0.8, test: 0.2}", "splits: {train: 0.8, test: 0.2}, require: {items: '> 99'}"
    )
    try:
        project.build("dataset:notes", code=4)
    finally:
        project.edit(", require: {items: '> 99'}", "")


def test_ctrl_c_ends_in_130_and_says_how_to_go_on(folder: Folder) -> None:
    folder.sparkfile(
        "datasets:\n  d: {source: {use: command, with: {run: 'touch {scratch}/begun; sleep 60; ls {output}'}}}\n"
    )
    process = folder.start("build", "--json")
    deadline = time.monotonic() + 30
    while not list(folder.path.glob(".spark/work/*/scratch/**/begun")):
        assert time.monotonic() < deadline, "the command did not begin"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert {e["stage"]: e["outcome"] for e in lines if e["event"] == "stage"} == {
        "dataset:d/ingest": "skipped", "dataset:d/version": "skipped"
    }  # fmt: skip
    assert lines[-1]["event"] == "done"
    assert list(folder.path.glob(".spark/work/*/scratch/**/begun")), "scratch is kept"
