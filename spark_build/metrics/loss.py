"""Mean negative log likelihood, in nats: per token of a language model, per row of a classifier."""

from collections.abc import Mapping
from typing import Any, ClassVar

from spark_build.contract import Context, Metric
from spark_build.metrics._scores import LIBRARIES, any_score


class Loss(Metric):
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("loss",)

    def evaluate(self, context: Context) -> Mapping[str, float]:
        return {"loss": any_score(context).loss}
