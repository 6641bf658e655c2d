"""What has to hold after a kill or an error at any call; `python -m tests.faults.survival FOLDER 0 1` tries all."""

import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from spark_build.storage.check import check
from spark_build.storage.local import LocalStore
from spark_build.storage.records import read_record
from tests.faults.reference import Reference

BUILD = ("build", "--json", "-j", "1")
GC = ("store", "gc", "--keep-builds", "0", "--keep-days", "0")
STAGES = ("dataset:notes/ingest", "dataset:notes/filter", "dataset:notes/version", "model:tiny/train")


class Step(NamedTuple):
    """One stage of the reference build, or the gc, in a project where all before it is done."""

    made: Reference
    words: tuple[str, ...]
    outputs: dict[str, str]  # of all stages once it is done
    calls: int
    unlike: tuple[int, ...]  # calls before which the store is another one than before the call before them

    @property
    def name(self) -> str:
        return self.words[-1] if self.words[-1] in STAGES else "gc"


def steps(path: Path) -> list[Step]:
    """The reference build, undisturbed, stage by stage, and the gc after it."""
    found, made = [], Reference.made(path / "before-0", path / "library")
    for number, stage in enumerate(STAGES):
        done = copied(made, path / f"before-{number + 1}")
        built = done.spark(*BUILD, stage)
        assert built.returncode == 0, built.stderr
        found.append(Step(made, (*BUILD, stage), done.outputs(built.stdout), *_counted(done)))
        made = done
    return [*found, with_garbage(path)]


def with_garbage(path: Path) -> Step:
    """A project that was built twice, of which gc takes one."""
    made = Reference.made(path / "garbage", path / "library")
    assert made.plain(*BUILD).returncode == 0
    (made.folder.path / "data" / "doc0000.md").unlink()
    built = made.plain(*BUILD)
    assert built.returncode == 0, built.stderr
    copy = copied(made, path / "counted")
    done = copy.spark(*GC)
    assert done.returncode == 0, done.stderr
    assert "records of results" in done.stdout
    return Step(made, GC, made.outputs(built.stdout), *_counted(copy))


def _counted(project: Reference) -> tuple[int, tuple[int, ...]]:
    """How many there were. A kill after one that changed nothing leaves the store that a kill before it does."""
    names = [call[0] for call in project.calls()]
    is_like = [False, *(name.startswith("(") for name in names[:-1])]
    return len(names), tuple(at for at, like in enumerate(is_like, 1) if not like)


def copied(made: Reference, to: Path) -> Reference:
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(
        made.folder.path, to, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copy2
    )
    return Reference.of(to, made.library)


def survives(step: Step, to: Path, at: int, how: str = "kill") -> str:
    """Fails the `at`th call of a step, and looks whether all is well; what the disturbed command said."""
    project = copied(step.made, to)
    done = project.spark(*step.words, at=at, how=how)
    left = project.orphans()
    assert not left, f"left over: {left}"
    _is_clean(project)
    (_goes_on_with_gc if step.words == GC else _goes_on_with_build)(step, project)
    _is_clean(project)
    return done.stderr


def _goes_on_with_build(step: Step, project: Reference) -> None:
    kept = _records(project)
    again = project.plain(*step.words)
    assert again.returncode == 0, f"the next build failed\n{again.stdout}\n{again.stderr}"
    assert project.outputs(again.stdout) == step.outputs, "another result"
    assert kept <= _records(project), "a record was lost"


def _goes_on_with_gc(step: Step, project: Reference) -> None:
    built = project.plain(*BUILD)
    assert built.returncode == 0, f"the next build failed\n{built.stdout}\n{built.stderr}"
    assert project.outputs(built.stdout) == step.outputs, "another result"
    events = [json.loads(line) for line in built.stdout.splitlines()]
    assert {e["outcome"] for e in events if e["event"] == "stage"} == {"fresh"}, "gc made it stale"
    again = project.plain(*GC)
    assert again.returncode == 0, f"the next gc failed\n{again.stderr}"
    left = list((project.store / "records").rglob("*.json"))
    assert len(left) == len(step.outputs), f"the next gc left {len(left)} records"


def _records(project: Reference) -> set[str]:
    return {p.name for p in (project.store / "records").rglob("*.json") if read_record(str(p)) is not None}


def _is_clean(project: Reference) -> None:
    found = [finding for finding in check(LocalStore(project.store)) if finding.is_damage]
    assert not found, str(found)


def main(folder: str, part: str, parts: str) -> None:
    path = Path(folder, part)
    path.mkdir(parents=True)
    failed = tried = 0
    for step in steps(path):
        for at in step.unlike[int(part) :: int(parts)]:
            tried += 1
            Path(folder, f"{part}.last").write_text(f"{step.name} {at} {tried}")
            try:
                survives(step, path / "tried", at)
            except AssertionError as error:
                failed += 1
                print(f"{step.name} {at} of {step.calls}: {error}", flush=True)
        told = f"{step.calls} calls, {len(step.unlike)} unlike"
        print(f"{step.name}: {told}, {tried} tried so far, {failed} failed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
