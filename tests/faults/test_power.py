"""A loss of power at any call of the reference build: of what was flushed nothing is lost, of the rest nothing is torn.

The calls of a real build are played to a strict disk (power.py). A sample of the moments; `pytest --long` tries all.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spark_build.storage.check import check
from spark_build.storage.local import LocalStore
from spark_build.storage.records import read_record
from tests.faults.power import Change, Disk, laid_out
from tests.faults.reference import Reference
from tests.faults.survival import STAGES, Step, clone, copied, goes_on, goes_on_with_gc
from tests.seeds import seed

SEED = seed("SPARK_KILL_SEED")
Content = dict[str, bytes | None]


class Played:
    """A step of the reference build on a strict disk."""

    def __init__(self, step: Step, path: Path) -> None:
        self.step, self.path = step, path
        self.done = copied(step.made, path / "done")
        self.disk = Disk.of(step.made.store, self.done.store)
        ran = self.done.spark(*step.words, counts="flushes")
        assert ran.returncode == 0, ran.stderr

    def losses(self, draws: random.Random) -> Iterator[Content]:
        """What may be left: after each call nothing of what was not flushed, all names, or some."""
        told: list[Callable[[Change], bool]] = [
            lambda change: False,
            lambda change: True,
            lambda change: draws.random() < 0.5,
        ]
        last: list[Content] = []
        for call in self.done.calls():
            self.disk.take(call)
            found = [self.disk.after_a_loss(arrived) for arrived in told]
            yield from (content for content in found if content not in last)
            last = found

    def left(self, content: Content, state_of: Reference) -> Reference:
        """The project after it; the index may be of any time."""
        project = clone(self.step.made, self.path / "left")
        project.store.mkdir()
        laid_out(content, str(self.done.store), project.store)
        for file in state_of.store.glob("state*.db*"):
            if file.is_file():
                shutil.copy2(file, project.store)
        return project


def assert_whole(project: Reference) -> None:
    """A segment of the item memo may be torn: it is worth no more than finding it again, and noticed by its name."""
    found = [str(finding) for finding in check(LocalStore(project.store)) if finding.kind != "memo"]
    assert not found, found


def tried(step: Step, path: Path, draws: random.Random, share: float, builds: float) -> int:
    """How many; `share` of all moments are looked at, and from `builds` of these it goes on."""
    played, number = Played(step, path), 0
    for content in played.losses(draws):
        if draws.random() >= share:
            continue
        number += 1
        project = played.left(content, draws.choice([step.made, played.done]))
        assert_whole(project)
        if draws.random() < builds:
            (goes_on_with_gc if step.collects else goes_on)(step, project)
    return number


@pytest.mark.parametrize("number", [len(STAGES) - 1, len(STAGES)])
def test_after_a_loss_of_power_no_object_and_no_record_is_torn(
    reference: list[Step], number: int, tmp_path: Path
) -> None:
    draws = random.Random(f"{SEED} {number}")
    print(f"SPARK_KILL_SEED={SEED}: {tried(reference[number], tmp_path, draws, 0.1, 0.03)} moments")


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(STAGES) + 1))
def test_after_a_loss_of_power_at_each_call_no_object_and_no_record_is_torn(
    reference: list[Step], number: int, tmp_path: Path
) -> None:
    draws = random.Random(SEED)
    print(f"{reference[number].name}: {tried(reference[number], tmp_path, draws, 1.0, 0.05)} moments, 0 torn")


def test_what_a_build_has_done_is_there_after_a_loss_of_power(reference: list[Step], tmp_path: Path) -> None:
    step = reference[len(STAGES) - 1]
    played = Played(step, tmp_path)
    for call in played.done.calls():
        played.disk.take(call)
    project = played.left(played.disk.after_a_loss(lambda change: False), step.made)
    assert_whole(project)
    names = {path.name for path in (played.done.store / "records").rglob("*.json")}
    there = (project.store / "records").rglob("*.json")
    assert names == {path.name for path in there if read_record(str(path)) is not None}
    goes_on(step, project)
