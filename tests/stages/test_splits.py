from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage_bench import Bench

from spark_build.core.errors import BadInput, ItemRejected
from spark_build.stages.ids import unique
from spark_build.stages.splits import SplitPlan

PLAN = SplitPlan.of({"ratios": {"train": 0.8, "test": 0.2}})


def test_ratios_hold_on_average() -> None:
    counts = Counter(PLAN.split_of(f"file-{n}", None, {}, {}) for n in range(10_000))
    # binomial: 2000 expected, standard deviation 40; five of them
    assert 1800 <= counts["test"] <= 2200


@given(st.text(), st.text())
def test_a_record_falls_where_its_key_says_and_nothing_else(key: str, text: str) -> None:
    try:
        key.encode()
        text.encode()
    except UnicodeEncodeError:
        return
    assert PLAN.split_of(key, None, {}, {}) == PLAN.split_of(key, "validation", {"text": text}, {"a": 1})


def test_the_order_in_which_ratios_are_written_moves_no_record() -> None:
    other = SplitPlan.of({"ratios": {"test": 0.2, "train": 0.8}})
    keys = [f"{n}" for n in range(200)]
    assert [PLAN.split_of(k, None, {}, {}) for k in keys] == [other.split_of(k, None, {}, {}) for k in keys]


def test_a_group_is_never_torn_apart() -> None:
    plan = SplitPlan.of({"ratios": {"train": 0.5, "test": 0.5}, "group": "author"})
    for author in ("ann", "ben", 3.0):
        splits = {plan.split_of(f"{n}", None, {"author": author}, {}) for n in range(50)}
        assert len(splits) == 1


def test_a_group_may_stand_in_meta() -> None:
    plan = SplitPlan.of({"ratios": {"train": 0.5, "test": 0.5}, "group": "author"})
    assert plan.split_of("a", None, {"author": "x"}, {}) == plan.split_of("b", None, {}, {"author": "x"})


def test_a_record_without_a_group_is_rejected() -> None:
    plan = SplitPlan.of({"ratios": {"train": 0.5, "test": 0.5}, "group": "author"})
    with pytest.raises(ItemRejected, match="no_group: author"):
        plan.split_of("a", None, {}, {})


def test_a_balanced_column_has_its_values_in_every_split() -> None:
    plan = SplitPlan.of({"ratios": {"train": 0.8, "test": 0.2}, "balance": "label"})
    counts = Counter(plan.split_of(f"{n}", None, {"label": n % 3}, {}) + str(n % 3) for n in range(3000))
    assert all(150 <= counts[f"test{label}"] <= 250 for label in range(3))


def test_without_splits_the_source_says_or_all_is_train() -> None:
    assert SplitPlan.of({"keep": True}).split_of("a", "test", {}, {}) == "test"
    assert SplitPlan.of(None).split_of("a", None, {}, {}) == "train"


@pytest.mark.parametrize("name", ["a/b", "../x", ".", " "])
def test_a_split_of_the_source_that_can_not_name_files_is_rejected(name: str) -> None:
    with pytest.raises(ItemRejected, match="bad_split"):
        SplitPlan.of(None).split_of("a", name, {}, {})


def test_fewer_records_than_splits_is_refused(bench: Bench) -> None:
    bench.write("data/a.txt", "x")
    with pytest.raises(BadInput, match=r"1 record can't fill 2 splits \(test, train\)"):
        bench.ingest(splits={"ratios": {"train": 0.9, "test": 0.1}})


def test_an_empty_split_is_refused(bench: Bench) -> None:
    for number in range(3):
        bench.write(f"data/{number}.txt", f"x{number}")
    with pytest.raises(
        BadInput, match=r"split 'test' is empty: none of 3 records fell into it\n  fix: every record"
    ):
        bench.ingest(splits={"ratios": {"train": 0.9999, "test": 0.0001}})


def test_at_least_is_checked(bench: Bench) -> None:
    for number in range(30):
        bench.write(f"data/{number}.txt", f"x{number}")
    with pytest.raises(BadInput, match=r"split 'test' has \d+ items, and at_least asks for 25"):
        bench.ingest(splits={"ratios": {"train": 0.5, "test": 0.5}, "at_least": {"test": 25}})


def test_adding_data_moves_no_old_record(bench: Bench) -> None:
    options = {"splits": {"ratios": {"train": 0.7, "test": 0.3}}}
    for number in range(60):
        bench.write(f"data/{number}.txt", f"x{number}")
    before = bench.ingest(**options)
    for number in range(60, 120):
        bench.write(f"data/{number}.txt", f"x{number}")
    after = bench.ingest(**options)
    for split in ("train", "test"):
        assert {r["id"] for r in before.rows(split)} <= {r["id"] for r in after.rows(split)}


def test_a_value_missing_from_a_split_of_a_balanced_column_is_told(bench: Bench) -> None:
    bench.write(
        "data/a.jsonl",
        "\n".join(f'{{"text": "{n}", "label": "{"rare" if n == 5 else "usual"}"}}' for n in range(40)),
    )
    ran = bench.ingest(splits={"ratios": {"train": 0.5, "test": 0.5}, "balance": "label"})
    assert any("label 'rare' has no item in split" in text for text in ran.heard.of("log"))
    assert sum(ran.outcome.notes["balance"]["usual"].values()) == 39


@given(st.lists(st.sampled_from(["a", "b", "a-2", "a-3", "a-2-2"]), max_size=20))
def test_ids_are_always_unique_and_the_first_of_each_keeps_its_own(wanted: list[str]) -> None:
    ids = unique(wanted)
    assert len(set(ids)) == len(ids)
    for name in set(wanted):
        assert ids[wanted.index(name)] == name
