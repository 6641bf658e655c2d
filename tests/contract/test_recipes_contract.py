"""What every recipe keeps to. The suite finds recipes by itself: each file under spark_build/recipes is held to it.

A new recipe adds one line to `WAYS`: parameters with which it trains a tiny model on the data below.
"""

import importlib
import inspect
import json
import pkgutil
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rule_runs import Run, contents, run_rule, write_dataset
from tiny_models import TEXT, llama

import spark_build.recipes
from spark_build.contract import Recipe

TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
# dropout, so that the random state counts; accumulation, so that the place within a batch does
FIT = {"max_length": 32, "batch_size": 4, "micro_batch_size": 2, "epochs": 3.5, "checkpoint_every": 4}
WAYS: dict[str, dict[str, Any]] = {
    "causal_lm": {
        "config": {"model_type": "llama", "attention_dropout": 0.1, **TINY},
        "tokenizer": {"vocab_size": 300},
        "text": "text",
    },
    "llama_lora": {"base": "base", "r": 4, "dropout": 0.1, "prompt": "question", "completion": "answer"},
    "bert_classification": {
        "config": {"model_type": "bert", **TINY},
        "tokenizer": {"vocab_size": 300},
        "text": "text",
    },
}


def recipe_classes() -> dict[str, type[Recipe]]:
    """By file name; a user's own script (`command`) answers for itself."""
    names = [module.name for module in pkgutil.iter_modules(spark_build.recipes.__path__)]
    return {name: recipe_class(name) for name in names if not name.startswith("_") and name != "command"}


def recipe_class(name: str) -> type[Recipe]:
    members = vars(importlib.import_module(f"spark_build.recipes.{name}")).values()
    (found,) = (m for m in members if inspect.isclass(m) and issubclass(m, Recipe) and m is not Recipe)
    return found


RECIPES = recipe_classes()


@pytest.fixture(scope="module", params=sorted(RECIPES))
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    rows = [
        {
            "text": text,
            "question": text[:20],
            "answer": text[20:],
            "label": "file" if "file" in text else "other",
        }
        for text in (f"{line} Number {i}." for i, line in enumerate(TEXT))
    ]
    fields = {"text": "text", "question": "text", "answer": "text", "label": "label"}
    return {"dataset": write_dataset(folder / "dataset", fields, train=rows), "base": llama(folder / "base")}


@pytest.fixture(scope="module")
def undisturbed(recipe: str, inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp(recipe), recipe, inputs)


def train(folder: Path, recipe: str, inputs: dict[str, Path], **how: Any) -> Run:
    rule = RECIPES[recipe]
    return run_rule(folder, f"{rule.__module__}:{rule.__name__}", {**FIT, **WAYS[recipe]}, inputs, **how)


def results(run: Run) -> dict[str, bytes]:
    return contents(run.output)


def test_every_recipe_is_held_to_this() -> None:
    assert sorted(WAYS) == sorted(RECIPES)


def test_the_same_seed_gives_the_same_bytes(
    recipe: str, inputs: dict[str, Path], undisturbed: Run, tmp_path: Path
) -> None:
    # another hash seed: no order of a set or dictionary may reach the result
    again = train(tmp_path, recipe, inputs, hash_seed=7)
    assert results(again) == results(undisturbed)


def test_a_killed_run_goes_on_to_the_same_bytes(
    recipe: str, inputs: dict[str, Path], undisturbed: Run, tmp_path: Path
) -> None:
    killed = train(tmp_path, recipe, inputs, kill={"at_step": 11})
    assert killed.code == -9
    steps_before = len(killed.steps)

    resumed = train(tmp_path, recipe, inputs)
    assert "resumed at step 8 of" in resumed.log
    assert resumed.steps[steps_before : steps_before + 3] == [
        8,
        9,
        10,
    ]  # from the checkpoint on, none before it
    assert results(resumed) == results(undisturbed)


def test_a_run_killed_while_it_wrote_a_checkpoint_takes_the_one_before(
    recipe: str, inputs: dict[str, Path], undisturbed: Run, tmp_path: Path
) -> None:
    assert train(tmp_path, recipe, inputs, kill={"in_seal": 3}).code == -9

    resumed = train(tmp_path, recipe, inputs)
    assert "never sealed" in resumed.log
    assert "resumed at step 8 of" in resumed.log
    assert results(resumed) == results(undisturbed)


def test_a_damaged_checkpoint_is_dropped_and_the_one_before_taken(
    recipe: str, inputs: dict[str, Path], undisturbed: Run, tmp_path: Path
) -> None:
    train(tmp_path, recipe, inputs, kill={"at_step": 11})
    optimizer = tmp_path / "scratch" / "checkpoints" / "step-8" / "optimizer.pt"
    data = bytearray(optimizer.read_bytes())
    data[len(data) // 2] ^= 1
    optimizer.write_bytes(data)

    resumed = train(tmp_path, recipe, inputs)
    assert "step-8: optimizer.pt has changed" in resumed.log
    assert "resumed at step 4 of" in resumed.log
    assert results(resumed) == results(undisturbed)


def test_a_run_killed_after_its_last_step_trains_no_step_again(
    recipe: str, inputs: dict[str, Path], undisturbed: Run, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed.folder / "scratch", tmp_path / "scratch")
    total = undisturbed.steps[-1]

    resumed = train(tmp_path, recipe, inputs)
    assert resumed.steps == [total]
    assert results(resumed) == results(undisturbed)


def test_only_safetensors_and_text_are_left(undisturbed: Run) -> None:
    assert {Path(name).suffix for name in results(undisturbed)} <= {".safetensors", ".json", ".jinja", ".txt"}


def test_the_result_tells_nothing_of_the_machine(undisturbed: Run) -> None:
    for name, data in results(undisturbed).items():
        text = data.decode("utf-8", "replace")
        assert str(undisturbed.folder) not in text, name
        assert "/tmp" not in text, name
        assert "transformers_version" not in text, name
        assert not re.search(r"20\d\d-\d\d-\d\d", text), name


def test_the_model_loads_by_itself(undisturbed: Run) -> None:
    import transformers

    config = json.loads((undisturbed.model / "config.json").read_text())
    model, found = getattr(transformers, config["architectures"][0]).from_pretrained(
        undisturbed.model, output_loading_info=True, local_files_only=True
    )
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(undisturbed.model, local_files_only=True)
    assert model(**tokenizer("A list holds items", return_tensors="pt")).logits.isfinite().all()


def test_what_counts_in_the_loss_is_told_before_the_first_step(undisturbed: Run) -> None:
    order = [e["event"] for e in undisturbed.events]
    told = next(
        i for i, e in enumerate(undisturbed.events) if str(e.get("name", "")).startswith("supervised_")
    )
    assert told < order.index("progress")
    assert undisturbed.events[told]["value"] > 0


def test_loss_and_rate_are_reported(undisturbed: Run) -> None:
    names = {e["name"] for e in undisturbed.events if e["event"] == "metric"}
    assert {"loss", "learning_rate", "tokens_per_second"} <= names


def test_every_parameter_is_described(recipe: str) -> None:
    fields = RECIPES[recipe].Params.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_synonyms_lead_to_parameters_that_are_there(recipe: str) -> None:
    params = RECIPES[recipe].Params
    assert set(params.synonyms.values()) <= set(params.model_fields)
    assert not set(params.synonyms) & set(params.model_fields)
