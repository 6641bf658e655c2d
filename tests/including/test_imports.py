"""Results of other projects that a Sparkfile imports: pinned in the lock, fetched when a stage reads them."""

from pathlib import Path

import pytest

from spark_build import Project
from spark_build.core.errors import UsageError
from tests.spark import Folder

THEIRS = """
datasets:
  calls: {source: calls}
targets:
  base: {recipe: {use: command, with: {run: "cp words.txt {output}/m"}}}
"""
OURS = """
imports: {core: ../theirs}
targets:
  tuned:
    recipe: {use: command, with: {run: "cat {inputs.base}/m own.txt > {output}/m"}}
    base: core/model:base@v1
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "theirs")
    folder.write("words.txt", "one\n")
    folder.write("calls/a.txt", "hello\n")
    folder.sparkfile(THEIRS)
    publish(folder, "v1")
    return folder


@pytest.fixture
def ours(theirs: Folder, tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "ours")
    folder.write("own.txt", "own\n")
    folder.sparkfile(OURS)
    return folder


def publish(folder: Folder, tag: str) -> None:
    assert Project(folder.path).build().exit_code == 0
    folder.spark("tag", f"model:base@{tag}")


def outcome(folder: Folder, *addresses: str) -> dict[str, str]:
    result = Project(folder.path).build(*addresses)
    return {stage: told.outcome for stage, told in result.results.items()}


def test_an_import_that_is_not_pinned_is_told_at_its_line(ours: Folder) -> None:
    with pytest.raises(
        UsageError, match=r"Sparkfile\.yaml:8:11: 'core/model:base@v1': another project's result"
    ):
        Project(ours.path).plan()


def test_an_update_pins_it_and_a_build_fetches_it(ours: Folder) -> None:
    told = ours.spark("update").out
    assert told.startswith("core/model:base@v1: new → ")
    assert outcome(ours) == {"model:tuned/train": "ran"}
    out = Project(ours.path).get("model:tuned", ours.path / "out")
    assert (out / "model" / "m").read_text() == "one\nown\n"


def test_a_plan_looks_at_the_pin_alone(ours: Folder, theirs: Folder) -> None:
    ours.spark("update")
    (theirs.path / "Sparkfile.lock").unlink()
    assert Project(ours.path).plan()["model:tuned/train"].state == "run"


def test_what_they_build_later_counts_after_an_update(ours: Folder, theirs: Folder) -> None:
    ours.edit("base@v1", "base")
    ours.spark("update")
    outcome(ours)
    theirs.write("words.txt", "two\n")
    publish(theirs, "v2")
    assert outcome(ours) == {"model:tuned/train": "fresh"}
    ours.spark("update", "core/model:base")
    (reason,) = Project(ours.path).plan()["model:tuned/train"].reasons
    assert (reason.kind, reason.name) == ("input", "core/model:base")
    assert outcome(ours) == {"model:tuned/train": "ran"}


def test_a_dataset_of_theirs_can_be_read(ours: Folder) -> None:
    ours.sparkfile(
        "imports: {core: ../theirs}\ntargets:\n  m:\n    dataset: core/dataset:calls\n"
        "    recipe: {use: command, with: {run: 'ls {inputs.dataset}/data > {output}/m'}}\n"
    )
    ours.spark("update")
    assert outcome(ours) == {"model:m/train": "ran"}
    out = Project(ours.path).get("model:m", ours.path / "out")
    assert (out / "model" / "m").read_text() == "train-00000.parquet\n"


def test_offline_says_that_it_is_not_here(ours: Folder) -> None:
    ours.spark("update")
    result = Project(ours.path, offline=True).build()
    assert "--offline" in (result.results["model:tuned/train"].error or "")


def test_a_lock_with_the_pin_fits_without_their_project(ours: Folder, theirs: Folder) -> None:
    ours.spark("update")
    outcome(ours)
    theirs.path.rename(theirs.path.with_name("gone"))
    assert ours.spark("plan", "--locked").code == 0


def test_an_import_whose_place_has_changed_is_pinned_anew(ours: Folder) -> None:
    ours.spark("update")
    ours.edit("../theirs", "../elsewhere")
    with pytest.raises(UsageError, match="another project's result that is not pinned"):
        Project(ours.path).plan()
