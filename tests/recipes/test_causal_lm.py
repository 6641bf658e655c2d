"""causal_lm: what it trains, what it writes, what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from rule_runs import Run, write_dataset
from tiny_models import TEXT, bert

from spark_build.recipes.causal_lm import CausalLm

TINY = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
Train = Callable[..., Run]


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_base_is_trained_further(train: Train, base: Path) -> None:
    run = train("causal_lm", base=base)
    assert run.code == 0
    before, after = weights(base), weights(run.model)
    assert set(before) == set(after)
    assert not any(before[name].equal(after[name]) for name in before)


@pytest.mark.parametrize("form", ["prompt_completion", "messages"])
def test_of_pairs_and_chats_the_answers_count_alone(train: Train, base: Path, form: str) -> None:
    run = train("causal_lm", base=base, form=form)
    assert run.code == 0
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    answers = sum(len(tokenizer(text[12:])["input_ids"]) + 1 for text in TEXT)  # and the end token
    # a chat's answer stands behind 'assistant:' and a space, which is a token more or none
    assert abs(run.notes["supervised_tokens"] - answers) <= (len(TEXT) if form == "messages" else 0)


def test_the_model_carries_how_it_reads_rows(train: Train, base: Path) -> None:
    run = train("causal_lm", base=base, prompt="Q: {question}\nA:", completion=" {answer}")
    recipe = json.loads((run.model / "spark_recipe.json").read_text())
    assert recipe == {
        "kind": "causal_lm",
        "form": {"kind": "prompt_completion", "prompt": "Q: {question}\nA:", "completion": " {answer}"},
        "max_length": 48,
        "packing": False,
    }


def test_the_result_keeps_the_type_of_its_base(train: Train, base: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    AutoTokenizer.from_pretrained(base).save_pretrained(half)
    run = train("causal_lm", base=half)
    assert {t.dtype for t in weights(run.model).values()} == {torch.bfloat16}


def test_other_training_arguments_act(train: Train, base: Path) -> None:
    plain, smoothed = (
        train("causal_lm", base=base),
        train("causal_lm", base=base, trainer={"label_smoothing_factor": 0.3}),
    )
    assert not weights(plain.model)["lm_head.weight"].equal(weights(smoothed.model)["lm_head.weight"])


def test_micro_batches_change_the_memory_and_not_the_result(train: Train, base: Path) -> None:
    import torch

    whole, pieces = train("causal_lm", base=base), train("causal_lm", base=base, micro_batch_size=1)
    for name, expected in weights(whole.model).items():
        # sums in another order: float32 keeps 7 digits, and AdamW's step is up to the learning rate (1e-3)
        torch.testing.assert_close(weights(pieces.model)[name], expected, rtol=0, atol=2e-4)


def test_batch_size_times_steps_is_what_an_epoch_is(train: Train, base: Path) -> None:
    run = train("causal_lm", base=base, max_steps=None, epochs=1.5, batch_size=8)
    assert run.steps == [1, 2, 3, 4, 5]  # 20 rows are 3 batches of 8, and 1.5 epochs 4.5 steps


def test_a_loss_that_is_no_number_stops_the_run(train: Train, base: Path) -> None:
    run = train("causal_lm", base=base, learning_rate=1e30, warmup=0.0, max_steps=20, grad_clip=0.0)
    assert run.code == 2
    assert "training has diverged" in run.error
    assert "fix: lower `learning_rate`" in run.error


@pytest.mark.parametrize(
    ("params", "message", "fix"),
    [
        ({"config": {**TINY, "hiden_size": 64}}, "a llama has no 'hiden_size'", "did you mean 'hidden_size'?"),
        ({"config": {**TINY, "model_type": "lama"}}, "no model_type 'lama'", "did you mean 'llama'?"),
        ({"config": {"hidden_size": 64}}, "which model? There is no `model_type`", "model_type: llama"),
        ({"config": {**TINY, "vocab_size": 9}}, "config.vocab_size follows from the tokenizer", "leave it out"),
        (
            {"config": {**TINY, "num_attention_heads": 5}},
            "not a multiple of the number of attention heads (5)",
            "see the llama",
        ),
        ({"config": TINY, "text": "body"}, "no field 'body'", "it has question, answer"),
        ({"config": TINY, "packing": True}, "`packing` is for plain text", "leave `packing` out"),
        ({"config": TINY, "form": "text"}, "which field holds the text?", "text: body"),
        ({"config": {**TINY, "max_position_embeddings": 16}}, "48 is more than the model takes (16", "max_length: 16"),
        ({"config": TINY, "max_length": 3}, "all tokens are masked", "raise `max_length`"),
    ],
)  # fmt: skip
def test_what_can_not_be_trained_is_refused(train: Train, params: dict, message: str, fix: str) -> None:
    run = train("causal_lm", **params)
    assert run.code == 2
    assert message in run.error
    assert fix in run.error
    assert not run.model.exists()


def test_a_base_that_is_no_language_model_is_refused(train: Train, tmp_path: Path) -> None:
    run = train("causal_lm", base=bert(tmp_path / "bert"))
    assert "a BertForSequenceClassification is no causal language model" in run.error


def test_a_base_in_pickles_is_refused(train: Train, base: Path, tmp_path: Path) -> None:
    import torch

    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for path in base.glob("*.json"):
        (pickled / path.name).write_bytes(path.read_bytes())
    torch.save(weights(base), pickled / "pytorch_model.bin")
    run = train("causal_lm", base=pickled)
    assert run.code == 2
    assert "its weights as .safetensors" in run.error


def test_a_base_without_tokenizer_is_refused(train: Train, base: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((base / name).read_bytes())
    assert "save the tokenizer beside the weights" in train("causal_lm", base=bare).error


def test_a_dataset_without_a_train_split_is_refused(train: Train, base: Path, tmp_path: Path) -> None:
    only_test = write_dataset(tmp_path / "dataset", {"text": "text"}, test=[{"text": "hello"}])
    assert (
        "the dataset has no split 'train'\n  fix: it has test"
        in train("causal_lm", base=base, dataset=only_test).error
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "give either `base` (a model to start from) or `config`"),
        ({"base": "x", "config": TINY}, "give either `base` (a model to start from) or `config`"),
        ({"base": "x", "tokenizer": {}}, "a base brings its own"),
        ({"base": "x", "batch_size": 8, "micro_batch_size": 3}, "micro_batch_size 3 does not divide batch_size 8"),
        ({"base": "x", "trainer": {"lr": 1}}, "TrainingArguments has no 'lr'"),
        ({"base": "x", "optimizer": "adamm"}, "no optimizer 'adamm'"),
        ({"base": "x", "prompt": "{a b}"}, "is no field's name"),
        ({"base": "x", "epochs": 0}, "greater than 0"),
        ({"base": "x", "lr": 1}, "Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused_before_anything_runs(params: dict, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CausalLm.Params(**params)
    assert message in str(refused.value)
