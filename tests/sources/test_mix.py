"""Several datasets by weight: how much of each, and which items."""

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_build.contract.rows import DatasetFolder
from spark_build.sources._mixing import Candidate, amounts, chosen, rounded, spread
from tests.spark import Folder

SPARKFILE = """\
datasets:
  calls: {source: calls, splits: keep}
  notes: {source: notes, splits: keep}
  both:
    source: {use: mix, with: {datasets: {calls: 0.75, notes: 0.25}}}
"""


def of(**weights: float) -> dict[str, Fraction]:
    return {name: Fraction(str(weight)) for name, weight in weights.items()}


def test_the_scarcest_dataset_goes_in_whole_and_nothing_twice() -> None:
    found = amounts({"a": 300, "b": 50}, of(a=0.5, b=0.5), "first_exhausted")
    assert found == {"a": 50, "b": 50}


def test_until_all_are_exhausted_the_scarce_ones_come_again() -> None:
    found = amounts({"a": 300, "b": 50}, of(a=0.5, b=0.5), "all_exhausted")
    assert found == {"a": 300, "b": 300}


def test_a_number_is_shared_by_weight_whatever_there_is() -> None:
    assert amounts({"a": 300, "b": 50}, of(a=3, b=1), 400) == {"a": 300, "b": 100}


def test_a_split_that_some_lack_is_shared_by_the_others() -> None:
    assert amounts({"a": 30}, of(a=0.1, b=0.9), "first_exhausted") == {"a": 30}


def test_a_number_goes_over_the_splits_as_they_are_filled() -> None:
    available = {"train": {"a": 90, "b": 90}, "test": {"a": 10, "b": 10}}
    assert spread(50, available, of(a=0.5, b=0.5)) == {"test": 5, "train": 45}


sizes = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 1000), min_size=1)


@settings(deadline=None)
@given(sizes, st.data())
def test_proportions_hold_to_within_one_row_of_each(available: dict[str, int], data: st.DataObject) -> None:
    weights = {name: data.draw(st.floats(0.01, 10).map(lambda w: Fraction(str(w)))) for name in available}
    stop = data.draw(st.sampled_from(["first_exhausted", "all_exhausted"]) | st.integers(1, 5000))
    shares = amounts(available, weights, stop)
    counts, whole = rounded(shares), sum(weights.values())
    total = sum(counts.values())
    assert all(abs(counts[name] - total * weights[name] / whole) <= 1 for name in counts)
    if stop == "first_exhausted":
        assert all(counts[name] <= available[name] for name in counts)
    elif stop == "all_exhausted":
        assert all(counts[name] >= available[name] for name in counts)
    else:
        assert total == stop


def items(count: int) -> list[Candidate]:
    return [Candidate(n, f"id-{n}", 1) for n in range(count)]


def test_items_are_drawn_by_their_ids_whatever_their_order() -> None:
    first = items(100)
    shuffled = [Candidate(n, one.id, 1) for n, one in enumerate(first[::-1])]
    names = {first[n].id for n in chosen(first, 30, 0)}
    assert names == {shuffled[n].id for n in chosen(shuffled, 30, 0)}
    assert names != {first[n].id for n in chosen(first, 30, 1)}


def test_more_items_to_draw_from_push_few_of_the_drawn_ones_out() -> None:
    before, after = set(chosen(items(100), 30, 0)), set(chosen(items(110), 30, 0))
    assert len(before & after) >= 24


def test_beyond_all_items_each_comes_again_before_any_comes_a_third_time() -> None:
    counts = [chosen(items(10), 25, 0).count(n) for n in range(10)]
    assert sorted(counts) == [2] * 5 + [3] * 5


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(0, 3000))
def test_sizes_come_to_the_amount_to_within_half_an_item(sizes: list[int], amount: int) -> None:
    candidates = [Candidate(n, str(n), size) for n, size in enumerate(sizes)]
    taken = sum(sizes[n] for n in chosen(candidates, amount, 0))
    assert abs(taken - amount) <= max(sizes) / 2


# the whole way


@pytest.fixture
def both(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    for name, counts in (("calls", {"train": 90, "test": 30}), ("notes", {"train": 60, "test": 5})):
        for split, count in counts.items():
            rows = (
                {"id": f"{split}-{n}", "text": f"{name} word " * (1 + n % 3), "of": name}
                for n in range(count)
            )
            folder.write(f"{name}/{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder


def mixed(folder: Folder) -> DatasetFolder:
    folder.build("dataset:both")
    (output,) = (
        r["output"] for r in folder.plan("dataset:both")["stages"] if r["stage"] == "dataset:both/version"
    )
    to = folder.path.parent / output
    if not to.exists():
        folder.spark("get", "dataset:both", "--to", str(to))
    return DatasetFolder(to)


def counts(dataset: DatasetFolder) -> dict[tuple[str, str], int]:
    names = [(split, row["of"]) for split in dataset.splits for row in dataset.rows(split)]
    return {name: names.count(name) for name in sorted(set(names))}


def test_every_split_has_the_proportions_and_says_where_items_come_from(both: Folder) -> None:
    dataset = mixed(both)
    assert counts(dataset) == {
        ("test", "calls"): 15,
        ("test", "notes"): 5,
        ("train", "calls"): 90,
        ("train", "notes"): 30,
    }
    rows = list(dataset.rows("train"))
    assert {row["source"].partition("/")[0] for row in rows} == {"calls", "notes"}
    assert {row["source"] for row in rows if row["of"] == "notes"} == {"notes/train.jsonl"}
    ids = [row["id"] for split in dataset.splits for row in dataset.rows(split)]
    assert len(set(ids)) == len(ids)


def test_the_order_of_names_is_no_matter_and_one_new_row_is_one_item_handled(both: Folder) -> None:
    output = both.build().outputs["dataset:both/version"]
    both.edit("{calls: 0.75, notes: 0.25}", '{"dataset:notes": 0.25, calls: 0.75}')
    assert both.build().outputs["dataset:both/version"] == output
    both.write(
        "notes/train.jsonl",
        (both.path / "notes/train.jsonl").read_text() + '{"text": "new", "of": "notes"}\n',
    )
    assert both.build().items["dataset:both/ingest"]["handled"] == 1


def test_tokens_are_counted_where_the_unit_is_tokens(both: Folder) -> None:
    both.edit("notes: 0.25}", "notes: 0.25}, unit: tokens, stop: 400")
    dataset = mixed(both)
    tokens = {"calls": 0, "notes": 0}
    for split in dataset.splits:
        for row in dataset.rows(split):
            tokens[row["of"]] += len(row["text"].split()) + len(row["of"].split())
    assert (
        abs(sum(tokens.values()) - 400) <= 14
    )  # half an item of each dataset in each split; one has at most 7
    assert abs(tokens["calls"] - 300) <= 7


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{calls: 0.75, note: 0.25}", "did you mean 'notes'?"),
        ("{calls: 0.75, notes: 0}", "above 0"),
        ("{}", "at least one dataset"),
        ('{calls: 0.75, "dataset:calls": 0.25}', "named twice"),
        ("{calls: 0.75, notes: 0.25}, stop: never", "stop"),
    ],
)
def test_a_mix_that_makes_no_sense_is_refused_where_it_stands(both: Folder, given: str, told: str) -> None:
    both.edit("{calls: 0.75, notes: 0.25}", given)
    ran = both.spark("check", code=2)
    assert told in ran.err
    assert "Sparkfile.yaml:7:" in ran.err
