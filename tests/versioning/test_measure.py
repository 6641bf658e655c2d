from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_build.versioning._measure import _words

TEXT = st.text(alphabet="ab \t\n\x0b\f\r\x1c\x00\x85\u2003é漢", max_size=9)


@settings(deadline=None, derandomize=True)  # others may be busy
@given(texts=st.lists(TEXT), start=st.integers(0, 3))
def test_words_are_what_a_search_for_runs_without_white_space_finds(texts: list[str], start: int) -> None:
    column: Any = pa.array(texts, pa.string()).slice(min(start, len(texts)))
    assert _words(column).tolist() == pc.count_substring_regex(column, r"[^\s]+").to_pylist()
