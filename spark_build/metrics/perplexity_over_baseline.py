"""Perplexity, as a share of that of the base that training began with, on the same rows and the same tokens.

Where the two have different tokenizers, their likelihoods of the whole text are compared, per token of the
trained model: a perplexity per token alone would favour the finer tokenizer.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from spark_build.contract import Context, Metric
from spark_build.metrics._scores import LIBRARIES, baseline_score, causal_score


class PerplexityOverBaseline(Metric):
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES
    needs_base: ClassVar[bool] = True

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("perplexity_over_baseline", "baseline_perplexity")

    def evaluate(self, context: Context) -> Mapping[str, float]:
        score, baseline = causal_score(context), baseline_score(context)
        ratio = math.exp((score.nll - baseline.nll) / score.tokens)
        return {"perplexity_over_baseline": ratio, "baseline_perplexity": baseline.perplexity}
