"""A build and a gc, killed at each call that writes, or refused it by the disk: the next one goes on as if nothing was.

A sample of the calls; `pytest --long` tries all.
"""

import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.reference import Reference
from tests.faults.survival import BUILD, STAGES, Step, copied, steps, survives
from tests.seeds import seed

SEED = seed("SPARK_KILL_SEED")
# What may be written by no call of Python's that is counted: SQLite's index, and what libraries write into an attempt
PAST = re.compile(r"state[^/]*\.db.*|work/[0-9a-f]{64}/(attempt|scratch)/.+")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return steps(tmp_path_factory.mktemp("reference"))


def drawn(step: Step, many: int) -> list[int]:
    print(f"SPARK_KILL_SEED={SEED}; {many} of {step.calls} calls of {step.name}")
    return sorted(random.Random(SEED).sample(range(1, step.calls + 1), min(many, step.calls)))


@pytest.mark.parametrize("number", range(len(STAGES) + 1))
def test_killed_at_any_call_that_writes_the_next_command_does_it_all(
    reference: list[Step], number: int, tmp_path: Path
) -> None:
    step = reference[number]
    assert step.calls > 20
    (at,) = drawn(step, 1)
    survives(step, tmp_path / "killed", at)


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(STAGES) + 1))
def test_killed_at_each_call_that_writes_the_next_command_does_it_all(
    reference: list[Step], number: int, tmp_path: Path
) -> None:
    step = reference[number]
    for at in step.unlike:
        survives(step, tmp_path / "killed", at)
    print(f"{step.name}: {step.calls} calls, {len(step.unlike)} unlike stores, 0 left corrupt")


@pytest.mark.parametrize("how", ["EIO", "EACCES", "ENOSPC"])
def test_a_call_that_the_disk_refuses_is_told_in_words_and_nothing_is_lost(
    reference: list[Step], how: str, tmp_path: Path
) -> None:
    step = random.Random(f"{SEED} {how}").choice(reference)
    (at,) = drawn(step, 1)
    said = survives(step, tmp_path / "refused", at, how)
    assert "Traceback" not in said, said
    assert "BUG" not in said, said


@pytest.mark.long
@pytest.mark.parametrize("how", ["EIO", "EACCES", "ENOSPC"])
def test_each_call_that_the_disk_refuses_is_told_in_words_and_nothing_is_lost(
    reference: list[Step], how: str, tmp_path: Path
) -> None:
    for step in reference:
        for at in range(1, step.calls + 1):
            said = survives(step, tmp_path / "refused", at, how)
            assert "Traceback" not in said, f"{step.name}, call {at}: {said}"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of its own needs root and CAP_SYS_ADMIN")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_tiny_disk_fills_up_and_with_room_the_same_build_goes_on(
    reference: list[Step], small: Path
) -> None:
    first, last = reference[0], reference[len(STAGES) - 1]
    project = copied(first.made, small / "project")
    project.folder.write("ballast", os.urandom(220_000))
    full = project.plain(*BUILD, STAGES[-1])
    assert full.returncode == 1, full.stdout
    assert "no space left on the disk" in full.stderr
    assert "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
    done = project.plain(*BUILD, STAGES[-1])
    assert done.returncode == 0, done.stderr
    assert project.outputs(done.stdout) == last.outputs


def test_nothing_is_written_to_the_store_past_the_calls_that_are_counted(tmp_path: Path) -> None:
    """strace sees what every process of the build asks of the kernel."""
    if subprocess.run(["which", "strace"], capture_output=True, check=False).returncode != 0:
        assert "SPARK_TESTS_NEED_SERVERS" not in os.environ, "strace is to be installed"
        pytest.skip("strace is not installed")
    project = Reference.made(tmp_path / "project", tmp_path / "library")
    seen = tmp_path / "strace.log"
    calls = (
        "openat,open,creat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,truncate"
    )
    project.trace(
        *BUILD, before=("strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={calls}", "-o", str(seen))
    )
    counted = {path for call in project.calls() for path in call[2:]}
    written = set(_written(seen.read_text(), str(project.store)))
    past = {path.removeprefix(f"{project.store}/") for path in written - counted}
    print(f"{len(written)} paths written, {len(counted)} counted")
    assert len(written & counted) > 50
    assert not [path for path in past if not PAST.fullmatch(path)]


_CALL = re.compile(r"^\d+ +(?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?\d+)")
_PATH = re.compile(r'(?:AT_FDCWD<(?P<here>[^>]*)>|\d+<(?P<folder>[^>]*)>)?(?:, )?"(?P<path>[^"]*)"')


def _written(trace: str, store: str) -> Iterator[str]:
    """Paths below the store that a call which succeeded has written, made or removed."""
    for line in trace.splitlines():
        call = _CALL.match(line)
        if call is None or call["result"].startswith("-"):
            continue
        if call["name"].startswith(("open", "creat")) and not re.search(
            r"O_(WRONLY|RDWR|CREAT)", call["args"]
        ):
            continue
        for found in _PATH.finditer(call["args"]):
            path = os.path.normpath(os.path.join(found["here"] or found["folder"] or "/", found["path"]))
            if path.startswith(f"{store}/"):
                yield path
