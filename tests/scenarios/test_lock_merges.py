"""Two branches and one lock, merged by git itself."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from spark_build import Project
from spark_build.app import BuildOptions
from spark_build.app.locking import locked_plan
from spark_build.core.errors import RequirementNotMet, UsageError
from spark_build.pinning import Lock
from tests.spark import REPOSITORY, Folder

Stages = dict[str, dict[str, Any]]
DRIVER = f"PYTHONPATH={REPOSITORY} {sys.executable} -m spark_build lock merge %O %A %B"


def block(what: str) -> dict[str, Any]:
    """Much of it is the same in every block, as libraries and inputs are."""
    return {
        "key": f"{what:k<64}",
        "output": f"{what:o<64}",
        "manifest": '{"steps":[]}',
        "parts": {"model/": "p" * 64},
        "inputs": {"0.path": "i" * 64},
        "libraries": {"pyarrow": "21.0.0"},
        "metrics": {"items": 30.0},
    }


class Branches:
    """A repository whose lock two branches change."""

    def __init__(self, root: Path, **stages: str) -> None:
        self.folder = Folder(root)
        self.path = root / "Sparkfile.lock"
        self.git("init", "-qb", "main")
        self.write({name.replace("__", "/"): block(what) for name, what in stages.items()})
        self.commit("base")
        self.git("branch", "theirs")

    def ours(self, change: Callable[[Lock], None]) -> None:
        self._change("main", change)

    def theirs(self, change: Callable[[Lock], None]) -> None:
        self._change("theirs", change)

    def merge(self) -> int:
        self.git("checkout", "-q", "main")
        return self.git("merge", "-qm", "merged", "theirs", is_checked=False)

    def write(self, stages: Stages) -> None:
        lock = Lock()
        for name, values in stages.items():
            lock.put("stages", f"model:{name}", values)
        lock.save(self.path, str(self.folder.path / ".git/turn"))

    def commit(self, message: str) -> None:
        self.git("add", ".")
        self.git("commit", "-qm", message)

    def git(self, *words: str, is_checked: bool = True) -> int:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *words], cwd=self.folder.path, check=False, capture_output=True, text=True
        )
        assert not is_checked or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.returncode

    def use_driver(self) -> None:
        (self.folder.path / ".gitattributes").write_text("Sparkfile.lock merge=spark-lock\n")
        self.git("config", "merge.spark-lock.driver", DRIVER)

    def keys(self) -> Mapping[str, str]:
        lock = Lock.load(self.path)
        blocks = {name.removeprefix("model:"): lock.get("stages", name) for name in lock.names("stages")}
        return {name: str(values["key"]).rstrip("k") for name, values in blocks.items() if values}

    def _change(self, branch: str, change: Callable[[Lock], None]) -> None:
        self.git("checkout", "-q", branch)
        lock = Lock.load(self.path)
        change(lock)
        lock.save(self.path, str(self.folder.path / ".git/turn"))
        self.commit(branch)


@pytest.fixture
def branches(folder: Folder) -> Branches:
    return Branches(folder.path, a__eval="1", a__train="2", b__eval="3", b__train="4", c__train="5")


def put(**stages: str) -> Callable[[Lock], None]:
    def change(lock: Lock) -> None:
        for name, what in stages.items():
            lock.put("stages", f"model:{name.replace('__', '/')}", block(what))

    return change


def test_neighbours_changed_on_two_branches_merge(branches: Branches) -> None:
    branches.ours(put(a__eval="x1", a__train="x2"))
    branches.theirs(put(b__eval="y1", b__train="y2"))
    assert branches.merge() == 0
    assert branches.keys() == {
        "a/eval": "x1",
        "a/train": "x2",
        "b/eval": "y1",
        "b/train": "y2",
        "c/train": "5",
    }
    tomllib.loads(branches.path.read_text())


def test_a_longer_and_a_shorter_block_side_by_side_merge(branches: Branches) -> None:
    longer = {**block("x"), "metrics": {f"f{n}": n / 7 for n in range(9)}}
    shorter = {name: value for name, value in block("y").items() if name in ("key", "output")}
    branches.ours(lambda lock: lock.put("stages", "model:a/train", longer))
    branches.theirs(lambda lock: lock.put("stages", "model:b/eval", shorter))
    assert branches.merge() == 0
    assert Lock.load(branches.path).get("stages", "model:a/train")["metrics"] == longer["metrics"]  # type: ignore[index]
    assert branches.keys()["b/eval"] == "y"


def test_a_target_that_goes_and_a_neighbour_that_changes_merge(branches: Branches) -> None:
    def drop(lock: Lock) -> None:
        lock.drop("stages", "model:a/eval")
        lock.drop("stages", "model:a/train")

    branches.ours(drop)
    branches.theirs(put(b__eval="y1", c__train="y2"))
    assert branches.merge() == 0
    assert branches.keys() == {"b/eval": "y1", "b/train": "4", "c/train": "y2"}


def test_new_targets_at_one_place_merge_with_the_driver(branches: Branches) -> None:
    branches.use_driver()
    branches.ours(put(b1__eval="n1", b1__train="n2", c__train="x"))
    branches.theirs(put(b2__eval="m1", b2__train="m2", a__train="y"))
    assert branches.merge() == 0
    assert branches.keys() == {
        "a/eval": "1", "a/train": "y", "b/eval": "3", "b/train": "4", "b1/eval": "n1", "b1/train": "n2",
        "b2/eval": "m1", "b2/train": "m2", "c/train": "x",
    }  # fmt: skip
    merged = branches.path.read_text()
    assert merged == Lock.load(branches.path).render()


@pytest.mark.parametrize("style", ["merge", "diff3", "zdiff3"])
def test_new_targets_at_one_place_are_read_through_gits_markers(branches: Branches, style: str) -> None:
    branches.git("config", "merge.conflictStyle", style)
    branches.ours(put(b1__eval="n1", b1__train="n2"))
    branches.theirs(put(b2__eval="m1", b2__train="m2"))
    assert branches.merge() == 1
    assert {"b1/eval", "b1/train", "b2/eval", "b2/train"} < branches.keys().keys()
    assert Lock.load(branches.path).get("stages", "model:b1/train") == block("n2")
    assert Lock.load(branches.path).get("stages", "model:b2/eval") == block("m1")


@pytest.mark.parametrize("has_driver", [True, False])
def test_a_stage_that_both_changed_is_left_to_the_next_build(branches: Branches, has_driver: bool) -> None:
    if has_driver:
        branches.use_driver()
    branches.ours(put(b__eval="x"))
    branches.theirs(put(b__eval="y", a__train="z"))
    assert branches.merge() == (0 if has_driver else 1)
    assert branches.keys() == {"a/eval": "1", "a/train": "z", "b/train": "4", "c/train": "5"}


@pytest.mark.parametrize("has_driver", [True, False])
def test_a_tag_that_both_set_is_for_somebody_to_choose(branches: Branches, has_driver: bool) -> None:
    if has_driver:
        branches.use_driver()
    branches.ours(lambda lock: lock.put("tags", "model:a@v1", block("x")))
    branches.theirs(lambda lock: lock.put("tags", "model:a@v1", block("y")))
    assert branches.merge() == 1
    with pytest.raises(UsageError, match="both sides set tag 'model:a@v1'"):
        Lock.load(branches.path)


def test_two_tags_merge_with_the_driver(branches: Branches) -> None:
    branches.use_driver()
    branches.ours(lambda lock: lock.put("tags", "model:a@v1", block("x")))
    branches.theirs(lambda lock: lock.put("tags", "model:a@v2", block("y")))
    assert branches.merge() == 0
    assert sorted(Lock.load(branches.path).names("tags")) == ["model:a@v1", "model:a@v2"]


def test_setup_tells_git_of_the_driver(folder: Folder) -> None:
    assert "git init" in folder.spark("lock", "setup", code=2).err
    subprocess.run(["git", "init", "-q"], cwd=folder.path, check=True)
    for _ in range(2):
        folder.spark("lock", "setup")
    assert (folder.path / ".gitattributes").read_text() == "Sparkfile.lock merge=spark-lock\n"
    told = subprocess.run(
        ["git", "check-attr", "merge", "Sparkfile.lock"],
        cwd=folder.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.endswith("spark-lock\n")
    assert "spark lock merge %O %A %B" in (folder.path / ".git" / "config").read_text()


SPARKFILE = """\
store: {{local: {store}}}
targets:
  a: {{recipe: {{use: command, with: {{run: "echo a 1 > {{output}}/x"}}}}}}

  b: {{recipe: {{use: command, with: {{run: "echo b 1 > {{output}}/x"}}}}}}
