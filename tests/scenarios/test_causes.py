"""Causes that name what was edited, and nothing else."""

import json
import os
from pathlib import Path

import pytest

from tests.spark import Folder

TWO = """\
datasets:
  one: {source: data/one, gates: [few, many]}
  two: {source: data/two}
gates:
  few:  {use: quality, with: {rules: [word_count], min_words: 1}}
  many: {use: quality, with: {rules: [word_count], min_words: 2}}
recipes:
  count: {use: command, with: {run: "ls {inputs.dataset}/data > {output}/names.txt"}}
targets:
  m: {recipe: count, dataset: one}
"""


@pytest.fixture
def two(folder: Folder) -> Folder:
    folder.sparkfile(TWO)
    folder.write("data/one/a.txt", "some words to count\n")
    folder.write("data/two/b.txt", "other words to count\n")
    folder.build()
    return folder


def test_a_model_moved_to_another_dataset_names_what_it_reads_now(two: Folder) -> None:
    two.edit("dataset: one}", "dataset: two}")
    [reason] = two.reasons("model:m/train")
    assert (reason["kind"], reason["name"], reason["new"], reason["at"]) == (
        "input", "dataset:two/version", "read", "Sparkfile.yaml:12:31",
    )  # fmt: skip


def test_a_stage_whose_record_is_lost_is_missing_not_new(two: Folder) -> None:
    for record in (two.path / ".spark" / "records").rglob("*.json"):
        if json.loads(record.read_text())["stage"] == "dataset:two/ingest":
            record.unlink()
    assert [r["kind"] for r in two.reasons("dataset:two/ingest")] == ["missing"]


def test_splits_that_were_taken_out_are_named_as_they_were(two: Folder) -> None:
    two.edit("two: {source: data/two}", "two: {source: data/two, splits: keep}")
    two.build()
    two.edit(", splits: keep", "")
    two.write("data/two/b.txt", "words that no build has seen\n")
    named = {(r["kind"], r["name"], r["at"]) for r in two.reasons("dataset:two/ingest")}
    assert named == {
        ("param", "datasets.two.splits", "Sparkfile.yaml:5:8"),
        ("input", "data/two", "Sparkfile.yaml:5:17"),
    }


def test_a_revision_raised_in_an_installed_package_is_seen(two: Folder, tmp_path: Path) -> None:
    packages = Folder(tmp_path / "site-packages")
    packages.write("brings-1.0.dist-info/entry_points.txt", "[spark_build.rules]\ngate.any = brings:Any\n")
    packages.write("brings-1.0.dist-info/METADATA", "Name: brings\nVersion: 1.0\n")
    rule = """\
from spark_build.contract import ItemGate, Verdict
class Any(ItemGate):
    revision = 1
    def measure(self, item):
        return 1
    def decide(self, found, params):
        return Verdict.keep()
"""
    os.utime(packages.write("brings.py", rule), (1.7e9, 1.7e9))
    two.env |= {"PYTHONPATH": str(packages.path), "PYTHONDONTWRITEBYTECODE": ""}
    two.edit("gates: [few, many]", "gates: [{use: any}]")
    before = two.plan("dataset:one/filter")["stages"][-1]
    assert before["state"] == "run"
    assert list((packages.path / "__pycache__").glob("brings.*.pyc")), "this Python compiles nothing"
    packages.edit("revision = 1", "revision = 2", "brings.py")
    os.utime(packages.path / "brings.py", (1.7e9, 1.7e9))
    assert two.plan("dataset:one/filter")["stages"][-1]["key"] != before["key"]


def test_a_module_edited_at_the_same_size_and_mtime_is_run_anew_though_python_has_compiled_it(
    folder: Folder,
) -> None:
    folder.sparkfile(
        'recipes: {say: {use: command, with: {run: "python3 say.py {output}"}}}\n'
        "targets: {m: {recipe: say}}\n"
    )
    folder.write("say.py", "import sys, words\nopen(sys.argv[1] + '/said', 'w').write(words.SAID)\n")
    module = folder.write("words.py", "SAID = 'one'\n")
    os.utime(module, (1.7e9, 1.7e9))
    first = folder.build().outputs
    assert list((folder.path / "__pycache__").glob("words.*.pyc")), "this Python compiles nothing"
    module.write_text("SAID = 'two'\n")
    os.utime(module, (1.7e9, 1.7e9))
    assert folder.build().outputs != first
    said = folder.path / "to"
    folder.spark("get", "model:m", "--to", str(said))
    assert (said / "model" / "said").read_text() == "two"


def test_two_stages_that_lack_one_object_both_run_as_planned(folder: Folder) -> None:
    """The first one's run brings what the second one lacks; a plan that was told comes true all the same."""
    folder.sparkfile("datasets:\n  one: {source: data}\n  two: {source: data, splits: keep}\n")
    folder.write("data/train/a.txt", "some words\n")
    folder.build()
    for shard in (folder.path / ".spark" / "objects").rglob("*"):
        if shard.is_file() and shard.read_bytes().startswith(b"PAR1"):
            shard.unlink()
    planned = {s["stage"]: s["state"] for s in folder.plan()["stages"]}
    assert (planned["dataset:one/ingest"], planned["dataset:two/ingest"]) == ("run", "run")
    outcomes = folder.build().outcomes
    assert (outcomes["dataset:one/ingest"], outcomes["dataset:two/ingest"]) == ("ran", "ran")
