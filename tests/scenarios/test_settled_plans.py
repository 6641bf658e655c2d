"""A plan without work is remembered: every fact that it rests on, once it moves, leads to the planner again."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark_build import Project
from spark_build.app import BuildOptions
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.values import asdict
from spark_build.engine.plan import Plan
from spark_build.settled import MOST_KEPT

SPARKFILE = """\
version: 1
project: t
targets:
  first: {recipe: {use: command, with: {
    run: "cat {inputs.a} {inputs.b}/* > {output}/o; ./tools/shout >> {output}/o",
    inputs: {a: a.txt, b: folder}, env: [MOOD], tools: [./tools/shout], code: ["lib/*.py"]}}}
  second:
    recipe: {use: command, with: {run: "cp {inputs.m}/o {output}/o", inputs: {m: "model:first"}}}
    eval: {metrics: [{use: command, with: {run: "echo '{\\"size\\": 3}' > {output}/metrics.json"}}],
           require: {size: "< 5"}}
profiles: {quick: {targets: {second: {recipe: {with: {params: {n: 1}}}}}}}
"""
FIRST, SECOND = "model:first/train", "model:second/train"


class Built:
    """A project whose plan has settled; `edit`, then see what is planned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "MOOD": "calm"}

    def build(self) -> None:
        for name, text in (
            ("a.txt", "one\n"),
            ("folder/x", "x\n"),
            ("lib/help.py", "A = 1\n"),
            ("lib/b.py", ""),
        ):
            self.write(name, text)
        self.write("loud", "loud 1")
        self.tool("cat $(dirname $0)/../loud")
        self.write("Sparkfile.yaml", SPARKFILE)
        assert self.project().build().exit_code == 0

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        # a stat younger than 100 ms is not trusted, and that would be another reason to look
        os.utime(file, ns=(1_700_000_000_000_000_000,) * 2)
        return file

    def tool(self, line: str) -> None:
        self.write("tools/shout", f"#!/bin/sh\n{line}\n").chmod(0o755)

    def project(self, **more: Any) -> Project:
        return Project(self.folder, env=self.env, **more)

    def states(self, **more: Any) -> dict[str, str]:
        return {s.stage: s.state for s in self.project(**more).plan().stages}

    def record(self, stage: str) -> Path:
        key = self.project().plan()[stage].key
        return self.folder / f".spark/records/{str(key)[:2]}/{key}.json"

    def objects_of(self, stage: str) -> list[Path]:
        """The listing of its Artifact, then the files'."""
        project = self.project()
        output = project.plan()[stage].output
        assert output is not None
        digests = [output, *(entry.digest for entry in project.objects.tree(output))]
        return [Path(project.objects.path(digest)) for digest in digests]


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    Built(folder).build()
    return folder


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Built:
    """A copy: it has other inodes, so that its first build settles it anew."""
    shutil.copytree(built_once, tmp_path, dirs_exist_ok=True)
    copy = Built(tmp_path)
    assert copy.project().build().count("fresh") == 3
    return copy


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows whenever a plan is not taken from what was remembered."""
    from spark_build.engine.plan import Planner

    asked: list[str] = []
    ask = Planner.plan

    def noted(self: Planner, stages: Any) -> Plan:
        asked.append("planned")
        return ask(self, stages)

    monkeypatch.setattr(Planner, "plan", noted)
    return asked


def test_nothing_is_planned_twice_while_nothing_moves(built: Built, planned: list[str]) -> None:
    time.sleep(0.12)  # the copy's stats have to be trusted
    built.states()
    planned.clear()
    before = {p: p.stat().st_mtime_ns for p in built.folder.rglob("*") if p.is_file()}
    assert set(built.states().values()) == {"fresh"}
    result = built.project().build()
    assert result.exit_code == 0
    assert result.count("fresh") == 3
    assert planned == []
    assert before == {p: p.stat().st_mtime_ns for p in built.folder.rglob("*") if p.is_file()}


def test_a_tool_that_is_a_script_is_asked_once_by_a_build_without_work(built: Built) -> None:
    edited = built.folder / "Sparkfile.yaml"
    built.tool("echo run >> $(dirname $0)/../runs; echo loud 1")
    built.write(
        "Sparkfile.yaml",
        edited.read_text().replace(
            'cp {inputs.m}/o {output}/o"', 'cp {inputs.m}/o {output}/o", tools: [./tools/shout]'
        ),
    )
    built.project().build()
    runs = built.folder / "runs"
    runs.unlink()
    assert built.project().build().count("fresh") == 3
    assert runs.read_text() == "run\n"


def test_a_build_leaves_its_plan_settled(built: Built, planned: list[str]) -> None:
    built.write("a.txt", "two\n")
    built.project().build()
    planned.clear()
    assert built.project().build().count("fresh") == 3
    assert planned == []


def same_size_and_mtime(built: Built) -> None:
    file = built.folder / "a.txt"
    stat = file.stat()
    file.write_text("two\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def same_size_and_mtime_in_a_folder(built: Built) -> None:
    file = built.folder / "folder/x"
    stat = file.stat()
    file.write_text("y\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


WAKE_FIRST: dict[str, Callable[[Built], object]] = {
    "content with the same size and mtime": same_size_and_mtime,
    "content in a folder with the same size and mtime": same_size_and_mtime_in_a_folder,
    "a file more in a folder": lambda b: b.write("folder/y", "y\n"),
    "a file less in a folder": lambda b: (b.folder / "folder/x").rename(b.folder / "elsewhere"),
    "a folder's file made executable": lambda b: (b.folder / "folder/x").chmod(0o755),
    "the environment": lambda b: b.env.update(MOOD="wild"),
    "the environment, unset": lambda b: b.env.pop("MOOD"),
    "a tool's script": lambda b: b.tool("echo loud 2"),
    "what a tool's script reads": lambda b: b.write("loud", "loud 2"),
    "a helper's code": lambda b: b.write("lib/help.py", "A = 2\n"),
    "a glob that matches a new file": lambda b: b.write("lib/more.py", "B = 1\n"),
    "a glob that matches one file less": lambda b: (b.folder / "lib/help.py").unlink(),
    "the Sparkfile": lambda b: b.write("Sparkfile.yaml", SPARKFILE.replace("/* >", "/* >>")),
    "a deleted record": lambda b: b.record(FIRST).unlink(),
    "a damaged record": lambda b: _overwrite(b.record(FIRST), b"{}"),
    "a deleted object": lambda b: b.objects_of(FIRST)[1].unlink(),
    "a deleted listing": lambda b: b.objects_of(FIRST)[0].unlink(),
    "a damaged object": lambda b: _overwrite(b.objects_of(FIRST)[1], b"rot\n"),
}


@pytest.mark.parametrize("edit", WAKE_FIRST.values(), ids=WAKE_FIRST)
def test_what_wakes_a_stage_wakes_a_settled_plan(built: Built, edit: Callable[[Built], object]) -> None:
    edit(built)
    assert built.states()[FIRST] == "run"


def test_what_went_and_came_back_is_fresh_again(built: Built) -> None:
    (built.folder / "a.txt").rename(built.folder / "b.txt")
    with pytest.raises(UsageError, match=r"a\.txt: not there"):
        built.states()
    (built.folder / "b.txt").rename(built.folder / "a.txt")
    assert set(built.states().values()) == {"fresh"}


def test_another_library_wakes_what_counts_it(
    built: Built, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path_factory.mktemp("lib")
    (site / "speech-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(site)
    built.write("own.py", OWN_RULE)
    built.write("data/a.md", "one\n")
    built.write("Sparkfile.yaml", f"version: 1\nproject: t\n{OWN_DATASET}")
    assert built.project().build().exit_code == 0
    assert built.states()["dataset:d/ingest"] == "fresh"
    (site / "speech-1.0.dist-info").rename(site / "speech-2.0.dist-info")
    assert built.states()["dataset:d/ingest"] == "run"


def test_a_changed_helper_of_a_rule_of_the_users_own_wakes_it(built: Built) -> None:
    built.write("own.py", f"import helper\n{OWN_RULE}")
    built.write("helper.py", "A = 1\n")
    built.write("data/a.md", "one\n")
    built.write("Sparkfile.yaml", f"version: 1\nproject: t\n{OWN_DATASET}")
    assert built.project().build().exit_code == 0
    assert set(built.states().values()) == {"fresh"}
    built.write("helper.py", "A = 2\n")
    assert built.states()["dataset:d/ingest"] == "run"


OWN_RULE = """
from spark_build.contract import Transform, RuleParams
class Params(RuleParams): pass
class Same(Transform):
    Params = Params
    libraries = ("speech",)
    def apply(self, item):
        return [dict(item.fields)]
