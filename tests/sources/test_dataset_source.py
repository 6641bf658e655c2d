"""A dataset made of another one of the same file."""

import json

import pytest
from pictures import digit

from spark_build.contract.rows import DatasetFolder
from tests.spark import Folder

SPARKFILE = """\
datasets:
  calls:
    source: data
    fields: {kind: label}
    splits: {train: 0.8, test: 0.2}
    gates: [{use: quality, with: {rules: [word_count], min_words: 4}}]
    require: {items: "> 5"}
    card: {license: mit}
  derived: {source: "dataset:calls"}
"""
CALLS, DERIVED = "dataset:calls", "dataset:derived"


def rows(count: int) -> str:
    kinds = ("order", "complaint")
    made = [
        {
            "id": f"call-{n}",
            "text": f"Call {n} came in about a {kinds[n % 2]}",
            "kind": kinds[n % 2],
            "more": None,
        }
        for n in range(count)
    ]
    return "".join(json.dumps({**row, "source": "phone"}) + "\n" for row in made)


@pytest.fixture
def calls(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    folder.write("data/calls.jsonl", rows(40) + '{"id": "short", "text": "Too short", "kind": "order"}\n')
    folder.build()
    return folder


def dataset(folder: Folder, name: str) -> DatasetFolder:
    to = folder.path.parent / f"{name}-out"
    folder.spark("get", f"dataset:{name}", "--to", str(to))
    return DatasetFolder(to)


def test_ids_splits_fields_and_meta_are_those_of_the_other_dataset(calls: Folder) -> None:
    first, second = dataset(calls, "calls"), dataset(calls, "derived")
    assert second.fields == first.fields == {"kind": "label", "more": "json", "text": "text"}
    for split in ("train", "test"):
        assert list(second.rows(split)) == list(first.rows(split))
    assert "short" not in {row["id"] for split in second.splits for row in second.rows(split)}


def test_a_changed_card_does_not_even_make_a_maybe_of_it(calls: Folder) -> None:
    calls.edit("license: mit", "license: cc0-1.0")
    states = calls.states()
    assert {stage for stage, state in states.items() if state != "fresh"} == {f"{CALLS}/version"}


def test_a_dropped_document_that_is_edited_stops_at_the_gates(calls: Folder) -> None:
    calls.edit("Too short", "Still short", "data/calls.jsonl")
    assert calls.build().ran == {f"{CALLS}/ingest", f"{CALLS}/filter"}


def test_one_new_row_is_one_item_handled(calls: Folder) -> None:
    calls.write("data/calls.jsonl", rows(41))
    ran = calls.build()
    assert ran.items[f"{DERIVED}/ingest"] == {"handled": 1, "remembered": 40}


def test_what_the_other_requires_of_itself_has_to_hold_first(calls: Folder) -> None:
    calls.edit('"> 5"', '"> 500"')
    calls.edit('derived: {source: "dataset:calls"}', 'derived: {source: "dataset:calls", on_error: fail}')
    ran = calls.build(code=4)
    assert ran.outcomes[f"{DERIVED}/ingest"] == "skipped"


def test_chosen_splits_follow_these_alone(calls: Folder) -> None:
    calls.edit(
        'derived: {source: "dataset:calls"}',
        "derived: {source: {use: dataset, with: {dataset: calls, splits: [test]}}}",
    )
    calls.build()
    assert dataset(calls, "derived").splits == ("test",)
    calls.edit("splits: [test]", "splits: [validation]")
    assert "calls has no split 'validation'" in calls.spark("build", code=1).err


def test_pieces_of_one_record_stay_in_one_split_of_their_own(folder: Folder) -> None:
    folder.sparkfile(
        """\
datasets:
  notes: {source: data, transforms: [{use: chunk, with: {words: 5}}]}
  halves: {source: "dataset:notes", splits: {train: 0.5, test: 0.5}}
"""
    )
    for n in range(30):
        folder.write(f"data/{n}.txt", " ".join(f"word{n}-{i}" for i in range(20)))
    folder.build()
    halves = dataset(folder, "halves")
    of_records = {split: {row["source"] for row in halves.rows(split)} for split in ("train", "test")}
    assert not of_records["train"] & of_records["test"]
    assert sum(len(halves.rows(split)) for split in halves.splits) == 120


def test_images_are_referred_to_and_not_copied(folder: Folder) -> None:
    folder.sparkfile(
        """\
datasets:
  digits: {source: data, splits: {train: 0.5, test: 0.5}}
  again: {source: "dataset:digits"}
  twice: {source: {use: mix, with: {datasets: {digits: 1, again: 1}}}}
"""
    )
    for n in range(8):
        folder.write(f"data/{n}.png", digit(n))
    outputs = folder.build().outputs
    assert outputs["dataset:again/ingest"] == outputs["dataset:digits/ingest"]
    again, twice = dataset(folder, "again"), dataset(folder, "twice")
    assert {row["image"]["bytes"] for split in again.splits for row in again.rows(split)} == set(
        map(digit, range(8))
    )
    assert sum(len(twice.rows(split)) for split in twice.splits) == 16
    folder.spark("tag", "dataset:digits@v1")
    folder.edit('"dataset:digits"', '"dataset:digits@v1"')
    assert "name the dataset itself" in folder.spark("build", code=1).err


def test_a_tagged_dataset_stays_what_it_was(calls: Folder) -> None:
    calls.spark("tag", "dataset:calls@v1")
    calls.edit("dataset:calls", "dataset:calls@v1")
    calls.write("data/calls.jsonl", rows(50))
    calls.build()
    assert sum(dataset(calls, "derived").counts().values()) == 40


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('"dataset:cals"', "no dataset 'cals'\n  fix: did you mean 'calls'?"),
        ('"dataset:derived"', "a cycle"),
        ('"dataset:calls/ingest"', "read whole"),
        ("{use: dataset, with: {dataset: calls, split: nowhere}}", "did you mean 'splits'?"),
        ('"model:calls"', "model:calls"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused_where_it_stands(
    folder: Folder, source: str, told: str
) -> None:
    folder.sparkfile(
        SPARKFILE.replace('derived: {source: "dataset:calls"}', f"derived: {{source: {source}}}")
    )
    folder.write("data/calls.jsonl", rows(3))
    ran = folder.spark("plan", code=None)
    assert ran.code in (0, 2)
    assert told in ran.err, ran.err
