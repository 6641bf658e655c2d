"""A gate that is a model of the same file: trained first, keyed by its weights, measured once per item."""

import json
import random

import pytest

from tests.spark import Folder

SPARKFILE = """\
datasets:
  labelled: {source: labelled, splits: {train: 0.8, test: 0.2}}
  notes: {source: notes, gates: [polite]}
gates:
  polite: {use: toxicity, with: {model: "model:judge", threshold: 0.5, labels: [rude], fields: [text]}}
recipes:
  tiny:
    use: bert_classification
    with:
      config: {model_type: bert, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2}
      tokenizer: {vocab_size: 300}
      text: text
      label: label
      max_length: 24
      batch_size: 8
      epochs: 12
      learning_rate: 5.0e-3
targets:
  judge:
    recipe: tiny
    dataset: labelled
    eval: {metrics: [accuracy, accuracy_over_majority, f1], require: {accuracy_over_majority: ">= 0.2"}}
"""
FILTER = "dataset:notes/filter"
KIND = ["what a lovely day", "thank you kindly friend", "a good and gentle song", "please and thank you"]
RUDE = ["you awful fool", "shut up you idiot", "what a stupid mess", "go away you fool"]


def write_labelled(folder: Folder, *, shuffled: bool = False) -> None:
    texts = [f"{(RUDE if n % 2 else KIND)[n // 2 % 4]} number {n}" for n in range(80)]
    labels = ["rude" if n % 2 else "kind" for n in range(80)]
    if shuffled:
        random.Random(7).shuffle(labels)
    rows = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]
    folder.write("labelled/rows.jsonl", "\n".join(rows) + "\n")


@pytest.fixture
def project(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    write_labelled(folder)
    for n, text in enumerate([*KIND, *RUDE]):
        folder.write(f"notes/n{n}.txt", f"{text} indeed {n}\n")
    return folder


def test_the_model_is_trained_first_and_its_verdicts_are_decided_anew_for_nothing(project: Folder) -> None:
    built = project.build("dataset:notes")
    assert {"model:judge/train", "model:judge/eval", FILTER} <= built.ran
    assert built.items[FILTER]["handled"] == 8
    rejected = project.spark("show", "dataset:notes", "--rejected", "--json").out
    assert {row["source"] for row in json.loads(rejected)["rows"]} >= {f"n{n}.txt" for n in (4, 5, 6, 7)}
    project.edit("threshold: 0.5", "threshold: 0.99999")
    built = project.build("dataset:notes")
    assert built.items[FILTER] == {"handled": 0, "remembered": 8}
    project.edit("epochs: 12", "epochs: 13")
    built = project.build("dataset:notes")
    assert built.items[FILTER]["handled"] == 8


def test_a_model_that_fails_its_requirement_is_no_gate(project: Folder) -> None:
    """The same classifier on shuffled labels learns nothing, and nothing behind it is built."""
    write_labelled(project, shuffled=True)
    built = project.build("dataset:notes", code=4)
    assert "accuracy_over_majority is" in built.err
    assert built.outcomes["model:judge/eval"] == "ran"
    assert built.outcomes[FILTER] == "skipped"
