"""Stages that give another result each time they run: one of them counts, for all that read it."""

import shutil

import pytest

from tests.spark import Folder

A, B = "model:a/train", "model:b/train"


@pytest.fixture
def copied(folder: Folder) -> Folder:
    """What `a` gives differs from run to run; `b` copies it."""
    folder.sparkfile(
        """recipes:
  now: {use: command, with: {run: "date +%s%N > {output}/t"}}
  copy: {use: command, with: {run: "cp {inputs.a}/t {output}/t", inputs: {a: "model:a"}}}
targets: {a: {recipe: now}, b: {recipe: copy}}
"""
    )
    folder.build()
    return folder


def text_of(folder: Folder, name: str) -> str:
    shutil.rmtree(folder.path / "got", ignore_errors=True)
    folder.spark("get", f"model:{name}", "--to", "got")
    return (folder.path / "got/model/t").read_text()


def test_what_was_run_again_counts_and_is_what_others_read(copied: Folder) -> None:
    before = text_of(copied, "a")
    again = copied.spark("build", "--json", "-B", "model:a")
    assert again.ran == {A, B}
    assert "not deterministic" in again.err
    assert text_of(copied, "a") == text_of(copied, "b") != before
    assert copied.build().ran == set()


def test_a_lost_result_that_comes_out_otherwise_is_built_once_and_read(copied: Folder) -> None:
    shutil.rmtree(copied.path / ".spark/objects")
    assert copied.build().ran == {A, B}
    assert text_of(copied, "a") == text_of(copied, "b")
    assert copied.build().ran == set()
