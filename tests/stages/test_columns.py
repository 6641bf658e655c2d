"""Columns are what pyarrow makes of the same values, and pandas is not asked for them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_build.contract.columns import column_of, numbers_in, positions_of
from spark_build.contract.shards import schema_of, table_of, write_shard

MESSAGES = schema_of({"chat": "messages"}).field("chat").type
HELLO, ANSWER = {"role": "user", "content": "hällo"}, {"content": "", "role": "assistant"}
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "no value": (pa.string(), []),
    "texts": (pa.string(), ["a", "", "süß", "\0", "日本"]),
    "texts and nulls": (pa.string(), [None, "a", *[None] * 9, "b"]),
    "nulls alone": (pa.string(), [None, None]),
    "bytes": (pa.binary(), [b"", b"\xff\0", None]),
    "bytes of one size": (pa.binary(2), [b"ab", b"\0\0"]),
    "bytes of one size and nulls": (pa.binary(2), [b"ab", None]),
    "numbers": (pa.float64(), [0.0, -0.0, 1e300, 2.5]),
    "numbers and nulls": (pa.float64(), [None, 1.0, None]),
    "whole numbers": (pa.float64(), [1, 2.5]),
    "messages": (MESSAGES, [[HELLO, ANSWER], [], [HELLO]]),
    "messages and nulls": (MESSAGES, [None, [HELLO], [], None]),
    "a message without a role": (MESSAGES, [[{"content": "x"}], [None]]),
    "of another kind": (pa.int32(), [1, None]),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_column_is_what_pyarrow_makes_of_its_values(name: str, tmp_path: Path) -> None:
    kind, values = VALUES[name]
    made, expected = column_of(values, kind), pa.array(values, kind)
    made.validate(full=True)
    assert made.equals(expected)
    assert (made.type, made.null_count) == (expected.type, expected.null_count)
    for column, file in ((made, "made"), (expected, "expected")):
        pq.write_table(pa.table({"column": column}), tmp_path / file)
    assert (tmp_path / "made").read_bytes() == (tmp_path / "expected").read_bytes()


@pytest.mark.parametrize(
    ("kind", "values"),
    [(pa.string(), [1]), (pa.float64(), ["a"]), (pa.float64(), [2**60]), (pa.binary(2), [b"abc"])],
)
def test_what_pyarrow_refuses_is_refused(kind: Any, values: list[Any]) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, TypeError)) as expected:
        pa.array(values, kind)
    with pytest.raises(expected.type):
        column_of(values, kind)


def test_numbers_come_out_as_they_went_in() -> None:
    assert numbers_in(pa.array([1.5, 2.5, 3.5]).slice(1)).tolist() == [2.5, 3.5]
    assert numbers_in(pa.array([], pa.float64())).tolist() == []
    assert positions_of(np.arange(6)[::2]).to_pylist() == [0, 2, 4]


def test_rows_are_written_and_measured_without_pandas(tmp_path: Path) -> None:
    fields = {"chat": "messages", "score": "number", "text": "text"}
    rows = [
        {"id": str(n), "source": "s", "chat": [HELLO], "score": 1.0, "text": "a b", "meta": {}}
        for n in range(3)
    ]
    (tmp_path / "data").mkdir()
    write_shard(table_of(rows, fields), tmp_path / "data/train-00000.parquet")
    loaded = _loaded_after(
        f"""
        from pathlib import Path
        from spark_build.contract.shards import rows_of, table_of, write_shard
        from spark_build.storage.memo import LocalMemo
        from spark_build.versioning._measure import measure
        table_of({rows!r}, {fields!r})
        memo = LocalMemo(Path({str(tmp_path)!r}, "memo"))
        for n in range(3):
            memo.put("0" * 64, {{bytes([n]) * 32: b"value"}})
        assert memo.get("0" * 64, [b"\\1" * 32, b"\\7" * 32]) == [b"value", None]
        assert measure(Path({str(tmp_path)!r})).rows == 3
        """
    )
    assert not {"pandas", "pyarrow.compute", "pyarrow.dataset", "numpy.ma"} & loaded


def _loaded_after(code: str) -> set[str]:
    import textwrap

    script = f"{textwrap.dedent(code)}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
