"""Several Sparkfiles: one is mounted below its folder; keys and results are the same from either side."""

from pathlib import Path

import pytest

from spark_build import Project
from spark_build.core.errors import UsageError
from spark_build.engine.build import BuildResult
from tests.spark import Folder

ROOT = """
include: [asr/Sparkfile.yaml]
targets:
  joint:
    recipe: {use: command, with: {run: "cat words.txt {inputs.base}/m > {output}/m"}}
    base: asr/model:whisper
"""
ASR = """version: 1
project: asr
environment: {libraries: exact}
datasets:
  calls: {source: calls, gates: [{use: './gates/short.py:Short'}]}
targets:
  whisper: {recipe: {use: command, with: {run: "python3 prep.py words.txt {output}/m"}}}
"""
PREP = "import sys, helper\nopen(sys.argv[2], 'w').write(helper.loud(open(sys.argv[1]).read()))\n"
GATE = """
from spark_build.contract import ItemGate, RuleParams, Verdict

class Short(ItemGate):
    class Params(RuleParams):
        pass

    def measure(self, item):
        return len(item["text"])

    def decide(self, found, params):
        return Verdict.keep() if found < 100 else Verdict.drop("long")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("words.txt", "root\n")
    folder.sparkfile(ROOT)
    folder.write("asr/Sparkfile.yaml", ASR)
    folder.write("asr/words.txt", "asr\n")
    folder.write("asr/prep.py", PREP)
    folder.write("asr/helper.py", "def loud(text):\n    return text.upper()\n")
    folder.write("asr/gates/short.py", GATE)
    folder.write("asr/calls/a.txt", "hello there\n")
    return folder


def build(folder: Path, *addresses: str) -> BuildResult:
    result = Project(folder).build(*addresses)
    assert result.exit_code == 0, [r.error for r in result.results.values() if r.error]
    return result


def states(folder: Path, *addresses: str) -> dict[str, str]:
    return {s.stage: s.state for s in Project(folder).plan(*addresses).stages}


def test_its_targets_stand_below_its_folder_and_run_in_it(folder: Folder) -> None:
    result = build(folder.path)
    assert {s for s in result.results if s.startswith("asr/")} == {
        "asr/dataset:calls/ingest",
        "asr/dataset:calls/filter",
        "asr/dataset:calls/version",
        "asr/model:whisper/train",
    }
    out = Project(folder.path).get("model:joint", folder.path / "out")
    assert (out / "model" / "m").read_text() == "root\nASR\n"


def test_an_included_target_can_be_asked_for_alone(folder: Folder) -> None:
    assert set(build(folder.path, "asr/model:whisper").results) == {"asr/model:whisper/train"}


def test_keys_are_the_same_from_either_side(folder: Folder) -> None:
    from_root = {s.stage: s.key for s in Project(folder.path).plan().stages if s.key}
    alone = {s.stage: s.key for s in Project(folder.path / "asr").plan().stages if s.key}
    assert alone
    assert {stage: from_root[f"asr/{stage}"] for stage in alone} == alone


def test_in_one_git_root_results_are_shared(folder: Folder) -> None:
    (folder.path / ".git").mkdir()
    build(folder.path)
    assert set(states(folder.path / "asr").values()) == {"fresh"}
    assert not (folder.path / "asr" / ".spark").exists()


def test_what_the_included_file_was_built_to_alone_is_fresh_from_the_root(folder: Folder) -> None:
    (folder.path / ".git").mkdir()
    build(folder.path / "asr")
    assert states(folder.path, "asr/model:whisper") == {"asr/model:whisper/train": "fresh"}


@pytest.mark.parametrize("edited", ["asr/words.txt", "asr/prep.py", "asr/helper.py"])
def test_an_edit_in_the_included_folder_makes_its_stage_stale(folder: Folder, edited: str) -> None:
    build(folder.path)
    with (folder.path / edited).open("a") as file:
        file.write("\n# more\n")
    assert states(folder.path, "model:joint") == {
        "asr/model:whisper/train": "run",
        "model:joint/train": "maybe",
    }


def test_the_cause_stands_at_a_line_of_the_included_file(folder: Folder) -> None:
    build(folder.path)
    folder.edit('{output}/m"}}}', '{output}/n"}}}', "asr/Sparkfile.yaml")
    (reason,) = Project(folder.path).plan("asr/model:whisper")["asr/model:whisper/train"].reasons
    assert (reason.kind, reason.at) == ("param", "asr/Sparkfile.yaml:7:48")


def test_a_mistake_is_told_at_its_line_of_the_included_file(folder: Folder) -> None:
    folder.edit("gates:", "gate:", "asr/Sparkfile.yaml")
    with pytest.raises(UsageError, match=r"asr/Sparkfile\.yaml:5:26: unknown key 'gate'"):
        Project(folder.path).plan()


def test_a_file_that_is_not_there_is_told(folder: Folder) -> None:
    folder.edit("asr/Sparkfile.yaml]", "asr/Other.yaml]")
    with pytest.raises(UsageError, match=r"Sparkfile\.yaml:4:11: asr/Other\.yaml: not there"):
        Project(folder.path).plan()


def test_a_reference_to_a_target_that_it_lacks_names_the_ones_it_has(folder: Folder) -> None:
    folder.edit("asr/model:whisper", "asr/model:whispr")
    with pytest.raises(UsageError, match="no model 'asr/model:whispr'\n  fix: did you mean 'whisper'"):
        Project(folder.path).plan()


def test_a_folder_that_is_not_included_is_told(folder: Folder) -> None:
    folder.edit("asr/model:whisper", "tts/model:whisper")
    with pytest.raises(UsageError, match="'tts' is neither included nor imported"):
        Project(folder.path).plan()


def test_a_file_that_is_included_may_include_others(folder: Folder) -> None:
    folder.write(
        "asr/sub/Sparkfile.yaml",
        ASR.partition("datasets:")[0] + "targets:\n" + ASR.partition("targets:\n")[2],
    )
    for name in ("words.txt", "prep.py", "helper.py"):
        folder.write(f"asr/sub/{name}", (folder.path / "asr" / name).read_text())
    folder.edit("datasets:", "include: [sub/Sparkfile.yaml]\ndatasets:", "asr/Sparkfile.yaml")
    result = build(folder.path, "asr/sub/model:whisper")
    assert set(result.results) == {"asr/sub/model:whisper/train"}
    folder.edit("asr/model:whisper", "asr/sub/model:whisper")
    assert "asr/sub/model:whisper/train" in {s.stage for s in Project(folder.path).plan("joint").stages}


def test_the_lock_fits_without_data(folder: Folder) -> None:
    build(folder.path)
    assert folder.spark("plan", "--locked").code == 0


def test_only_decided_by_the_included_file_what_counts_of_libraries(folder: Folder) -> None:
    plan = Project(folder.path).plan("asr/dataset:calls")
    manifest = plan["asr/dataset:calls/ingest"].manifest or {}
    assert manifest["libraries"]["pyarrow"].count(".") == 2
