"""Figures, checked against what they must be by definition."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rule_runs import Run, run_rule, write_dataset
from tiny_models import TEXT, llama

METRICS = {
    "loss": "Loss",
    "perplexity": "Perplexity",
    "perplexity_over_unigram": "PerplexityOverUnigram",
    "perplexity_over_baseline": "PerplexityOverBaseline",
    "accuracy": "Accuracy",
    "accuracy_over_majority": "AccuracyOverMajority",
    "f1": "F1",
}
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
FIT = {"max_length": 32, "batch_size": 4, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"text": f"{text} Line {i}.", "label": "file" if "file" in text else "rest"}
        for i, text in enumerate(TEXT)
    ]
    fields = {"text": "text", "label": "label"}
    return write_dataset(tmp_path_factory.mktemp("texts") / "dataset", fields, train=rows, test=rows[:7])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("llama") / "base")


@pytest.fixture(scope="module")
def model(texts: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that has seen the test's rows: it must foretell them better than its base."""
    run = run_rule(
        tmp_path_factory.mktemp("model"),
        "spark_build.recipes.causal_lm:CausalLm",
        {"base": "base", "text": "text", "epochs": 6, **FIT},
        {"dataset": texts, "base": base},
    )
    return run.model


@pytest.fixture(scope="module")
def classifier(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = run_rule(
        tmp_path_factory.mktemp("classifier"),
        "spark_build.recipes.bert_classification:BertClassification",
        {"config": {"model_type": "bert", **TINY}, "tokenizer": {"vocab_size": 300}, "epochs": 30, **FIT},
        {"dataset": texts},
    )
    return run.model


Measure = Callable[..., Run]


@pytest.fixture
def measure(texts: Path, tmp_path: Path) -> Measure:
    def run(metric: str, *, dataset: Path = texts, split: str = "test", **inputs: Path) -> Run:
        impl = f"spark_build.metrics.{metric}:{METRICS[metric]}"
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        return run_rule(folder, impl, {}, {"dataset": dataset, **inputs}, split=split, must_end_well=False)

    return run


def test_perplexity_is_e_to_the_loss(measure: Measure, model: Path) -> None:
    loss = measure("loss", model=model).figures["loss"]
    assert measure("perplexity", model=model).figures == {
        "perplexity": pytest.approx(math.exp(loss), rel=1e-12)
    }


def test_the_loss_is_that_of_transformers(measure: Measure, model: Path, texts: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spark_build.contract.rows import DatasetFolder

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    joined: list[int] = []
    for row in DatasetFolder(texts).rows("test"):
        joined += [*tokenizer(row["text"])["input_ids"], tokenizer.eos_token_id]
    total, count = 0.0, 0
    for start in range(0, len(joined), 32):
        block = torch.tensor([joined[start : start + 32]])
        if block.shape[1] > 1:
            total += network(input_ids=block, labels=block).loss.item() * (block.shape[1] - 1)
            count += block.shape[1] - 1
    # float32 in batches of another shape
    assert measure("loss", model=model).figures["loss"] == pytest.approx(total / count, rel=1e-5)


def test_a_figure_is_the_same_in_another_process(measure: Measure, model: Path) -> None:
    assert measure("loss", model=model).figures == measure("loss", model=model).figures


def test_the_unigram_model_knows_the_frequencies_of_the_very_tokens(
    measure: Measure, model: Path, tmp_path: Path
) -> None:
    # 'a' and its end token, each half of the tokens that count: a coin's perplexity
    coins = write_dataset(tmp_path / "coins", {"text": "text"}, test=[{"text": "a"}] * 200)
    figures = measure("perplexity_over_unigram", model=model, dataset=coins).figures
    assert figures["unigram_perplexity"] == pytest.approx(2, abs=0.01)  # blocks begin with either token


def test_over_unigram_is_the_ratio_of_two_perplexities(measure: Measure, model: Path) -> None:
    figures = measure("perplexity_over_unigram", model=model).figures
    perplexity = measure("perplexity", model=model).figures["perplexity"]
    assert figures["perplexity_over_unigram"] == pytest.approx(perplexity / figures["unigram_perplexity"])


def test_a_model_is_as_good_as_itself(measure: Measure, model: Path) -> None:
    assert (
        measure("perplexity_over_baseline", model=model, base=model).figures["perplexity_over_baseline"] == 1
    )


def test_training_shows_against_the_base(measure: Measure, model: Path, base: Path) -> None:
    figures = measure("perplexity_over_baseline", model=model, base=base).figures
    assert figures["perplexity_over_baseline"] < 0.5
    perplexity = measure("perplexity", model=model).figures["perplexity"]
    assert figures["perplexity_over_baseline"] == pytest.approx(perplexity / figures["baseline_perplexity"])


def test_another_tokenizer_is_compared_by_the_whole_text(
    measure: Measure, model: Path, base: Path, tmp_path: Path
) -> None:
    """The same network under a tokenizer that gives every character: more tokens, each easier to foretell."""
    import json
    import shutil

    finer = tmp_path / "finer"
    shutil.copytree(base, finer)
    tokenizer = json.loads((finer / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = []
    (finer / "tokenizer.json").write_text(json.dumps(tokenizer))
    figures = measure("perplexity_over_baseline", model=base, base=finer).figures
    own = measure("loss", model=base)
    ratio = figures["perplexity_over_baseline"]
    per_token = math.exp(own.figures["loss"]) / figures["baseline_perplexity"]
    assert ratio < per_token / 10  # the untrained base pays ln(vocabulary) for each of many more tokens


def test_without_a_base_there_is_nothing_to_compare_with(measure: Measure, model: Path) -> None:
    assert "trained from nothing" in measure("perplexity_over_baseline", model=model).error


def test_accuracy_of_a_language_model_is_that_of_its_next_tokens(
    measure: Measure, model: Path, base: Path
) -> None:
    trained, untrained = (measure("accuracy", model=m).figures["accuracy"] for m in (model, base))
    assert trained > untrained + 0.2


def test_a_classifier_is_measured_against_the_largest_class(measure: Measure, classifier: Path) -> None:
    figures = measure("accuracy_over_majority", model=classifier).figures
    assert figures["majority"] == pytest.approx(5 / 7)  # two of seven rows are about files
    accuracy = measure("accuracy", model=classifier).figures["accuracy"]
    assert figures["accuracy_over_majority"] == pytest.approx(accuracy - 5 / 7)
    assert accuracy == 1  # it has seen these rows, thirty times


def test_f1_is_the_mean_over_classes(measure: Measure, classifier: Path) -> None:
    figures = measure("f1", model=classifier).figures
    assert set(figures) == {"f1", "f1.file", "f1.rest"}
    assert figures["f1"] == pytest.approx((figures["f1.file"] + figures["f1.rest"]) / 2)


def test_figures_of_classes_follow_their_definition() -> None:
    import numpy as np

    from spark_build.training.scoring import ClassScore

    score = ClassScore(
        3.0, np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0]), ("x", "y", "z", "never")
    )
    assert score.accuracy == 0.5
    assert score.majority == 0.5
    # x: 2 found of 4 said and 3 there; y: 1 of 2 and 2; z: none; 'never' occurs nowhere and has no figure
    assert score.f1_by_class == {"x": pytest.approx(4 / 7), "y": 0.5, "z": 0}


@pytest.mark.parametrize("metric", ["accuracy_over_majority", "f1"])
def test_a_metric_of_classifiers_refuses_a_language_model(measure: Measure, model: Path, metric: str) -> None:
    assert "needs a text classifier trained by spark build" in measure(metric, model=model).error


@pytest.mark.parametrize("metric", ["perplexity", "perplexity_over_unigram", "perplexity_over_baseline"])
def test_a_metric_of_language_models_refuses_a_classifier(
    measure: Measure, classifier: Path, metric: str
) -> None:
    assert "needs a language model, and this is a text classifier" in measure(metric, model=classifier).error


def test_a_label_that_training_did_not_see_is_named(
    measure: Measure, classifier: Path, tmp_path: Path
) -> None:
    rows = [{"text": "x", "label": "rest"}, {"text": "y", "label": "new"}]
    strange = write_dataset(tmp_path / "strange", {"text": "text", "label": "label"}, test=rows)
    error = measure("accuracy", model=classifier, dataset=strange).error
    assert "1 rows have the label 'new', which training did not see" in error
    assert "training saw file, rest" in error


def test_several_metrics_of_one_eval_run_the_model_once(
    model: Path, texts: Path, tmp_path: Path, monkeypatch
) -> None:
    from spark_build.contract import Context
    from spark_build.metrics import _scores
    from spark_build.metrics.loss import Loss
    from spark_build.metrics.perplexity import Perplexity
    from spark_build.training.scoring import score_causal

    runs: list[Any] = []

    def counted(*given: Any, **named: Any) -> Any:
        runs.append(given)
        return score_causal(*given, **named)

    class Silent:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_, **__: None

    monkeypatch.setattr(_scores, "score_causal", counted)
    context = Context({"model": model, "dataset": texts}, tmp_path, tmp_path, Silent(), split="test")
    Loss(Loss.Params()).evaluate(context)
    Perplexity(Perplexity.Params()).evaluate(context)
    assert len(runs) == 1


def test_the_figures_that_a_metric_gives_are_those_that_it_names(
    measure: Measure, model: Path, base: Path, classifier: Path
) -> None:
    import importlib
    from fnmatch import fnmatchcase

    for name, cls in METRICS.items():
        metric = getattr(importlib.import_module(f"spark_build.metrics.{name}"), cls)
        under_test = classifier if name in ("f1", "accuracy_over_majority") else model
        given = measure(name, model=under_test, base=base).figures
        named = metric.figures(metric.Params())
        assert all(any(fnmatchcase(figure, pattern) for pattern in named) for figure in given), name
        assert all(pattern in given for pattern in named if "*" not in pattern), name
