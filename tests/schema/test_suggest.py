"""Did you mean: by spelling, by what other tools call it, by edit distance."""

from __future__ import annotations

import time

import pytest

from sparkfile_schema import did_you_mean
from sparkfile_schema.suggest import distance

KNOWN = ("learning_rate", "r", "alpha", "epochs", "batch_size", "base", "length", "threshold", "max_steps")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("lr", "learning_rate"), ("lora_r", "r"), ("lora_alpha", "alpha"), ("num_train_epochs", "epochs")),
        *(("per_device_train_batch_size", "batch_size"), ("train_batch_size", "batch_size")),
        *(
            ("model_name_or_path", "base"),
            ("max_length", "length"),
            ("seq_len", "length"),
            ("block_size", "length"),
        ),
        *(
            ("treshold", "threshold"),
            ("learning-rate", "learning_rate"),
            ("Epochs", "epochs"),
            ("eopchs", "epochs"),
        ),
        *(("zebra", None), ("x", None), ("r", None), ("a" * 10_000, None), ("", None)),
    ],
)
def test_the_word_that_was_meant(word: str, meant: str | None) -> None:
    assert did_you_mean(word, KNOWN) == meant


@pytest.mark.parametrize("word", ["dev", "val", "valid", "development"])
def test_splits_of_other_tools(word: str) -> None:
    assert did_you_mean(word, ("train", "validation", "test")) == "validation"


def test_a_rules_own_synonyms_go_first() -> None:
    assert did_you_mean("lr", ("learning_rate", "rate"), {"lr": "rate"}) == "rate"
    assert did_you_mean("lr", ("learning_rate", "rate"), {"other": ("rate",)}) == "learning_rate"


def test_thousands_of_names_are_compared_quickly() -> None:
    names = [f"name-{i}" for i in range(100_000)]
    begun = time.process_time()
    assert did_you_mean("Name_77777", names) == "name-77777"
    assert did_you_mean("nmae-10000", [*names, "name-x"]) is not None
    assert time.process_time() - begun < 1  # second; both take 0.1 on one core of 2020


@pytest.mark.parametrize(
    ("a", "b", "edits"), [("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3), ("a", "a", 0)]
)
def test_edits_between_words(a: str, b: str, edits: int) -> None:
    assert distance(a, b) == distance(b, a) == edits
