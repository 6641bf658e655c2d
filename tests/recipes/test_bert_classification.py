"""bert_classification: labels, frozen encoders, weights of classes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rule_runs import Run, write_dataset

Train = Callable[..., Run]


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def config(run: Run) -> dict:
    return json.loads((run.model / "config.json").read_text())


def test_names_of_labels_are_sorted_into_the_configuration(train: Train, encoder: Path) -> None:
    run = train("bert_classification", base=encoder, text="answer")
    assert run.code == 0
    assert config(run)["id2label"] == {"0": "a", "1": "b", "2": "c"}
    assert run.notes["supervised_labels"] == 20


def test_numbers_may_be_labels(train: Train, encoder: Path) -> None:
    run = train("bert_classification", base=encoder, text="answer", label="grade")
    assert config(run)["id2label"] == {"0": "0", "1": "1"}


def test_a_frozen_encoder_stays_as_it_was(train: Train, encoder: Path) -> None:
    run = train("bert_classification", base=encoder, text="answer", label="grade", freeze_encoder=True)
    before, after = weights(encoder), weights(run.model)
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_weights_of_classes_act(train: Train, encoder: Path) -> None:
    plain, *weighted = (
        weights(train("bert_classification", base=encoder, text="answer", class_weights=given).model)[
            "classifier.bias"
        ]
        for given in (None, "balanced", {"a": 9.0})
    )
    assert not any(plain.equal(other) for other in weighted)


def test_rows_without_text_or_label_are_left_out_and_counted(
    train: Train, encoder: Path, tmp_path: Path
) -> None:
    rows = [
        {"text": "one", "label": "a"},
        {"text": "two", "label": "b"},
        {"text": "", "label": "a"},
        {"text": "x", "label": None},
    ]
    dataset = write_dataset(tmp_path / "dataset", {"text": "text", "label": "label"}, train=rows)
    run = train("bert_classification", base=encoder, dataset=dataset)
    assert run.notes["supervised_labels"] == 2
    assert run.notes["rows_left_out"] == {"without text or label": 2}


@pytest.mark.parametrize(
    ("rows", "params", "message"),
    [
        (
            [{"text": "x", "label": "a"}] * 3,
            {},
            "field 'label' has 1 class (a): there is nothing to tell apart",
        ),
        ([{"text": "x", "label": None}] * 3, {}, "field 'label' has 0 classes (all empty)"),
        (
            [{"text": "", "label": "a"}, {"text": "", "label": "b"}],
            {},
            "no row has both text ('text') and a label",
        ),
        ([{"text": "x", "label": "a"}], {"text": "body"}, "the dataset has no field 'body'"),
        (
            [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}],
            {"class_weights": {"z": 2}},
            "class_weights names 'z', and no row has that label",
        ),
    ],
)
def test_data_that_teach_nothing_are_refused(
    train: Train, encoder: Path, tmp_path: Path, rows: list, params: dict, message: str
) -> None:
    dataset = write_dataset(tmp_path / "dataset", {"text": "text", "label": "label"}, train=rows)
    run = train("bert_classification", base=encoder, dataset=dataset, **params)
    assert run.code == 2
    assert message in run.error
