"""A build and a gc that the disk refuses a call, to write or to read: it says so, and the next one goes on.

A sample of the calls; `pytest --long` tries all. Kills are in test_kills.py.
"""

import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.reference import Reference
from tests.faults.survival import (
    BUILD,
    STAGES,
    Step,
    assert_told,
    copied,
    of_each_place,
    reading,
    survives,
)
from tests.mounts import small_disk
from tests.seeds import seed

SEED = seed("SPARK_KILL_SEED")
# What may be written by no call of Python's that is counted: SQLite's index, what pyarrow writes into an attempt, and
# what a build's bare watchdog opens for others
PAST = re.compile(r"state[^/]*\.db(-journal|-wal|-shm)?|work/[0-9a-f]{64}/attempt/.+\.parquet|logs/.+\.log")


@pytest.fixture(scope="module")
def reads(reference: list[Step], tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return reading(reference, tmp_path_factory.mktemp("reads"))


def refused(points: Sequence[tuple[Step, int | str]], how: str, counts: str, to: Path) -> None:
    step, at = random.Random(f"{SEED} {how}").choice(points)
    print(f"SPARK_KILL_SEED={SEED}; {step.name}, {at!r}, one of {len(points)}")
    assert_told(step, survives(step, to, at, how, counts), how)


@pytest.mark.parametrize("how", ["EIO", "EACCES", "ENOSPC"])
def test_a_call_that_the_disk_refuses_is_told_in_words_and_nothing_is_lost(
    reference: list[Step], how: str, tmp_path: Path
) -> None:
    refused(
        [(step, at) for step in reference for at in step.of_the_disk], how, "writes", tmp_path / "refused"
    )


@pytest.mark.parametrize("how", ["EIO", "EACCES"])
def test_a_read_that_fails_is_told_in_words_and_nothing_is_lost(
    reads: list[Step], how: str, tmp_path: Path
) -> None:
    refused(of_each_place(reads), how, "reads", tmp_path / "refused")


def test_a_folder_of_shards_that_may_not_be_read_is_taken_for_no_empty_one(
    reads: list[Step], tmp_path: Path
) -> None:
    """Path.glob takes it for one: the card of a dataset without its rejected items was another result."""
    places = [at for _, at in of_each_place(reads[2:3]) if at.startswith("os.listdir\tfiles.py")]
    assert places
    for at in places[:2]:
        said = survives(reads[2], tmp_path / "refused", at, "EACCES", "reads")
        assert said.code == 1
        assert_told(reads[2], said, "EACCES")


@pytest.mark.long
@pytest.mark.parametrize("how", ["EIO", "EACCES", "ENOSPC"])
def test_each_call_that_the_disk_refuses_is_told_in_words_and_nothing_is_lost(
    reference: list[Step], how: str, tmp_path: Path
) -> None:
    for step in reference:
        for at in step.of_the_disk:
            assert_told(step, survives(step, tmp_path / "refused", at, how), how)


@pytest.mark.long
@pytest.mark.parametrize("how", ["EIO", "EACCES"])
def test_each_read_that_fails_is_told_in_words_and_nothing_is_lost(
    reads: list[Step], how: str, tmp_path: Path
) -> None:
    for step, at in of_each_place(reads):
        assert_told(step, survives(step, tmp_path / "refused", at, how, "reads"), how)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "300k") as path:
        yield path


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
    """strace sees what every process of the build asks of the kernel: each path, and each write and flush."""
    if subprocess.run(["which", "strace"], capture_output=True, check=False).returncode != 0:
        assert "SPARK_TESTS_NEED_SERVERS" not in os.environ, "strace is to be installed"
        pytest.skip("strace is not installed")
    project = Reference.made(tmp_path / "project", tmp_path / "library")
    seen = tmp_path / "strace.log"
    named = (
        "openat,open,creat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,truncate"
    )
    calls = f"{named},{','.join(WRITES)}"
    project.trace(
        *BUILD, before=("strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={calls}", "-o", str(seen))
    )
    counted = project.calls()
    trace = seen.read_text()
    paths = {path for call in counted for path in call[2:]}
    found = set(_written(trace, str(project.store)))
    print(f"{len(found)} paths written, {len(paths)} counted")
    assert len(found & paths) > 50
    assert not _past(found - paths, str(project.store))
    kinds = Counter((_kind(call[0].strip("()")), call[2]) for call in counted)
    done = Counter(_writes(trace, str(project.store)))
    assert sum(done.values()) > 100
    differing = {path for (kind, path), many in done.items() if kinds[kind, path] != many}
    assert not _past(differing, str(project.store))


# what the kernel calls it, and what it is counted as
WRITES = {
    "write": "fd.write", "pwrite64": "fd.write", "writev": "fd.write", "pwritev": "fd.write", "pwritev2": "fd.write",
    "ftruncate": "os.truncate", "fsync": "fd.fsync", "fdatasync": "fd.fsync",
}  # fmt: skip


def _kind(name: str) -> str:
    return {"fd.pwrite": "fd.write", "fd.fdatasync": "fd.fsync"}.get(name, name)


def _past(paths: set[str], store: str) -> list[str]:
    inside = (path.removeprefix(f"{store}/") for path in paths)
    return [path for path in inside if not PAST.fullmatch(path)]


_CALL = re.compile(r"^\d+ +(?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?\d+)")
_PATH = re.compile(r'(?:AT_FDCWD<(?P<here>[^>]*)>|\d+<(?P<folder>[^>]*)>)?(?:, )?"(?P<path>[^"]*)"')
_OPEN_FILE = re.compile(r"^\d+ +(?P<name>\w+)\(\d+<(?P<path>[^>]*)>")


def _writes(trace: str, store: str) -> Iterator[tuple[str, str]]:
    """Each write and flush of what is open below the store: what it is counted as, and the path."""
    for line in trace.splitlines():
        call = _OPEN_FILE.match(line)
        if call is not None and call["name"] in WRITES and call["path"].startswith(f"{store}/"):
            yield WRITES[call["name"]], call["path"]


def _written(trace: str, store: str) -> Iterator[str]:
    """Paths below the store that a call which succeeded has written, made or removed."""
    for line in trace.splitlines():
        call = _CALL.match(line)
        if call is None or call["result"].startswith("-") or call["name"] in WRITES:
            continue
        if call["name"].startswith(("open", "creat")) and not re.search(
            r"O_(WRONLY|RDWR|CREAT)", call["args"]
        ):
            continue
        for found in _PATH.finditer(call["args"]):
            path = os.path.normpath(os.path.join(found["here"] or found["folder"] or "/", found["path"]))
            if path.startswith(f"{store}/"):
                yield path
