"""`store check`: finds what is damaged, and says whom it hurts."""

import os
from pathlib import Path

import pytest

from spark_build.core.digest import digest_bytes, digest_file
from spark_build.core.record import Record
from spark_build.core.tree import Tree
from spark_build.storage.check import check
from spark_build.storage.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def built(store: LocalStore, tmp_path: Path, stage: str, files: dict[str, str]) -> Tree:
    folder = tmp_path / "attempt"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    tree = store.objects.add_folder(folder)
    key = digest_bytes(stage.encode())
    store.records.put(Record(key, key, stage, {}, tree.digest, tree.parts(), tree.size, 1.0, "2026-01-01"))
    return tree


def flip(path: str | Path) -> None:
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    stat = os.stat(path)
    os.chmod(path, 0o644)
    Path(path).write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_good_store_has_no_findings(store: LocalStore, tmp_path: Path) -> None:
    built(store, tmp_path, "model:m/train", {"a": "one"})
    assert check(store) == []
    assert check(LocalStore(tmp_path / "empty")) == []


def test_a_flipped_bit_is_found_and_names_every_stage_that_it_hurts(
    store: LocalStore, tmp_path: Path
) -> None:
    built(store, tmp_path, "dataset:d/filter", {"a": "shared", "b": "own"})
    built(store, tmp_path, "model:m/train", {"c": "shared"})
    flip(store.objects.path(digest_bytes(b"shared")))
    (finding,) = check(store)
    assert finding.is_damage
    assert finding.stages == ("dataset:d/filter", "model:m/train")
    assert finding.fix == "spark build dataset:d model:m"
    assert not store.objects.has(digest_bytes(b"shared"))


def test_what_was_set_aside_is_absent_the_next_time(store: LocalStore, tmp_path: Path) -> None:
    built(store, tmp_path, "model:m/train", {"a": "one"})
    flip(store.objects.path(digest_bytes(b"one")))
    check(store)
    (finding,) = check(store)
    assert not finding.is_damage
    assert "a not in this store" in str(finding)


def test_a_damaged_listing_is_damage(store: LocalStore, tmp_path: Path) -> None:
    tree = built(store, tmp_path, "model:m/train", {"a": "one"})
    flip(store.objects.path(tree.digest))
    (finding,) = check(store)
    assert (finding.kind, finding.name, finding.stages) == ("object", tree.digest, ("model:m/train",))


def test_a_damaged_record_is_found(store: LocalStore, tmp_path: Path) -> None:
    built(store, tmp_path, "model:m/train", {"a": "one"})
    flip(store.records.files()[0])
    (finding,) = check(store)
    assert finding.kind == "record"
    assert finding.name.startswith("records/")


def test_a_damaged_memo_segment_is_found(store: LocalStore, tmp_path: Path) -> None:
    folder = Path(store.folder, "memo", "op")
    folder.mkdir(parents=True)
    (folder / "new").write_bytes(b"segment")
    (folder / "new").rename(folder / f"{digest_file(folder / 'new')}.parquet")
    assert check(store) == []
    flip(next(folder.iterdir()))
    assert [f.kind for f in check(store)] == ["memo"]


def test_a_stranger_among_the_objects_is_found(store: LocalStore, tmp_path: Path) -> None:
    built(store, tmp_path, "model:m/train", {"a": "one"})
    Path(store.folder, "objects/ab").mkdir(exist_ok=True)
    Path(store.folder, "objects/ab/notes.txt").write_text("mine")
    assert [f.name for f in check(store)] == ["objects/ab/notes.txt"]


def test_a_sample_reads_that_many(store: LocalStore, tmp_path: Path) -> None:
    built(store, tmp_path, "model:m/train", {str(n): str(n) for n in range(9)})
    for n in range(9):
        flip(store.objects.path(digest_bytes(str(n).encode())))
    assert 3 <= len([f for f in check(store, sample=lambda count: 4) if f.is_damage]) <= 4
