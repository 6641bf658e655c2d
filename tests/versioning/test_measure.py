from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_build.contract.counting import counts_of

TEXT = st.text(alphabet="ab \t\n\x0b\f\r\x1c\x00\x85\u2003é漢🙂", max_size=9)


@settings(deadline=None, derandomize=True)  # others may be busy
@given(texts=st.lists(TEXT), start=st.integers(0, 3))
def test_words_and_characters_are_what_pyarrow_counts(texts: list[str], start: int) -> None:
    column: Any = pa.array(texts, pa.string()).slice(min(start, len(texts)))
    counts = {unit: found.tolist() for unit, found in counts_of(column, "text").items()}
    assert counts == {
        "characters": pc.utf8_length(column).to_pylist(),
        "words": pc.count_substring_regex(column, r"[^\s]+").to_pylist(),
    }


def test_turns_are_counted_by_item() -> None:
    turns = pa.array([[1], [], [1, 2, 3], [4, 5]], pa.list_(pa.int32())).slice(1)
    assert counts_of(turns, "messages")["messages"].tolist() == [0, 3, 2]
