"""Stages in an order in which they can run."""

import pytest

from spark_build.engine.order import cycle_in, topological


def test_of_the_stages_that_are_ready_the_one_named_first_comes_first() -> None:
    assert topological({"z": [], "b": ["z"], "a": [], "c": ["a", "b"]}) == ["z", "b", "a", "c"]


def test_a_stage_comes_behind_all_that_it_waits_for_though_named_before_them() -> None:
    assert topological({"last": ["mid", "first"], "mid": ["first", "first"], "first": []}) == [
        "first",
        "mid",
        "last",
    ]


def test_a_long_chain_named_backwards_is_ordered() -> None:
    befores = {f"{n}": [f"{n - 1}"] if n else [] for n in reversed(range(5000))}
    assert topological(befores) == [f"{n}" for n in range(5000)]
    assert cycle_in(befores) == []


@pytest.mark.parametrize(
    ("befores", "cycle"),
    [
        ({"a": ["a"]}, ["a"]),
        ({"a": ["b"], "b": ["a"]}, ["b", "a"]),
        ({"in": [], "a": ["in", "c"], "b": ["a"], "c": ["b"], "out": ["c"]}, ["b", "c", "a"]),
        ({"a": ["elsewhere"], "b": ["a"]}, []),
    ],
)
def test_each_stage_of_a_cycle_waits_for_the_one_in_front_of_it(
    befores: dict[str, list[str]], cycle: list[str]
) -> None:
    found = cycle_in(befores)
    assert sorted(found) == sorted(cycle)
    assert all(found[index - 1] in befores[stage] for index, stage in enumerate(found))
    with pytest.raises(ValueError, match="BUG: a cycle") if cycle else pytest.raises(KeyError):
        topological(befores)
