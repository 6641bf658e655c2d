"""What gates with a classifier share: which of its labels count, and what their scores come to."""

import re
from collections.abc import Mapping
from typing import Any

from spark_build.contract import Verdict
from spark_build.core.errors import BadInput


def verdict_on(found: Mapping[str, float], params: Any, gate: str, prefix: str, neutral: set[str]) -> Verdict:
    """By the highest score of a label that counts, against `threshold`; `neutral` labels don't, unless named."""
    counting = _labels_that_count(found, params.labels, gate, neutral)
    label = max(counting, key=lambda name: (found[name], name))
    if found[label] < params.threshold:
        return Verdict.keep(score=found[label])
    slug = re.sub(r"\W+", "_", label.lower())
    return Verdict.drop(f"{prefix}:{slug}", score=found[label], threshold=params.threshold)


def _labels_that_count(
    found: Mapping[str, float], labels: list[str] | None, gate: str, neutral: set[str]
) -> list[str]:
    known = f"the model has {', '.join(found)}"
    if labels is None:
        counting = sorted(set(found) - neutral)
        if not counting:
            raise BadInput(f"no label of the {gate} model counts", fix=f"say which in 'labels'; {known}")
        return counting
    if unknown := [name for name in labels if name not in found]:
        raise BadInput(f"the {gate} model has no label '{unknown[0]}'", fix=known)
    if not labels:
        raise BadInput(f"'labels' of the {gate} gate is empty", fix=known)
    return labels
