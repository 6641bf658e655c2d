import multiprocessing
import os
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_build.core.digest import digest_bytes, digest_file
from spark_build.core.errors import Unavailable
from spark_build.storage.durable import Disk
from spark_build.storage.memo import MOST_SEGMENTS, LocalMemo

OPERATION, OTHER = "a" * 64, "b" * 64


def key(number: int) -> bytes:
    return bytes.fromhex(digest_bytes(str(number).encode()))


def entries(numbers: range) -> dict[bytes, bytes]:
    return {key(n): f"value {n}".encode() for n in numbers}


def test_what_was_put_is_found_by_another_memo_on_the_same_folder(tmp_path: Path) -> None:
    LocalMemo(tmp_path).put(OPERATION, entries(range(100)))
    found = LocalMemo(tmp_path).get(OPERATION, [key(7), key(1000), key(99), key(7)])
    assert found == [b"value 7", None, b"value 99", b"value 7"]


def test_an_operation_does_not_see_what_another_found(tmp_path: Path) -> None:
    memo = LocalMemo(tmp_path)
    memo.put(OPERATION, entries(range(3)))
    assert memo.get(OTHER, [key(1)]) == [None]
    assert memo.get(OPERATION, []) == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.binary(min_size=32, max_size=32), st.binary(max_size=40), max_size=20), max_size=25
    )
)
def test_any_puts_and_gets_behave_like_one_dictionary(puts: list[dict[bytes, bytes]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        memo, expected = LocalMemo(Path(folder)), dict[bytes, bytes]()
        for put in puts:
            new = {k: v for k, v in put.items() if k not in expected}  # an operation finds one thing
            memo.put(OPERATION, new)
            expected |= new
        asked = [*expected, b"\0" * 32, b"\xff" * 32]
        assert memo.get(OPERATION, asked) == [expected.get(k) for k in asked]


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0"])
def test_keys_that_end_in_zeros_are_kept_apart(tmp_path: Path, tail: bytes) -> None:
    memo = LocalMemo(tmp_path)
    mine = (b"k" * 29 + tail).ljust(32, b"\0")
    memo.put(OPERATION, {mine: b"mine", b"k" * 32: b"other"})
    assert memo.get(OPERATION, [mine, b"k" * 32]) == [b"mine", b"other"]


def test_large_values_and_empty_ones_come_back_whole(tmp_path: Path) -> None:
    values = {key(1): os.urandom(3 << 20), key(2): b"", key(3): b"\0" * 100}
    LocalMemo(tmp_path).put(OPERATION, values)
    assert LocalMemo(tmp_path).get(OPERATION, list(values)) == list(values.values())


def test_many_small_puts_stay_few_segments_and_all_are_found(tmp_path: Path) -> None:
    memo = LocalMemo(tmp_path)
    for start in range(0, 600, 10):
        memo.put(OPERATION, entries(range(start, start + 10)))
        assert len(segments(tmp_path)) <= MOST_SEGMENTS
    assert memo.get(OPERATION, [key(n) for n in range(600)]) == list(entries(range(600)).values())


def test_an_entry_is_rewritten_a_logarithmic_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], LocalMemo._write

    def noted(memo: LocalMemo, folder: Path, rows: Iterable[tuple[bytes, bytes]], *, flush: bool) -> str:
        name = write(memo, folder, rows, flush=flush)
        written.append((folder / name).stat().st_size)
        return name

    monkeypatch.setattr(LocalMemo, "_write", noted)
    memo = LocalMemo(tmp_path)
    for start in range(128):
        memo.put(OPERATION, {key(start): os.urandom(20_000)})
    assert sum(written) < 8 * sum(file.stat().st_size for file in segments(tmp_path))


def test_segments_are_named_by_their_content(tmp_path: Path) -> None:
    LocalMemo(tmp_path).put(OPERATION, entries(range(5)))
    (segment,) = segments(tmp_path)
    assert segment.stem == digest_file(segment)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_segment_is_set_aside_and_told_of(tmp_path: Path, damage: str) -> None:
    LocalMemo(tmp_path).put(OPERATION, entries(range(5)))
    (bad,) = segments(tmp_path)
    LocalMemo(tmp_path).put(OPERATION, entries(range(5, 9)))
    content = bytearray(bad.read_bytes())
    content[len(content) // 3] ^= 1
    bad.write_bytes({"flip": bytes(content), "cut": bytes(content[:-9]), "empty": b""}[damage])
    told: list[str] = []
    found = LocalMemo(tmp_path, told.append).get(OPERATION, [key(1), key(7)])
    assert found == [None, b"value 7"]
    assert len(told) == 1
    assert "is damaged" in told[0]
    assert bad.with_suffix(".damaged").exists()
    assert len(segments(tmp_path)) == 1


def test_a_file_that_is_no_parquet_is_set_aside_even_under_its_right_name(tmp_path: Path) -> None:
    (tmp_path / OPERATION).mkdir()
    wrong = tmp_path / OPERATION / f"{digest_bytes(b'no parquet')}.parquet"
    wrong.write_bytes(b"no parquet")
    told: list[str] = []
    assert LocalMemo(tmp_path, told.append).get(OPERATION, [key(1)]) == [None]
    assert len(told) == 1


def test_writers_and_readers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        missed = pool.starmap(_put_and_look, [(tmp_path, n) for n in range(3)])
    assert missed == [0, 0, 0]
    assert LocalMemo(tmp_path).get(OPERATION, [key(n) for n in range(600)]).count(None) == 0
    assert len(segments(tmp_path)) <= MOST_SEGMENTS + 3


def _put_and_look(folder: Path, writer: int) -> int:
    """Puts two hundred entries singly and at once looks for what it has put; how often one was not there."""
    memo, missed, rng = LocalMemo(folder), 0, random.Random(writer)
    mine = list(range(writer * 200, writer * 200 + 200))
    for position in range(0, 200, 4):
        memo.put(OPERATION, {key(n): f"value {n}".encode() for n in mine[position : position + 4]})
        wanted = rng.sample(mine[: position + 4], min(5, position + 4))
        missed += LocalMemo(folder).get(OPERATION, [key(n) for n in wanted]).count(None)
        missed += memo.get(OPERATION, [key(n) for n in wanted]).count(None)
    return missed


def test_what_a_killed_writer_left_is_not_read_and_goes_in_time(tmp_path: Path) -> None:
    memo = LocalMemo(tmp_path)
    memo.put(OPERATION, entries(range(5)))
    left = tmp_path / OPERATION / ".123-abc.tmp"
    left.write_bytes(b"half of a segment")
    os.utime(left, (1, 1))
    for start in range(100, 100 + MOST_SEGMENTS + 1):
        memo.put(OPERATION, entries(range(start, start + 1)))
    assert not left.exists()
    assert memo.get(OPERATION, [key(1)]) == [b"value 1"]


def test_a_memo_that_can_not_be_written_is_told_of_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "memo").write_text("a file where the folder should be")
    told: list[str] = []
    memo = LocalMemo(tmp_path / "memo", told.append)
    memo.put(OPERATION, entries(range(3)))
    assert len(told) == 1
    assert told[0].startswith("memo: can't be written")


def segments(folder: Path) -> list[Path]:
    return sorted((folder / OPERATION).glob("*.parquet"))


def test_a_full_disk_is_told_of_and_what_was_there_stays(tmp_path: Path) -> None:
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", tmp_path], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        memo = LocalMemo(tmp_path)
        memo.put(OPERATION, entries(range(10)))
        with pytest.raises(Unavailable, match="no space left on the disk"):
            memo.put(OPERATION, {key(n): os.urandom(50_000) for n in range(100, 110)})
        assert LocalMemo(tmp_path).get(OPERATION, [key(3), key(100)]) == [b"value 3", None]
        assert not list((tmp_path / OPERATION).glob(".*.tmp"))
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)  # mapped segments may still be open


