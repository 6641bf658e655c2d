"""Bytes flipped at every position of a store: whoever checks, builds or gets takes none of them for good."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spark_build.core.errors import StoreDamaged
from spark_build.core.record import Record
from spark_build.storage.check import check
from spark_build.storage.local import LocalStore
from spark_build.storage.memo import LocalMemo
from spark_build.storage.state import ObjectStat
from tests.collecting.stores import put_result
from tests.seeds import seed

SEED = seed("SPARK_FLIP_SEED")
OPERATION, KEYS = "ab" * 32, [bytes([n]) * 32 for n in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@contextmanager
def flipped(store: LocalStore, file: Path, position: int, mask: int) -> Iterator[None]:
    """As a disk rots: size and times say nothing of it, and what was noted of an object stands. Then as before."""
    good, stat = file.read_bytes(), file.stat()
    bad = bytearray(good)
    bad[position] ^= mask
    _write(file, bytes(bad), stat)
    if file.parent.parent.name == "objects":
        digest = file.parent.name + file.name
        store.state.note_object(digest, ObjectStat(stat.st_size, stat.st_mtime_ns))
    yield
    _write(file, good, stat)
    for left in [*Path(store.folder, "damaged").glob("*"), *file.parent.glob("*.damaged")]:
        left.unlink()


def _write(file: Path, content: bytes, stat: os.stat_result) -> None:
    if file.exists():
        file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(stat.st_mode & 0o777)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def files_of(store: LocalStore) -> list[Path]:
    folder = Path(store.folder)
    return sorted(
        p for part in ("objects", "records", "memo") for p in (folder / part).rglob("*") if p.is_file()
    )


def remember(store: LocalStore, values: list[bytes]) -> None:
    LocalMemo(Path(store.folder, "memo")).put(OPERATION, dict(zip(KEYS, values, strict=True)))


def is_taken(store: LocalStore, record: Record, kind: str, values: list[bytes], to: Path) -> bool:
    """As builds read: the Record, the links that a stage is given, and the memo."""
    if kind == "records":
        return store.records.get(record.key) is not None
    if kind == "memo":
        found = LocalMemo(Path(store.folder, "memo")).get(OPERATION, KEYS)
        return any(value not in (None, good) for value, good in zip(found, values, strict=True)) or any(found)
    try:
        store.objects.check_out(store.objects.tree(record.output), to, link=True)
    except (StoreDamaged, KeyError):
        return False
    return True


def is_got(store: LocalStore, record: Record, to: Path) -> bool:
    """As `spark get` reads."""
    try:
        store.objects.check_out(store.objects.tree(record.output), to, link=False)
    except (StoreDamaged, KeyError):
        return False
    return True


@pytest.mark.parametrize("reader", ["check", "build", "get"])
def test_no_byte_of_a_store_can_change_without_being_seen(
    store: LocalStore, tmp_path: Path, reader: str
) -> None:
    values = [b"one", b"two", b"three"]
    record = put_result(store, "model:m/train", {"weights": b"some weights", "card/a": b"# card"})
    remember(store, values)
    assert is_taken(store, record, "objects", values, tmp_path / "whole")
    tried, accepted = 0, []
    for file in files_of(store):
        kind = file.relative_to(store.folder).parts[0]
        for position in range(file.stat().st_size):
            if reader == "get" and kind != "objects":
                continue
            with flipped(store, file, position, 0xFF):
                tried += 1
                if reader == "check":
                    taken = not any(finding.is_damage for finding in check(store))
                elif reader == "build":
                    taken = is_taken(store, record, kind, values, tmp_path / f"out-{tried}")
                else:
                    taken = is_got(store, record, tmp_path / f"out-{tried}")
                if taken:
                    accepted.append((file, position))
    print(f"{tried} positions, {len(accepted)} accepted by {reader}")
    assert not accepted
    assert tried > (1_500 if reader != "get" else 100)
    assert check(store) == []


@pytest.mark.parametrize("bits", [200, pytest.param(10_000, marks=pytest.mark.long)])
def test_random_bits_of_a_larger_store_are_all_found(store: LocalStore, bits: int) -> None:
    """Some in each round, each of another file."""
    print(f"SPARK_FLIP_SEED={SEED}")
    chance = random.Random(SEED)
    for number in range(20):
        files = {f"f{n}": chance.randbytes(chance.randrange(1, 60_000)) for n in range(8)}
        put_result(store, f"model:m{number}/train", files)
        if number % 10 == 0:
            entries = {chance.randbytes(32): chance.randbytes(chance.randrange(2_000)) for _ in range(50)}
            LocalMemo(Path(store.folder, "memo")).put(OPERATION, entries)
    files, done = files_of(store), 0
    while done < bits:
        drawn = chance.sample(files, min(100, bits - done, len(files)))
        _flip_all(store, drawn, chance)
        done += len(drawn)
    assert check(store) == []


def _flip_all(store: LocalStore, files: list[Path], chance: random.Random) -> None:
    whole = {file: (file.read_bytes(), file.stat()) for file in files}
    for file, (good, stat) in whole.items():
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        _write(file, bytes(bad), stat)
    found = {finding.name for finding in check(store) if finding.is_damage}
    names = {_name(store, file) for file in files}
    assert found >= names, f"accepted: {names - found}"
    for file, (good, stat) in whole.items():
        _write(file, good, stat)


def _name(store: LocalStore, file: Path) -> str:
    path = file.relative_to(store.folder)
    return "".join(path.parts[1:]) if path.parts[0] == "objects" else path.as_posix()
