"""What moves while a build runs: nothing that rests on it is recorded, remembered or gone on from."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.spark import Folder, Ran

COMMANDS = """
recipes:
  there_and_back:
    {use: command, with: {run: "$EDIT echo B > back.txt; cat back.txt > {output}/x; $EDIT echo A > back.txt"}}
  half_written_scratch:
    {use: command, with: {run: "$EDIT echo B > half.txt; test -f {scratch}/c || cp half.txt {scratch}/c;
      cp {scratch}/c {output}/x"}}
  failed_scratch:
    {use: command, with: {run: "$EDIT echo B > fail.txt; test -f {scratch}/c || cp fail.txt {scratch}/c;
      cp {scratch}/c {output}/x; $EDIT exit 3"}}
  more_files:
    {use: command, with: {run: "$EDIT echo B > more/b.txt; cat more/*.txt > {output}/x"}}
  more_code:
    {use: command, with: {run: "$EDIT echo B > code/b.txt; echo 1 > {output}/x", code: ["code/*.txt"]}}
  passing_files:
    {use: command, with: {run: "$EDIT echo B > pass/b.txt; cat pass/*.txt > {output}/x; $EDIT rm pass/b.txt"}}
  other_tool:
    {use: command, with: {run: "$EDIT echo 'echo B' > $TOOLS/ours; ours > {output}/x", tools: [ours]}}
  slow:
    {use: command, with: {run: "sleep 1.2; $EDIT sh $TOOLS/edits; echo 1 > {output}/x"}}
  waits_for_a_tool:
    {use: command, with: {run: "touch $TOOLS/started.late; late > {output}/x", tools: [late],
      inputs: {s: "model:slow"}}}
  waits_for_a_file:
    {use: command, with: {run: "cat late.txt > {output}/x", inputs: {s: "model:slow"}}}
targets:
"""
NAMES = [line.strip(" :") for line in COMMANDS.splitlines() if line.startswith("  ") and line[2] != " "]


class Builds(NamedTuple):
    """One beside which everything is edited, one when that was undone, and one in an empty store."""

    disturbed: Ran
    again: Ran
    cold: Ran
    started: list[str]  # of those that were to wait

    def error(self, target: str) -> str:
        return self.disturbed.err.partition(f"failed   model:{target}/train")[2].partition("  fix: ")[0]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    outside = tmp_path_factory.mktemp("outside")
    text = COMMANDS.replace("$EDIT", f"test ! -f {outside}/edit ||").replace("$TOOLS", str(outside))
    env = {"PATH": f"{outside}:/usr/local/bin:/usr/bin:/bin"}
    moved, cold = (Folder(tmp_path_factory.mktemp(name), env) for name in ("moved", "cold"))
    _lay_out(moved, text, outside)
    (outside / "edit").touch()
    disturbed = moved.build(code=1)
    started = [file.name for file in outside.glob("started.*")]
    (outside / "edit").unlink()
    _lay_out(moved, text, outside)
    again = moved.build()
    _lay_out(cold, text, outside)
    return Builds(disturbed, again, cold.build(), started)


def _lay_out(folder: Folder, text: str, tools: Path) -> None:
    """All of it as it was before the edits."""
    folder.sparkfile(text + "".join(f"  {name}: {{recipe: {name}}}\n" for name in NAMES))
    for name in ("back.txt", "half.txt", "fail.txt", "late.txt", "more/a.txt", "code/a.txt", "pass/a.txt"):
        folder.write(name, "A\n")
    for name in ("more/b.txt", "code/b.txt"):
        (folder.path / name).unlink(missing_ok=True)
    (tools / "edits").write_text(f"echo 'echo B' > {tools}/late; touch {folder.path}/late.txt")
    for name in ("ours", "late"):
        (tools / name).write_text("#!/bin/sh\necho A\n")
        (tools / name).chmod(0o755)


def test_the_same_content_again_is_not_the_content_that_was_read(builds: Builds) -> None:
    told = "back.txt was written to while the stage ran; its result is not recorded"
    assert told in builds.error("there_and_back")


@pytest.mark.parametrize("target", ["half_written_scratch", "failed_scratch"])
def test_scratch_made_beside_an_edit_is_not_gone_on_from(builds: Builds, target: str) -> None:
    stage = f"model:{target}/train"
    assert builds.disturbed.outcomes[stage] == "failed"
    assert builds.again.outputs[stage] == builds.cold.outputs[stage]


@pytest.mark.parametrize("pattern", ["more/*.txt", "code/*.txt"])
def test_a_new_file_that_a_pattern_matches_is_a_change(builds: Builds, pattern: str) -> None:
    target = {"more/*.txt": "more_files", "code/*.txt": "more_code"}[pattern]
    assert f"what '{pattern}' matches changed while the stage ran" in builds.error(target)


def test_a_file_that_a_pattern_matched_for_a_while_is_a_change(builds: Builds) -> None:
    assert "pass/b.txt changed while the stage ran" in builds.error("passing_files")


def test_a_tool_that_moves_while_a_stage_runs_is_a_change(builds: Builds) -> None:
    assert "tool 'ours' changed while the stage ran" in builds.error("other_tool")


def test_a_stage_that_waited_is_not_started_with_another_tool(builds: Builds) -> None:
    assert "tool 'late' changed while other stages ran" in builds.error("waits_for_a_tool")
    assert builds.started == []


def test_a_file_written_to_before_a_stage_started_counts_by_its_content(builds: Builds) -> None:
    assert builds.disturbed.outcomes["model:waits_for_a_file/train"] == "ran"


def test_what_is_built_when_all_is_undone_is_what_a_cold_build_gives(builds: Builds) -> None:
    assert builds.again.outputs == builds.cold.outputs


GATE = """
import os, pathlib
from spark_build.contract import ItemGate, Needs, RuleParams, Verdict
def is_asked(edit): return os.path.exists("$FLAGS/" + edit) and os.path.basename(os.getcwd()) == "scratch"
if is_asked("helper.py"): pathlib.Path("$PROJECT/helper.py").write_text("first = str.upper")
import helper
class Params(RuleParams):
    words: str
class Known(ItemGate):
    Params, batch_items = Params, 1
    @classmethod
    def needs(cls, params, project): return Needs(paths={"words": params.words})
    def measure(self, item):
        words = pathlib.Path(self.inputs["words"])
        if is_asked("words.txt"): words.write_text("none")
        if is_asked("failure") and "3" in item["text"]: raise RuntimeError("no more paper")
        if is_asked("save"): pathlib.Path("$PROJECT/g.py").touch()
        return helper.first(item["text"])[0] in words.read_text()
    def decide(self, found, params): return Verdict.keep() if found else Verdict.drop("unknown")
"""


@pytest.fixture
def filtered(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "project")
    folder.sparkfile(
        "datasets:\n  d: {source: data, gates: [known]}\n"
        "gates:\n  known: {use: './g.py:Known', with: {words: words.txt}}\n"
    )
    folder.write("data/in.jsonl", '{"text": "a 1"}\n{"text": "b 2"}\n{"text": "a 3"}\n')
    _as_before(folder)
    return folder


def _as_before(folder: Folder, *edits: str) -> None:
    """With `edits` to be made by the gate itself, in its worker."""
    flags = folder.path.parent / "flags"
    shutil.rmtree(flags, ignore_errors=True)
    for edit in edits:
        Folder(flags).write(edit, "")
    folder.write("words.txt", "a")
    folder.write("helper.py", "first = str.lower")
    folder.write("g.py", GATE.replace("$FLAGS", str(flags)).replace("$PROJECT", str(folder.path)))


@pytest.mark.parametrize("edited", ["words.txt", "helper.py"])
def test_no_item_is_remembered_by_what_moved(filtered: Folder, edited: str) -> None:
    _as_before(filtered, edited)
    assert f"{edited} changed while the stage ran" in filtered.build(code=1).err
    _as_before(filtered)
    assert filtered.build().items["dataset:d/filter"] == {"handled": 3, "remembered": 0}


def test_a_rule_that_is_saved_as_it_was_does_no_harm(filtered: Folder) -> None:
    _as_before(filtered, "save")
    assert "dataset:d/filter" in filtered.build().ran


def test_what_a_filter_found_before_it_failed_is_remembered(filtered: Folder) -> None:
    _as_before(filtered, "failure")
    assert "no more paper" in filtered.build(code=1).err
    (filtered.path.parent / "flags" / "failure").unlink()
    assert filtered.build().items["dataset:d/filter"] == {"handled": 1, "remembered": 2}