class Noting(Disk):
    """What stands in a folder each time that it is flushed, and each file that is."""

    def __init__(self) -> None:
        self.folders: list[set[str]] = []
        self.files: list[str] = []

    def flush_folder(self, folder: str) -> None:
        super().flush_folder(folder)
        self.folders.append({Path(name).suffix for name in os.listdir(folder)})

    def flush_file(self, path: str) -> None:
        super().flush_file(path)
        self.files.append(path)


def test_a_segment_is_on_the_disk_before_what_was_jotted_down_goes(tmp_path: Path) -> None:
    disk = Noting()
    memo = LocalMemo(tmp_path, disk=disk)
    memo.jot(OPERATION, key(1), b"paid for")
    memo.put(OPERATION, {key(1): b"paid for"})
    assert len(disk.files) == 1
    assert {".parquet", ".jottings"} in disk.folders
    assert not [*tmp_path.rglob("*.jottings")]


def test_a_merged_segment_is_on_the_disk_before_those_that_it_replaces_go(tmp_path: Path) -> None:
    disk = Noting()
    memo = LocalMemo(tmp_path, disk=disk)
    for number in range(MOST_SEGMENTS):
        memo.put(OPERATION, entries(range(number, number + 1)))
    assert not disk.files, "what is new alone is worth no more than finding it again"
    memo.put(OPERATION, entries(range(MOST_SEGMENTS, MOST_SEGMENTS + 1)))
    assert len(disk.files) == 1
    assert memo.get(OPERATION, [key(0), key(MOST_SEGMENTS)]) == [
        b"value 0",
        f"value {MOST_SEGMENTS}".encode(),
    ]
