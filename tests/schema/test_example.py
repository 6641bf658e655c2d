"""The example of the design, section 3, becomes the objects that it describes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sparkfile_schema import Sparkfile, parse

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sparkfile() -> Sparkfile:
    parsed = parse(EXAMPLE, env={"S3_ENDPOINT": "http://store:9000"})
    assert parsed.problems == ()
    return parsed.sparkfile


def test_the_short_source_is_the_files_rule(sparkfile: Sparkfile) -> None:
    source = sparkfile.datasets["tickets"].source
    assert (source.rule, source.label, source.params) == ("files", "files", {"path": "data/tickets"})
    assert source.origins == {("path",): ("datasets", "tickets", "source")}


def test_gates_come_in_the_order_of_the_dataset_with_the_users_names(sparkfile: Sparkfile) -> None:
    gates = sparkfile.datasets["tickets"].gates
    assert [(gate.label, gate.rule) for gate in gates] == [
        ("near-dup", "near_duplicates"),
        ("toxic", "toxicity"),
        ("pii", "pii"),
    ]
    assert gates[0].path == ("gates", "near-dup")


def test_the_short_form_of_splits_gives_ratios(sparkfile: Sparkfile) -> None:
    splits = sparkfile.datasets["tickets"].splits
    assert splits is not None
    assert (splits.ratios, splits.keep) == ({"train": 0.9, "test": 0.1}, False)


def test_requirements_know_their_bounds(sparkfile: Sparkfile) -> None:
    items, rejected = sparkfile.datasets["tickets"].require
    assert (items.name, items.low, items.low_open, items.holds(100), items.holds(101)) == (
        *("items", 100.0, True),
        *(False, True),
    )
    assert (rejected.high, rejected.high_open, rejected.text) == (0.4, True, "< 40%")


def test_a_target_lays_its_params_over_the_recipes(sparkfile: Sparkfile) -> None:
    recipe = sparkfile.targets["llama-lora"].recipe
    assert (recipe.rule, recipe.label, recipe.params["epochs"]) == ("llama_lora", "sft", 2)
    assert recipe.origins[("epochs",)] == ("targets", "llama-lora", "with", "epochs")
    assert recipe.origins[("r",)] == ("recipes", "sft", "with", "r")


def test_the_targets_base_becomes_a_param(sparkfile: Sparkfile) -> None:
    recipe = sparkfile.targets["continued"].recipe
    assert recipe.params["base"] == "model:llama-lora"
    assert recipe.origins[("base",)] == ("targets", "continued", "base")


def test_a_var_stands_for_its_value(sparkfile: Sparkfile) -> None:
    assert sparkfile.recipes["sft"].params["base"] == "HuggingFaceTB/SmolLM2-135M"


def test_numbers_are_those_of_yaml_1_2(sparkfile: Sparkfile) -> None:
    assert sparkfile.recipes["sft"].params["learning_rate"] == 2e-4


def test_the_short_evaluation_has_no_label(sparkfile: Sparkfile) -> None:
    (evaluation,) = sparkfile.targets["llama-lora"].evals
    assert (evaluation.label, evaluation.dataset, evaluation.split) == ("", None, "test")
    assert [metric.rule for metric in evaluation.metrics] == ["perplexity"]


def test_exporters_and_servers_are_uses(sparkfile: Sparkfile) -> None:
    assert [use.rule for use in sparkfile.targets["llama-lora"].package] == ["safetensors", "onnx"]
    chat = sparkfile.deployments["chat"]
    assert (chat.model, chat.server.rule, chat.server.params) == (
        "llama-lora",
        "transformers_serve",
        {"port": 8000},
    )


def test_defaults_stand_where_the_file_says_nothing(sparkfile: Sparkfile) -> None:
    assert sparkfile.limits == {"ask_above": 3600.0}
    assert (sparkfile.datasets["tickets"].on_error, sparkfile.datasets["tickets"].push) == ("reject", "last")


def test_every_family_of_rules_is_listed(sparkfile: Sparkfile) -> None:
    families = {family for family, _ in sparkfile.uses}
    assert families == {
        *("source", "transform", "gate", "versioner"),
        *("recipe", "metric", "exporter", "server"),
    }


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        (("gates", "near-dup", "with", "threshold"), False, "Sparkfile.yaml:25:54"),
        (("gates", "near-dup", "with", "threshold"), True, "Sparkfile.yaml:25:43"),
        (("datasets", "tickets", "gates", 1), False, "Sparkfile.yaml:18:23"),
        (("gates", "near-dup", "with", "not-there"), False, "Sparkfile.yaml:25:42"),
        ((), False, "Sparkfile.yaml:1:1"),
    ],
)
def test_every_place_has_its_line_and_column(
    sparkfile: Sparkfile, path: tuple[str | int, ...], key: bool, expected: str
) -> None:
    assert str(sparkfile.position(path, key=key)) == expected


def test_a_scalar_is_remembered_as_it_was_written(sparkfile: Sparkfile) -> None:
    assert sparkfile.written(("recipes", "sft", "with", "learning_rate")) == "2.0e-4"


def test_a_sparkfile_can_be_cached(sparkfile: Sparkfile) -> None:
    again = pickle.loads(pickle.dumps(sparkfile))
    assert again == sparkfile
    assert again.position(("project",)) == sparkfile.position(("project",))
