"""Perplexity, as a share of that of a model that knows how frequent tokens are and nothing else.

The unigram model here has the frequencies of the evaluated tokens themselves. None that ignores context does
better on them, so a model that stays below 1 has learned from context, however the baseline were trained.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from spark_build.contract import Context, Metric
from spark_build.metrics._scores import LIBRARIES, causal_score


class PerplexityOverUnigram(Metric):
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("perplexity_over_unigram", "unigram_perplexity")

    def evaluate(self, context: Context) -> Mapping[str, float]:
        score = causal_score(context)
        unigram = score.unigram_perplexity
        return {"perplexity_over_unigram": score.perplexity / unigram, "unigram_perplexity": unigram}
