"""What a classifier's head says: its labels, their scores, and which labels say that nothing is wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput


def labels_of(config: Any) -> tuple[str, ...]:
    return tuple(str(config.id2label[n]) for n in range(config.num_labels))


def is_multi_label(config: Any, folder: Path) -> bool:
    """Errors: BadInput of a regression model."""
    if config.problem_type == "regression":
        fix = "name a model that gives scores for labels"
        raise BadInput(f"'{folder.name}' is a regression model", fix=fix)
    return bool(config.problem_type == "multi_label_classification" or config.num_labels == 1)


def scores_of(logits: Any, *, is_multi_label: bool) -> list[float]:
    """Of one example: a sigmoid per label, or one softmax over all."""
    import torch

    logits = logits.float()
    scores = torch.sigmoid(logits) if is_multi_label else torch.softmax(logits, -1)
    return [float(score) for score in scores]


def neutral_labels(scores: Mapping[str, float]) -> set[str]:
    """Labels that say that nothing is wrong, by their name; LABEL_0 where there are two."""
    names = {label: "".join(filter(str.isalnum, label.lower())) for label in scores}
    neutral = {label for label, name in names.items() if name in _NEUTRAL}
    if set(names.values()) == {"label0", "label1"}:
        neutral |= {label for label, name in names.items() if name == "label0"}
    return neutral


_NEUTRAL = frozenset(
    {
        "neutral",
        "nontoxic",
        "nottoxic",
        "normal",
        "clean",
        "safe",
        "ok",
        "okay",
        "none",
        "acceptable",
        "benign",
    }
    | {
        "nothate",
        "nonhate",
        "nothatespeech",
        "nohate",
        "notoffensive",
        "nonoffensive",
        "notinsult",
        "harmless",
    }
)