"""
OWN_DATASET = "datasets: {d: {source: data, transforms: [{use: './own.py:Same'}]}}\n"


def test_a_deleted_lock_is_written_again(built: Built) -> None:
    lock = built.folder / "Sparkfile.lock"
    text = lock.read_text()
    lock.unlink()
    assert set(built.states().values()) == {"fresh"}
    assert built.project().build().count("fresh") == 3
    assert lock.read_text() == text


def test_a_lock_with_another_result_is_put_right(built: Built) -> None:
    lock = built.folder / "Sparkfile.lock"
    text = lock.read_text()
    lock.write_text(text.replace('output = "', 'output = "0'))
    built.project().build()
    assert lock.read_text() == text


def test_a_journal_that_another_build_has_gone_on_with_gets_its_entry(built: Built) -> None:
    builds = built.folder / ".spark/builds"
    built.project(profile="quick").build()
    before = len(list(builds.iterdir()))
    built.project().build()  # the last key of model:second is the profile's
    assert len(list(builds.iterdir())) == before + 1
    built.project().build()
    assert len(list(builds.iterdir())) == before + 1


@pytest.mark.parametrize("lost", ["", "objects", "records", "state.db"])
def test_no_memory_outlives_what_it_is_about(built: Built, lost: str) -> None:
    gone = built.folder / ".spark" / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    states = built.states()
    assert states[FIRST] == ("fresh" if lost == "state.db" else "run")


def test_a_profile_a_value_and_a_limit_have_plans_of_their_own(built: Built) -> None:
    assert built.states(profile="quick")[SECOND] == "run"
    assert built.states(sets=["targets.second.recipe.with.params.n=2"])[SECOND] == "run"
    assert set(built.states(limit=1).values()) == {"fresh"}  # no dataset, nothing to limit
    assert set(built.states().values()) == {"fresh"}


def test_what_is_asked_for_again_runs(built: Built, planned: list[str]) -> None:
    assert built.project().plan(again=[FIRST])[FIRST].state == "run"
    result = built.project().build(options=BuildOptions(again=(FIRST,)))
    assert result.results[FIRST].outcome == "ran"


def test_strict_is_asked_by_itself(built: Built, planned: list[str]) -> None:
    assert built.project().plan(is_strict=True).is_done
    assert planned


def test_locked_is_held_against_the_lock(built: Built) -> None:
    lock = built.folder / "Sparkfile.lock"
    lock.write_text(lock.read_text().replace('key = "', 'key = "0'))
    with pytest.raises(SparkError, match="does not fit"):
        built.project().build(options=BuildOptions(is_locked=True))


def test_a_requirement_that_is_tightened_is_judged(built: Built, planned: list[str]) -> None:
    built.write("Sparkfile.yaml", SPARKFILE.replace('"< 5"', '"< 2"'))
    assert [str(u.figure) for u in built.project().build().unmet] == ["3.0"]
    planned.clear()
    again = built.project().build()
    assert again.exit_code == 4
    assert again.unmet[0].requirement.text == "< 2"
    assert planned == []


def test_a_checkout_in_another_place_holds_its_plan(built: Built, tmp_path_factory: Any) -> None:
    there = tmp_path_factory.mktemp("there") / "moved"
    built.folder.rename(there)
    built.folder = there
    assert set(built.states().values()) == {"fresh"}
    same_size_and_mtime(built)
    assert built.states()[FIRST] == "run"


def test_a_folder_that_cant_be_written_still_answers(built: Built) -> None:
    from subprocess import run

    (built.folder / ".spark/state.db").unlink()
    before = sorted(p for p in built.folder.rglob("*"))
    (built.folder / ".spark").chmod(0o555)
    try:
        told = run(  # as somebody who may not write there
            [sys.executable, "-c", READ_ONLY], cwd=built.folder, capture_output=True, text=True, check=False
        )
        assert json.loads(told.stdout or "0") == ["fresh"], told.stderr
    finally:
        (built.folder / ".spark").chmod(0o755)
    assert sorted(p for p in built.folder.rglob("*")) == before


READ_ONLY = f"""
import json, os, sys
sys.path[:0] = {[p for p in sys.path if p]!r}
from spark_build import Project
from spark_build.storage.state import State
State._write = lambda self: False  # root may write everywhere
plan = Project(".", env={{"PATH": os.environ["PATH"], "MOOD": "calm"}}).plan()
print(json.dumps(sorted({{s.state for s in plan.stages}})))
"""


def test_records_of_a_settled_plan_are_read_where_somebody_asks(built: Built, planned: list[str]) -> None:
    stage = built.project().plan()[SECOND]
    assert planned == []
    assert stage.record is not None
    assert stage.record.parts.keys() >= {"model/"}
    assert stage.record.log is not None
    whole = built.project().record_of("model:second")
    assert {n: getattr(stage.record, n) for n in asdict(whole)} == asdict(whole)


def test_a_settled_plan_that_is_damaged_is_none(built: Built, planned: list[str]) -> None:
    for file in (built.folder / ".spark/state.db-settled").iterdir():
        file.write_bytes(file.read_bytes().replace(b'"count": 3', b'"count": 2'))
    assert set(built.states().values()) == {"fresh"}
    assert planned


def test_whoever_deletes_the_state_has_everything_looked_at(built: Built, planned: list[str]) -> None:
    """Also where another command has begun a new one meanwhile."""
    (built.folder / ".spark/state.db").unlink()
    assert built.project(sets=["limits.ask_above=9s"]).plan().is_done
    planned.clear()
    assert built.project().plan().is_done
    assert planned


def test_stats_that_were_too_young_are_trusted_later(built: Built) -> None:
    built.write("a.txt", "two\n")
    assert built.project().build().exit_code == 0
    time.sleep(0.15)
    built.states()
    (settled,) = (built.folder / ".spark/state.db-settled").iterdir()
    facts = json.loads(settled.read_bytes().partition(b"\n")[2].partition(b"\0")[0])
    assert facts["files"].keys() >= {"a.txt", "lib/help.py"}
    assert facts["answers"]["tree"] == facts["answers"]["file"] == {}
    assert facts["is_written_down"]


def test_only_a_few_ways_of_asking_are_remembered(built: Built) -> None:
    for n in range(2 * MOST_KEPT):
        built.project(sets=[f"limits.ask_above={n + 1}s"]).plan()
    assert len(list((built.folder / ".spark/state.db-settled").iterdir())) == MOST_KEPT


def _overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_folder_that_turns_into_a_script_brings_the_modules_that_it_imports(tmp_path: Path) -> None:
    (tmp_path / "Sparkfile.yaml").write_text(
        "version: 1\nproject: t\ntargets:\n"
        '  m: {recipe: {use: command, with: {run: "python3 tool.py {output}/x"}}}\n'
    )
    tool, code = tmp_path / "tool.py", "import sys, helper\nopen(sys.argv[1], 'w').write(helper.WORDS)\n"
    (tmp_path / "helper.py").write_text("WORDS = 'one'\n")
    tool.mkdir()
    (tool / "__main__.py").write_text(code.replace(", helper", "").replace("helper.WORDS", "'none'"))
    assert Project(tmp_path).build().exit_code == 0
    shutil.rmtree(tool)
    tool.write_text(code)
    assert Project(tmp_path).build().exit_code == 0
    (tmp_path / "helper.py").write_text("WORDS = 'two'\n")
    assert [s.state for s in Project(tmp_path).plan().stages] == ["run"]


def test_a_run_that_was_deleted_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "Sparkfile.yaml").write_text(
        "version: 1\nproject: t\ntargets:\n"
        "  m: {recipe: {use: command, with: {run: 'echo {params.n} > {output}/x', params: {n: 1}}}}\n"
    )
    changed = Project(tmp_path, sets=("targets.m.recipe.with.params.n=2",))
    for _ in range(2):
        assert changed.build().exit_code == 0
    (run,) = (tmp_path / ".spark/runs").glob("*.json")
    shutil.rmtree(run.parent)
    assert changed.build().exit_code == 0
    assert run.exists()
