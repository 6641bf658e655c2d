"""A classifier's accuracy minus the share of the largest class: what it does better than always saying the same."""

from collections.abc import Mapping
from typing import Any, ClassVar

from spark_build.contract import Context, Metric
from spark_build.metrics._scores import LIBRARIES, class_score


class AccuracyOverMajority(Metric):
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("accuracy_over_majority", "majority")

    def evaluate(self, context: Context) -> Mapping[str, float]:
        score = class_score(context)
        return {"accuracy_over_majority": score.accuracy - score.majority, "majority": score.majority}
