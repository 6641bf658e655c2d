"""Records: the last thing that an action writes, and the first that is looked for."""

import shutil
from pathlib import Path

import pytest

from spark_build.core.record import Record
from spark_build.storage.local import LocalStore
from spark_build.storage.state import State

KEY, OTHER, LOOSE = "ab" * 32, "cd" * 32, "ef" * 32


def record(key: str = KEY, output: str = "12" * 32, started: str = "2026-01-01T00:00:00") -> Record:
    return Record(key, LOOSE, "model:m/train", {"steps": []}, output, {"model/": output}, 10, 1.5, started)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_a_record_comes_back_as_it_was(store: LocalStore) -> None:
    assert store.records.get(KEY) is None
    assert store.records.put(record()) is None
    assert store.records.get(KEY) == record()
    assert LocalStore(store.folder).records.get(KEY) == record()


def test_the_same_result_again_changes_nothing(store: LocalStore) -> None:
    store.records.put(record())
    assert store.records.put(record(started="2027-01-01T00:00:00")) is None
    assert store.records.get(KEY) == record()


def test_of_two_different_results_the_newer_counts_and_the_older_is_told_and_kept(store: LocalStore) -> None:
    older, newer = record(), record(output="34" * 32)
    store.records.put(older)
    assert store.records.put(newer) == older
    assert store.records.get(KEY) == newer
    assert {r.output for r in store.records.all()} == {"12" * 32, "34" * 32}
    names = sorted(Path(path).name for path in store.records.files())
    assert names == [f"{KEY}.{'12' * 6}.json", f"{KEY}.json"]
    assert store.records.put(older) == newer
    assert store.records.get(KEY) == older


def test_like_gives_the_newest_first(store: LocalStore) -> None:
    store.records.put(record(KEY, started="2026-01-01T00:00:00"))
    store.records.put(record(OTHER, started="2026-02-01T00:00:00"))
    assert [r.key for r in store.records.like(LOOSE)] == [OTHER, KEY]
    assert store.records.like("00" * 32) == []


def test_like_finds_what_others_of_the_store_have_put(store: LocalStore) -> None:
    store.records.put(record())
    assert [r.key for r in store.records.like(LOOSE)] == [KEY]
    other = LocalStore(store.folder, State(f"{store.folder}/state-asr.db"))
    other.records.put(record(OTHER, started="2027-01-01T00:00:00"))
    assert [r.key for r in store.records.like(LOOSE)] == [OTHER, KEY]


def test_like_finds_all_without_the_index_and_the_next_record_makes_it_again(store: LocalStore) -> None:
    store.records.put(record())
    shutil.rmtree(f"{store.folder}/loose")
    again = LocalStore(store.folder)
    assert [r.key for r in again.records.like(LOOSE)] == [KEY]
    assert not Path(store.folder, "loose").exists()  # asking writes nothing
    again.records.put(record(OTHER, started="2027-01-01T00:00:00"))
    for found in (again, LocalStore(store.folder)):
        assert [r.key for r in found.records.like(LOOSE)] == [OTHER, KEY]


def test_like_finds_a_record_without_library_versions_which_is_in_no_index(store: LocalStore) -> None:
    store.records.put(record(LOOSE, started="2026-01-01T00:00:00"))
    store.records.put(record(KEY, started="2026-02-01T00:00:00"))
    assert [r.key for r in store.records.like(LOOSE)] == [KEY, LOOSE]


@pytest.mark.parametrize("position", [5, 60, 200, -2])
def test_a_flipped_bit_makes_it_no_record(store: LocalStore, position: int) -> None:
    store.records.put(record())
    path = Path(store.records.files()[0])
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    assert store.records.get(KEY) is None
    assert store.records.put(record()) is None
    assert store.records.get(KEY) == record()


def test_a_record_of_a_later_version_can_be_read(store: LocalStore) -> None:
    class Later(Record, frozen=True):
        carbon: float = 0.1

    later = Later(**record().to_json())
    store.records.put(later)
    assert store.records.get(KEY) == record()
