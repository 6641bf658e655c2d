"""Many builders on one cold target: each result is made once, and a dead or stopped builder harms nobody."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from spark_build.app.remoting import LEASE_VARIABLE
from tests.remote.conftest import Team
from tests.spark import Folder, Ran

LEASE_SECONDS = 2.0
# what comes out differs each time, so that whoever did not take another's result is found out
MAKES = "echo {name} $(date +%s.%N) >> {marks}; sleep 0.5; date +%N > {{output}}/x"
# waits for a word after it has begun
WAITS = (
    "echo slow $(date +%s.%N) $$ >> {marks}; until [ -e {go} ]; do sleep 0.05; done; date +%N > {{output}}/x"
)
SPARKFILE = """\
{store}environment: {{hermetic: off}}
targets:
  one: {{recipe: {{use: command, with: {{run: "{one}"}}}}}}
  two: {{recipe: {{use: command, with: {{run: "{two}"}}}}}}
"""
MANY = pytest.mark.parametrize("count", [2, 8, pytest.param(32, marks=pytest.mark.long)])


class Marks:
    """What the stages' commands write down outside of all projects."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def counts(self) -> Counter[str]:
        return Counter(line[0] for line in self.lines)

    def wait_for(self, count: int, *running: "subprocess.Popen[str]") -> None:
        until(lambda: len(self.lines) >= count, *running)


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path / "marks")


def until(is_so: Callable[[], bool], *running: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in running), "it has ended"
        time.sleep(0.02)


def project(folder: Folder, marks: Marks, *, bucket: str = "", command: str = MAKES) -> Folder:
    folder.path.mkdir(exist_ok=True)
    store = f'store: {{remote: "s3://{bucket}/team"}}\n' if bucket else ""
    go = marks.file.parent / "go"
    one, two = (command.format(name=name, marks=marks.file, go=go) for name in ("one", "two"))
    folder.sparkfile(SPARKFILE.format(store=store, one=one, two=two))
    return folder


def at_once(folders: Iterable[Folder], *words: str) -> list[Ran]:
    running = [folder.start("build", "--json", *words) for folder in folders]
    ended = []
    for process in running:
        out, err = process.communicate(timeout=300)
        ended.append(Ran(process.returncode or 0, out, err))
        assert process.returncode == 0, err
    return ended


def check_one_made_each(ended: list[Ran], marks: Marks) -> None:
    assert marks.counts() == {"one": 1, "two": 1}
    ran = Counter(stage for one in ended for stage in one.ran)
    assert ran == {"model:one/train": 1, "model:two/train": 1}
    assert len({tuple(sorted(one.outputs.items())) for one in ended}) == 1


@MANY
def test_of_many_builders_in_one_store_one_makes_each_result(
    folder: Folder, marks: Marks, count: int
) -> None:
    project(folder, marks)
    check_one_made_each(at_once([folder] * count), marks)


@MANY
def test_of_many_machines_one_makes_each_result_and_the_others_restore_it(
    team: Team, marks: Marks, count: int
) -> None:
    environment = team.service.environment
    machines = [
        project(Folder(team.root / f"machine-{n}", dict(environment)), marks, bucket=team.bucket)
        for n in range(count)
    ]
    check_one_made_each(at_once(machines), marks)
    assert len(team.names("team/trusted/records/")) == 2
    assert not team.names("team/trusted/leases/")


def test_what_stays_on_each_machine_is_waited_for_by_nobody(quick_team: Team) -> None:
    first = quick_team.project()
    second = quick_team.clone(first)
    for ended in at_once([first, second], "dataset:notes"):
        assert ended.outcomes["dataset:notes/ingest"] in ("ran", "fresh")
        assert "waits" not in ended.err
    assert not quick_team.names("team/trusted/leases/")


def test_a_dead_builders_lock_is_free_at_once_on_its_machine(folder: Folder, marks: Marks) -> None:
    project(folder, marks, command=WAITS)
    dead = folder.start("build", "model:one")
    marks.wait_for(1, dead)
    other = folder.start("build", "model:one")
    time.sleep(1.0)
    assert len(marks.lines) == 1, "it waits"
    killed_at = time.time()
    dead.kill()
    marks.wait_for(2, other)
    began_at = float(marks.lines[1][1])
    assert began_at - killed_at < 5.0
    folder.write("../go", "")
    assert other.wait(60) == 0
    dead.communicate()
    assert len(list((folder.path / ".spark" / "records").rglob("*.json"))) == 1


def slow_machine(team: Team, marks: Marks, name: str) -> Folder:
    env = {**team.service.environment, LEASE_VARIABLE: f"{LEASE_SECONDS:g}"}
    return project(Folder(team.root / name, env), marks, bucket=team.bucket, command=WAITS)


def last_renewed(team: Team) -> float:
    (lease,) = [name for name in team.names("team/trusted/leases/") if "trial" not in name]
    head = team.service.client().head_object(Bucket=team.bucket, Key=lease)
    return float(head["LastModified"].timestamp())


def test_a_dead_machines_lease_is_taken_over_when_its_time_is_up_and_not_before(
    team: Team, marks: Marks
) -> None:
    first, second = (slow_machine(team, marks, name) for name in ("first", "second"))
    dead = first.start("build", "model:one")
    marks.wait_for(1, dead)
    other = second.start("build", "--json", "model:one")
    time.sleep(LEASE_SECONDS * 2)
    assert len(marks.lines) == 1, "it is renewed while its builder lives"
    dead.kill()  # its workers go with it
    dead.communicate()
    renewed_at = last_renewed(team)
    marks.wait_for(2, other)
    began_at = float(marks.lines[1][1])
    assert renewed_at + LEASE_SECONDS < began_at < renewed_at + LEASE_SECONDS + 30.0
    (team.root / "go").write_text("")
    assert other.wait(60) == 0
    other.communicate()
    assert len(team.names("team/trusted/records/")) == 1
    assert not team.names("team/trusted/leases/")


def test_a_builder_that_was_stopped_and_wakes_up_late_writes_nothing_over(team: Team, marks: Marks) -> None:
    first, second = (slow_machine(team, marks, name) for name in ("first", "second"))
    stopped = first.start("build", "--json", "model:one")
    marks.wait_for(1, stopped)
    stopped.send_signal(signal.SIGSTOP)
    try:
        other = second.start("build", "--json", "model:one")
        marks.wait_for(2, other)
        (team.root / "go").write_text("")
        out, err = other.communicate(timeout=60)
        assert other.returncode == 0, err
        (record,) = team.names("team/trusted/records/")
        published = team.read(record)
    finally:
        stopped.send_signal(signal.SIGCONT)
    late, late_err = stopped.communicate(timeout=60)
    assert stopped.returncode == 0
    assert "not deterministic" in late_err
    assert team.read(record) == published
    ours, theirs = Ran(0, out, err).outputs, Ran(0, late, late_err).outputs
    assert ours != theirs
    beside = record.replace(".json", f".{theirs['model:one/train'][:12]}.json")
    assert team.names("team/trusted/records/") == sorted([record, beside])
    assert not team.names("team/trusted/leases/")


def test_no_clock_that_somebody_sets_decides_who_has_a_lease() -> None:
    text = Path(__file__).parents[2].joinpath("spark_build", "remote", "leases.py").read_text()
    for clock in ("time.time(", "datetime", "CLOCK_REALTIME"):
        assert clock not in text
