"""Scores that several metrics of one eval read: each model runs once."""

from collections.abc import Callable
from typing import TypeVar

from spark_build.contract import Context
from spark_build.contract.rows import Rows
from spark_build.core.errors import BadInput
from spark_build.training.scoring import CausalScore, ClassScore, is_classifier, score_causal, score_classes

Score = TypeVar("Score", CausalScore, ClassScore)

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")


def causal_score(context: Context) -> CausalScore:
    """Of the model under test. Errors: BadInput where it is no language model."""
    folder = context.inputs["model"]
    if is_classifier(folder):
        raise BadInput(
            "this metric needs a language model, and this is a text classifier",
            fix="take loss, accuracy, accuracy_over_majority or f1",
        )
    return _once(
        context, "causal", lambda: score_causal(folder, _rows(context), context.numerics, context.report)
    )


def baseline_score(context: Context) -> CausalScore:
    """Of the base it was trained from, on the same rows read in the same way."""
    if "base" not in context.inputs:
        raise BadInput(
            "this model was trained from nothing: there is no base to compare it with",
            fix="take perplexity_over_unigram",
        )
    return _once(
        context,
        "baseline",
        lambda: score_causal(
            context.inputs["base"],
            _rows(context),
            context.numerics,
            context.report,
            read_as=context.inputs["model"],
        ),
    )


def class_score(context: Context) -> ClassScore:
    """Of the classifier under test. Errors: BadInput where it is none."""
    folder = context.inputs["model"]
    return _once(
        context, "classes", lambda: score_classes(folder, _rows(context), context.numerics, context.report)
    )


def any_score(context: Context) -> CausalScore | ClassScore:
    return class_score(context) if is_classifier(context.inputs["model"]) else causal_score(context)


def _rows(context: Context) -> Rows:
    return context.dataset.rows(context.split)


def _once(context: Context, name: str, score: Callable[[], Score]) -> Score:
    if name not in context.shared:
        context.shared[name] = score()
    found: Score = context.shared[name]
    return found
