"""What a versioner does outside of its result: once, for what a plain build of the Sparkfile gives, and never else."""

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
        context.report.note("published", {"files": len(files)})
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
