"""How many tokens a language model hesitates between: e to the mean loss of the tokens that training supervises."""

from collections.abc import Mapping
from typing import Any, ClassVar

from spark_build.contract import Context, Metric
from spark_build.metrics._scores import LIBRARIES, causal_score


class Perplexity(Metric):
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("perplexity",)

    def evaluate(self, context: Context) -> Mapping[str, float]:
        return {"perplexity": causal_score(context).perplexity}
