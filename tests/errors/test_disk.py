"""No room, or nothing that may be written: said in words, nothing lost, and the next build goes on."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.errors.told import errors, failed, left_in_work, refused
from tests.mounts import small_disk
from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  small: {source: data}
  large: {source: big, gates: [g]}
gates:
  g: {use: quality, with: {rules: [word_count], min_words: 1}}
"""
BUILT = {f"dataset:small/{s}" for s in ("ingest", "version")}


class Disk:
    """A file system of its own in memory, whose size and mode can be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True, capture_output=True)

    def fill(self) -> None:
        with suppress(OSError), (self.path / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", "1500k") as path:
        yield Disk(path)


@pytest.fixture
def project(disk: Disk) -> Folder:
    folder = Folder(disk.path)
    folder.sparkfile(SPARKFILE)
    documents(folder, 5)
    assert folder.build("dataset:small").ran == BUILT
    return folder


def test_a_full_disk_fails_the_stage_and_the_same_build_goes_on_when_there_is_room(
    project: Folder, disk: Disk
) -> None:
    documents(project, 1, name="big")
    disk.fill()
    ran = failed(project)
    assert "no space left on the disk" in errors(ran)["dataset:large/ingest"]
    assert "fix: make room and run it again; nothing half-written was kept" in ran.err
    assert {ran.outcomes[stage] for stage in BUILT} == {"fresh"}
    assert set(project.states("dataset:small").values()) == {"fresh"}
    (disk.path / "fill").unlink()
    disk.remount("size=20m")
    assert project.build().outcomes["dataset:large/version"] == "ran"
    assert "nothing is damaged" in project.spark("store", "check").out


def test_a_disk_that_fills_up_within_a_stage_keeps_no_half_result(project: Folder, disk: Disk) -> None:
    for number in range(7):
        words = " ".join(f"{(number * 7919 + i * 104729) ** 3 % 16**16:x}" for i in range(5000))
        project.write(f"big/{number}.txt", words)
    ran = failed(project)
    assert any("no space left on the disk" in error for error in errors(ran).values())
    assert left_in_work(project) == {"scratch"}
    assert set(project.states("dataset:small").values()) == {"fresh"}
    assert "nothing is damaged" in project.spark("store", "check").out
    disk.remount("size=20m")
    assert project.build().outcomes["dataset:large/version"] == "ran"


def test_a_tag_and_a_copy_on_a_full_disk_leave_nothing_behind(project: Folder, disk: Disk) -> None:
    lock = (project.path / "Sparkfile.lock").read_bytes()
    disk.fill()
    assert refused(project, "tag", "small@v1", code=1).startswith("Sparkfile.lock: no space left on the disk")
    assert "/out: no space left on the disk" in refused(project, "get", "small", "--to", "out", code=1)
    assert (project.path / "Sparkfile.lock").read_bytes() == lock
    assert {p.name for p in project.path.iterdir()} == {
        "Sparkfile.yaml", "Sparkfile.lock", "data", ".spark", "fill"
    }  # fmt: skip


def test_a_read_only_project_can_be_asked_everything_and_says_that_it_cant_be_built(
    project: Folder, disk: Disk, tmp_path: Path
) -> None:
    documents(project, 1, name="big")
    disk.remount("ro")
    assert project.states("dataset:small") == dict.fromkeys(BUILT, "fresh")
    assert set(project.build("dataset:small").outcomes.values()) == {"fresh"}
    for command in ("check", "status", "ls", "runs"):
        project.spark(command)
    project.spark("get", "small", "--to", str(tmp_path / "out"))
    ran = failed(project, "dataset:large")
    assert "the disk is read-only" in errors(ran)["dataset:large/ingest"]
    assert refused(project, "tag", "small@v1", code=1).startswith("Sparkfile.lock: the disk is read-only")
