from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spark_build.core.digest import digest_bytes, digest_file
from spark_build.stages.shard_writer import shards, write_rows

FIELDS = {"text": "text"}


def rows(numbers: list[int], size: int = 200) -> list[dict[str, Any]]:
    return [
        {"id": digest_bytes(b"%d" % n)[:32], "source": f"{n:05d}", "text": f"{n} " * (size // 5), "meta": {}}
        for n in numbers
    ]


def written(folder: Path, numbers: list[int], target_bytes: int = 4000) -> list[str]:
    """Digests of the shards, in order."""
    write_rows(folder, {"train": rows(numbers)}, FIELDS, target_bytes)
    return [digest_file(file) for file in sorted((folder / "data").iterdir())]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "a", list(range(50))) == written(tmp_path / "b", list(range(50)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 399))
def test_an_added_row_changes_one_shard_or_splits_it(left_out: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        without = written(Path(folder) / "a", [n for n in range(400) if n != left_out])
        whole = written(Path(folder) / "b", list(range(400)))
    assert len(whole) > 10
    assert 1 <= len(set(whole) - set(without)) <= 2
    assert len(set(without) - set(whole)) <= 1


def test_shards_are_as_large_as_wanted_on_average() -> None:
    sized = [(n, digest_bytes(b"%d" % n), 1000) for n in range(20_000)]
    runs = list(shards(sized, 100_000))
    assert sum(map(len, runs)) == 20_000
    # 200 shards are expected; the number of cuts is binomial, its standard deviation 14
    assert 140 <= len(runs) <= 260


def test_a_row_larger_than_a_shard_ends_it() -> None:
    assert list(shards([("a", "a", 10_000), ("b", "b", 10_000)], 10_000)) == [["a"], ["b"]]


def test_shards_are_numbered_by_split(tmp_path: Path) -> None:
    write_rows(tmp_path, {"train": rows([1, 2]), "test": rows([3])}, FIELDS)
    assert sorted(f.name for f in (tmp_path / "data").iterdir()) == [
        "test-00000.parquet",
        "train-00000.parquet",
    ]
