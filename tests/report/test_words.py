"""Figures and values in words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_build.report.tables import cell_width, fitted, table
from spark_build.report.words import duration, figure, listed, number, printable, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (1.94, "1.9 s"), (9.96, "10 s"), (59.6, "1 min"), (60, "1 min"), (242, "4 min 2 s"),
        (3599.7, "1 h"), (3660, "1 h 1 min"), (86400, "1 d"), (97200, "1 d 3 h"),
    ],
)  # fmt: skip
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (12_345, "12.3 kB"),
        (999_900, "1 MB"),
        (5_000_000_000, "5 GB"),
    ],
)
def test_a_size_is_in_powers_of_a_thousand(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2e-4, "2e-4"),
        (0.001, "0.001"),
        (1.5e-5, "1.5e-5"),
        (0.9, "0.9"),
        (3, "3"),
        (1e20, "1e20"),
        (4.0, "4"),
    ],
)
def test_a_number_reads_as_a_sparkfile_writes_it(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False))
def test_a_number_reads_back_as_itself(value: float) -> None:
    assert float(number(value)) == value


def test_a_figure_keeps_four_digits_and_whole_counts_whole() -> None:
    figures = [figure(x) for x in (1234567, 24512.3, 2.34567, 1.133e-6, math.inf)]
    assert figures == ["1234567", "24512", "2.346", "1.133e-6", "inf"]


def test_what_a_list_leaves_out_is_counted() -> None:
    assert listed([str(n) for n in range(15)]) == "0, 1, 2 and 12 more"
    assert listed(["a", "b", "c", "d"]) == "a, b, c, d"


@given(st.text())
def test_printable_text_holds_no_control_character(text: str) -> None:
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in printable(text))


@given(st.text(min_size=1), st.integers(1, 40))
def test_fitted_text_takes_exactly_the_cells_it_is_given(text: str, width: int) -> None:
    assert cell_width(fitted(text, width)) == width


def test_wide_characters_keep_columns_straight() -> None:
    _, wide, narrow = table(("name", "number"), [("数据", "1"), ("data", "2")]).splitlines()
    assert cell_width(wide.partition("1")[0]) == cell_width(narrow.partition("2")[0]) == 6


def test_a_table_fits_the_terminal_and_says_what_was_cut() -> None:
    text = table(("a", "b"), [("x" * 200, "short")], width=40)
    assert max(map(cell_width, text.splitlines())) <= 40
    assert "…" in text


def test_a_table_in_a_file_is_not_cut() -> None:
    assert "x" * 200 in table(("a",), [("x" * 200,)], width=None)


def test_a_column_with_nothing_in_it_is_left_out() -> None:
    assert table(("a", "b"), [("1", "")]) == "a\n1"
