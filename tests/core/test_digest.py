"""Digests of files, whatever their size and however they are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spark_build.core import digest
from spark_build.core.digest import canonical_json, canonical_row, digest_bytes, digest_file


@pytest.mark.parametrize("size", [0, 1, 4095, 8192, 8193, 3 << 20])
@pytest.mark.parametrize("told", [True, False])
def test_a_file_in_windows_has_the_digest_of_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, told: bool
) -> None:
    monkeypatch.setattr(digest, "_WINDOW_BYTES", 8192)
    file = tmp_path / "file"
    file.write_bytes(bytes(n % 251 for n in range(size)))
    assert digest_file(file, size if told else None) == digest_bytes(file.read_bytes())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)


@given(VALUES)
@example("a\ud800")
@example([1e-3, 1e15, 999999999999999.9, -0.0, 1e16, 5e-324, 2**53, -(2**53), float("nan")])
@example({"\uffff": 1, "\U0001f600": 2, "": [[[[[[]]]]]]})
@example("".join(map(chr, range(0xD800))))
def test_a_row_is_written_as_all_canonical_json_is(value: Any) -> None:
    assert told(canonical_row, value) == told(canonical_json, value)


def told(write: Callable[[Any], bytes], value: Any) -> bytes | str:
    try:
        return write(value)
    except (TypeError, ValueError) as error:
        return str(error)
