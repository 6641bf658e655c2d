"""What a versioner does outside of its result: once, for what a plain build of the Sparkfile gives, and never else."""

import json
from pathlib import Path

import pytest
from clips import moving, video

from tests.spark import Folder

MINE = """
from pathlib import Path
from spark_build.contract import RuleParams, Versioner
from spark_build.contract.params import Field

class Params(RuleParams):
    to: str = Field("", description="Where it is told.")

class Mine(Versioner):
    Params = Params
    def write(self, context):
        (context.output / "README.md").write_text("mine")
    def publish(self, context, files):
        with open(self.params.to, "a") as told:
            told.write(" ".join(f"{path}={file.stat().st_size}" for path, file in files.items()) + "\\n")
        context.report.note("published", {"commit": f"{len(files):040x}", "repository": "here"})
"""


@pytest.fixture
def told(folder: Folder, tmp_path: Path) -> Path:
    """Where the project's versioner tells what it published."""
    file = tmp_path / "told.txt"
    folder.write("mine.py", MINE)
    folder.write("data/a.txt", "The first note of two.")
    folder.write("data/b.txt", "The second note of two.")
    folder.sparkfile(
        "datasets:\n  notes:\n    source: data\n"
        f"    version: {{use: './mine.py:Mine', with: {{to: {file}}}}}\n"
        "profiles:\n  quick: {datasets: {notes: {splits: {train: 1.0}}}}\n"
    )
    return file


def lines(told: Path) -> list[str]:
    return told.read_text().splitlines() if told.exists() else []


def test_a_version_is_published_once_and_not_where_it_is_fresh(folder: Folder, told: Path) -> None:
    folder.build()
    assert len(lines(told)) == 1
    assert folder.build().outcomes["dataset:notes/version"] == "fresh"
    assert len(lines(told)) == 1


@pytest.mark.parametrize("words", [["--limit", "1"], ["--limit", "9"], ["--profile", "quick"]])
def test_a_trial_publishes_nothing_and_is_not_taken_for_what_was_published(
    folder: Folder, told: Path, words: list[str]
) -> None:
    folder.build(*words)
    assert lines(told) == []
    assert "dataset:notes/version" in folder.build().ran
    assert len(lines(told)) == 1


def test_verify_publishes_nothing(folder: Folder, told: Path) -> None:
    folder.build()
    folder.spark("verify", "dataset:notes")
    assert len(lines(told)) == 1


def test_what_failed_to_be_published_is_published_by_the_next_build(folder: Folder, told: Path) -> None:
    told.mkdir()
    assert "publishing the version" in folder.build(code=1).err
    told.rmdir()
    folder.build()
    assert len(lines(told)) == 1


def test_files_that_lie_in_the_store_alone_are_published_too(folder: Folder, told: Path) -> None:
    clip = video(moving())
    folder.write("data/clip.mp4", clip)
    folder.build()
    published = dict(entry.split("=") for entry in lines(told)[0].split())
    assert [size for path, size in published.items() if path.startswith("media/")] == [str(len(clip))]
    assert {"README.md", "data/train-00000.parquet"} <= published.keys()


def test_ls_shows_every_version_with_its_tags_commit_and_what_it_was_made_from(
    folder: Folder, told: Path
) -> None:
    first = folder.build().outputs
    folder.spark("tag", "dataset:notes@first")
    folder.write("data/c.txt", "The third note of three.")
    second = folder.build().outputs
    versions = json.loads(folder.spark("ls", "dataset:notes", "--json").out)["results"][0]["versions"]
    assert [v["output"] for v in versions] == [o["dataset:notes/version"] for o in (second, first)]
    assert [v["tags"] for v in versions] == [[], ["first"]]
    assert [v["items"] for v in versions] == [3, 2]
    assert {v["commit"] for v in versions} == {f"{2:040x}"}
    made_from = [v["made_from"]["dataset:notes/ingest"] for v in versions]
    assert made_from == [o["dataset:notes/ingest"] for o in (second, first)]
    assert "versions of dataset:notes" in folder.spark("ls", "dataset:notes").out
    assert json.loads(folder.spark("ls", "--json").out)["results"][0]["versions"] == []


def test_ls_shows_the_tag_that_the_sparkfile_gave(folder: Folder) -> None:
    folder.write("data/a.txt", "A note.")
    folder.sparkfile("datasets:\n  notes: {source: data, version: {use: snapshot, with: {tag: '1.0'}}}\n")
    folder.build()
    folder.edit("'1.0'", "'1.1'")
    folder.build()
    versions = json.loads(folder.spark("ls", "notes", "--json").out)["results"][0]["versions"]
    assert [v["tag"] for v in versions] == ["1.1", "1.0"]