"""


def test_after_a_merge_nothing_runs_again_where_the_store_is_shared(folder: Folder) -> None:
    store = os.path.relpath(folder.path.parent / "store", folder.path)
    folder.sparkfile(SPARKFILE.format(store=store))
    folder.write(".gitignore", ".spark/\n")
    project = Project(folder.path)
    project.build()
    repository = Branches.__new__(Branches)
    repository.folder, repository.path = folder, folder.path / "Sparkfile.lock"
    repository.git("init", "-qb", "main")
    repository.commit("base")
    repository.git("branch", "theirs")
    for branch, name in (("main", "a"), ("theirs", "b")):
        repository.git("checkout", "-q", branch)
        folder.edit(f"echo {name} 1", f"echo {name} 2")
        project.build()
        repository.commit(branch)
    assert repository.merge() == 0
    assert locked_plan(project, ()).fits
    assert set(project.plan().summary.items()) >= {("fresh", 2), ("run", 0)}
    before = repository.path.read_text()
    assert project.build().count("ran") == 0
    assert repository.path.read_text() == before


def test_a_build_resolves_what_git_left_between_markers_and_runs_nothing(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE.format(store=".spark"))
    project = Project(folder.path)
    project.build()
    lock = folder.path / "Sparkfile.lock"
    whole = lock.read_text()
    first, second = whole.index('[stages."model:a'), whole.index('[stages."model:b')
    sides = (whole[first:second].rstrip("\n"), whole[second:].rstrip("\n"))
    lock.write_text(whole[:first] + "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n".format(*sides))
    assert not locked_plan(project, ()).fits
    with pytest.raises(RequirementNotMet, match="merge conflict"):
        project.build(options=BuildOptions(is_locked=True))
    assert project.plan().is_done
    built = project.build()
    assert built.count("ran") == 0
    assert "git add Sparkfile.lock" in built.warnings[0]
    assert lock.read_text() == whole


def test_a_lock_with_other_line_ends_is_read_and_written_with_ours(folder: Folder) -> None:
    file, turn = folder.path / "Sparkfile.lock", str(folder.path / "turn")
    lock = Lock()
    lock.put("stages", "model:a/train", block("1"))
    lock.save(file, turn)
    ours = file.read_bytes()
    file.write_bytes(ours.replace(b"\n", b"\r\n"))
    read = Lock.load(file)
    assert read.blocks == lock.blocks
    assert read.save(file, turn)
    assert file.read_bytes() == ours
    assert not read.holds_others
