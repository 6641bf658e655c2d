"""Where two files begin to differ."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from spark_build.core.digest import digest_bytes
from spark_build.core.tree import Entry, Tree
from spark_build.report.difference import Difference, content_difference, first_difference


def two(tmp_path: Path, name: str, old: bytes, new: bytes) -> Difference:
    for folder, content in (("old", old), ("new", new)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    return content_difference(name, tmp_path / "old" / name, tmp_path / "new" / name)


def tensors(tmp_path: Path, **arrays: np.ndarray) -> bytes:
    save_file(arrays, tmp_path / "made.safetensors")
    return (tmp_path / "made.safetensors").read_bytes()


def test_of_tensors_the_one_that_deviates_most_is_named_with_its_index(tmp_path: Path) -> None:
    a, b = np.zeros((3, 4), np.float32), np.ones(5, np.float32)
    a2, b2 = a.copy(), b.copy()
    a2[1, 2] = 0.25
    a2[0, 0] = -0.125
    b2[4] = 1.0625
    old, new = tensors(tmp_path, a=a, b=b, c=b), tensors(tmp_path, a=a2, b=b2, c=b)
    found = two(tmp_path, "m.safetensors", old, new)
    assert (found.name, found.index, found.old, found.new, found.deviation) == ("a", (1, 2), 0.0, 0.25, 0.25)
    assert str(found) == "m.safetensors: tensor a[1, 2] 0.0 → 0.25; deviation 0.25, 2 of 3 tensors differ"


def test_a_not_a_number_deviates_without_end(tmp_path: Path) -> None:
    a = np.array([1.0, np.nan, 3.0], np.float32)
    b = np.array([1.0, np.nan, np.nan], np.float32)
    found = two(tmp_path, "m.safetensors", tensors(tmp_path, a=a), tensors(tmp_path, a=b))
    assert (found.index, found.old) == ((2,), 3.0)
    json.dumps(found.to_json(), allow_nan=False)


def test_another_shape_is_told_as_shapes(tmp_path: Path) -> None:
    a, b = np.zeros((2, 3), np.float32), np.zeros(6, np.float32)
    found = two(tmp_path, "m.safetensors", tensors(tmp_path, a=a), tensors(tmp_path, a=b))
    assert (found.old, found.new) == ("float32 [2, 3]", "float32 [6]")
    json.dumps(found.to_json(), allow_nan=False)


def test_bfloat16_is_compared_as_the_numbers_that_it_holds(tmp_path: Path) -> None:
    def made(bits: int) -> bytes:
        header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
        return len(header).to_bytes(8, "little") + header + np.array([0x3F80, bits], "<u2").tobytes()

    found = two(tmp_path, "m.safetensors", made(0x3F80), made(0x4000))
    assert (found.index, found.old, found.new) == ((1,), 1.0, 2.0)


def test_of_a_parquet_file_row_and_column_are_named(tmp_path: Path) -> None:
    def made(changed: int | None) -> bytes:
        texts = [f"text {n}" if n != changed else "other" for n in range(3000)]
        pq.write_table(pa.table({"id": list(range(3000)), "text": texts}), tmp_path / "made.parquet")
        return (tmp_path / "made.parquet").read_bytes()

    found = two(tmp_path, "data/t.parquet".replace("/", "-"), made(None), made(2500))
    assert (found.kind, found.row, found.name, found.old, found.new) == (
        "row",
        2500,
        "text",
        "text 2500",
        "other",
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n{"a": 3}\n', "a.jsonl: row 1, column a 2 → 3"),
        (
            "a.jsonl",
            b'{"a": 1}\n',
            b'{"a": 1}\n{"a": 2}\n',
            'a.jsonl: row 1 null → {"a": 2}; one has more rows',
        ),
        ("a.txt", b"one\ntwo\n", b"one\nthree\n", "a.txt: line 2 two\\n → three\\n"),
        ("a.bin", b"\xff\x00ab", b"\xff\x00cb", "a.bin: byte 2 61 62 → 63 62"),
        ("a.bin", b"\xff\x00", b"\xff\x00\x01", "a.bin: byte 2 the end → 01"),
        ("a.parquet", b"no parquet\xff", b"no parquet\xfe", "a.parquet: byte 10 ff → fe"),
    ],
)
def test_what_a_file_holds_says_where_it_differs(
    tmp_path: Path, name: str, old: bytes, new: bytes, told: str
) -> None:
    assert str(two(tmp_path, name, old, new)) == told


def test_files_that_come_and_go_are_differences(tmp_path: Path) -> None:
    def nowhere(entry: Entry) -> Path:
        raise AssertionError(entry)

    a, b = Entry("a", 1, digest_bytes(b"a")), Entry("b", 1, digest_bytes(b"b"))
    found = first_difference(Tree.of([a]), Tree.of([a, b]), nowhere, nowhere)
    assert str(found) == "b is new"
    found = first_difference(Tree.of([a, b]), Tree.of([a]), nowhere, nowhere)
    assert str(found) == "b is not there now"
    executable = Entry("a", 1, digest_bytes(b"a"), True)
    found = first_difference(Tree.of([a]), Tree.of([executable]), nowhere, nowhere)
    assert found is not None
    assert found.kind == "mode"
    assert first_difference(Tree.of([a, b]), Tree.of([a, b]), nowhere, nowhere) is None
