"""Share of right answers: of a classifier's rows, or of the tokens that a language model holds likeliest."""

from collections.abc import Mapping
from typing import Any, ClassVar

from spark_build.contract import Context, Metric
from spark_build.metrics._scores import LIBRARIES, any_score


class Accuracy(Metric):
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("accuracy",)

    def evaluate(self, context: Context) -> Mapping[str, float]:
        return {"accuracy": any_score(context).accuracy}
