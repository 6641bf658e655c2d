"""Calls side by side."""

import threading

import pytest

from spark_build.core.threads import side_by_side


def test_each_gives_its_own_in_order_while_all_wait_for_one_another() -> None:
    together = threading.Barrier(3, timeout=10)
    assert side_by_side([lambda n=n: (together.wait(), n)[1] for n in range(3)]) == [0, 1, 2]  # type: ignore[misc]


def test_an_error_is_told_once_all_have_ended() -> None:
    ended: list[int] = []

    def late() -> None:
        threading.Event().wait(0.05)
        ended.append(1)

    def failing() -> None:
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        side_by_side([failing, late, late])
    assert ended == [1, 1]


def test_one_call_needs_no_thread() -> None:
    assert side_by_side([threading.current_thread]) == [threading.current_thread()]
    assert side_by_side([]) == []
