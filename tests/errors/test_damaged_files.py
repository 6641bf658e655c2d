"""Files of the project and of the store that are not what they were: said, or simply made again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.errors.told import assert_is_plain, refused
from tests.spark import Folder, documents

STAGES = {"dataset:good/ingest", "dataset:good/version"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A built dataset; each test puts back what it damages."""
    folder = Folder(tmp_path_factory.mktemp("project"))
    folder.sparkfile("datasets:\n  good: {source: good}\n")
    documents(folder, 5, name="good")
    folder.build()
    return folder


@pytest.fixture
def lock(built: Folder) -> Iterator[Path]:
    path = built.path / "Sparkfile.lock"
    text = path.read_bytes()
    yield path
    path.write_bytes(text)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: "", "Sparkfile.lock is no lock of this version"),
        (lambda text: "hello\n", "Sparkfile.lock is no lock of this version"),
        (lambda text: text.replace("version = 1", "version = 9"), "Sparkfile.lock is no lock of this version"),
        (lambda text: text.replace("[stages", "<<<<<<< HEAD\n[stages", 1), "Sparkfile.lock holds a merge conflict"),
        (lambda text: text.replace('[stages."data', '[stages."\\qdata', 1), "is no name"),
        (lambda text: "\udcff" + text, "Sparkfile.lock is no text"),
    ],
)  # fmt: skip
def test_a_lock_that_cant_be_read_is_refused(
    built: Folder, lock: Path, damage: Callable[[str], str], told: str
) -> None:
    lock.write_bytes(damage(lock.read_text()).encode(errors="surrogateescape"))
    damaged = lock.read_bytes()
    for command in (["plan"], ["build"], ["build", "--locked"], ["get", "good", "--locked", "--to", "out"]):
        assert told in refused(built, *command)
    assert lock.read_bytes() == damaged, "it may hold pins and tags: it is for its owner to mend"


@pytest.mark.parametrize("damage", ["key = ", 'kei = "'])
def test_a_damaged_block_of_the_lock_is_refused_where_it_counts_and_written_anew_by_a_build(
    built: Folder, lock: Path, damage: str
) -> None:
    whole = lock.read_text()
    lock.write_text(whole.replace('key = "', damage, 1))
    assert "Sparkfile.lock, block dataset:good/ingest: " in refused(built, "build", "--locked")
    built.build()
    assert lock.read_text() == whole


def test_a_lock_that_is_a_folder_is_refused(built: Folder, lock: Path) -> None:
    kept = lock.read_bytes()
    lock.unlink()
    lock.mkdir()
    try:
        assert "Sparkfile.lock: Is a directory" in refused(built, "plan")
    finally:
        lock.rmdir()
        lock.write_bytes(kept)


@pytest.mark.parametrize("text", [b"", b"rubbish" * 1000])
def test_a_damaged_state_is_only_a_lost_index(built: Folder, text: bytes) -> None:
    built.write(".spark/state.db", text)
    ran = built.build()
    assert_is_plain(ran)
    assert set(ran.outcomes.values()) == {"fresh"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"{",
        lambda data: b"",
        lambda data: b"\xff\xfe",
        lambda data: json.dumps({**json.loads(data), "version": 99}).encode(),
    ],
)
def test_a_damaged_record_counts_as_none_and_is_found_by_the_check(
    built: Folder, damage: Callable[[bytes], bytes]
) -> None:
    for record in (built.path / ".spark" / "records").rglob("*.json"):
        record.write_bytes(damage(record.read_bytes()))
    told = built.spark("store", "check", code=4)
    assert "the record does not match its seal\n  fix: spark build runs its stage again" in told.out
    assert_is_plain(told)
    assert built.states()["dataset:good/ingest"] == "run"
    assert built.build().ran == STAGES
    assert set(built.states().values()) == {"fresh"}


def test_a_damaged_object_is_told_by_the_check_and_built_again(built: Folder) -> None:
    output = next(s["output"] for s in built.plan()["stages"] if s["stage"] == "dataset:good/version")
    largest = max((p for p in (built.path / ".spark" / "objects").rglob("*") if p.is_file()), key=_size)
    largest.chmod(0o644)
    largest.write_bytes(b"x" * largest.stat().st_size)
    assert "damaged" in built.spark("store", "check", code=4).out
    ran = built.build()
    assert_is_plain(ran)
    assert ran.outputs["dataset:good/version"] == output
    assert "nothing is damaged" in built.spark("store", "check").out


def test_a_damaged_file_of_the_journal_is_passed_over(built: Folder) -> None:
    built.write(".spark/builds/20200101T000000-1.json", "{")
    assert_is_plain(built.spark("runs"))


def _size(path: Path) -> int:
    return path.stat().st_size
