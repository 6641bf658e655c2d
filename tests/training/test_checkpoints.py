"""Sealed checkpoints, on real folders."""

import json
from pathlib import Path

import pytest

from spark_build.training.checkpoints import newest, seal


def write(folder: Path, step: int, **files: bytes) -> Path:
    written = folder / "writing" / f"checkpoint-{step}"
    written.mkdir(parents=True)
    for name, data in {"weights": b"w%d" % step, "state": b"", **files}.items():
        (written / name).write_bytes(data)
    return written


def sealed(folder: Path, *steps: int) -> Path:
    for step in steps:
        seal(write(folder, step), folder, step)
    return folder


def test_the_newest_is_taken(tmp_path: Path) -> None:
    checkpoint, dropped = newest(sealed(tmp_path, 9, 10))
    assert checkpoint is not None
    assert (checkpoint.step, dropped) == (10, [])
    assert (checkpoint.path / "weights").read_bytes() == b"w10"


def test_two_are_kept(tmp_path: Path) -> None:
    sealed(tmp_path, 5, 10, 15)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-10", "step-15"]


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path) == (None, [])


def test_what_was_written_and_never_sealed_is_dropped(tmp_path: Path) -> None:
    sealed(tmp_path, 5)
    write(tmp_path, 10)
    checkpoint, dropped = newest(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.step, dropped) == (5, ["writing: never sealed"])
    assert not (tmp_path / "writing").exists()


def test_a_seal_alone_does_not_make_a_checkpoint(tmp_path: Path) -> None:
    written = write(sealed(tmp_path, 5), 10)
    (written / "seal.json").write_text('{"step": 10, "files": {}}')
    written.rename(tmp_path / "step-10")  # files that no seal lists
    checkpoint, dropped = newest(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.step, dropped) == (5, ["step-10: state was added"])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "weights").write_bytes(b"w1O"), "weights has changed"),
        (lambda path: (path / "weights").write_bytes(b"w1"), "weights has changed"),
        (lambda path: (path / "state").write_bytes(b"x"), "state has changed"),
        (lambda path: (path / "state").unlink(), "state is missing"),
        (lambda path: (path / "seal.json").write_bytes(b'{"files": '), "seal.json can't be read"),
        (lambda path: (path / "seal.json").write_bytes(b"[]"), "seal.json can't be read"),
    ],
)
def test_a_damaged_one_is_dropped_and_the_one_before_taken(tmp_path: Path, damage, reason: str) -> None:
    damage(sealed(tmp_path, 5, 10) / "step-10")
    checkpoint, dropped = newest(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.step, dropped) == (5, [f"step-10: {reason}"])
    assert not (tmp_path / "step-10").exists()


def test_where_all_are_damaged_training_begins_anew(tmp_path: Path) -> None:
    sealed(tmp_path, 5, 10)
    for path in tmp_path.glob("step-*"):
        (path / "weights").unlink()
    checkpoint, dropped = newest(tmp_path)
    assert checkpoint is None
    assert len(dropped) == 2


def test_a_step_may_be_sealed_again(tmp_path: Path) -> None:
    sealed(tmp_path, 5, 10)
    seal(write(tmp_path, 10, weights=b"anew"), tmp_path, 10)
    checkpoint, _ = newest(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.path / "weights").read_bytes() == b"anew"


def test_the_seal_lists_every_file(tmp_path: Path) -> None:
    seal_file = json.loads((sealed(tmp_path, 5) / "step-5" / "seal.json").read_text())
    assert set(seal_file["files"]) == {"weights", "state"}
