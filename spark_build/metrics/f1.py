"""F1 of a classifier: `f1` is the plain mean over classes (macro), `f1.<label>` that of one class."""

from collections.abc import Mapping
from typing import Any, ClassVar

from spark_build.contract import Context, Metric
from spark_build.metrics._scores import LIBRARIES, class_score


class F1(Metric):
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("f1", "f1.*")

    def evaluate(self, context: Context) -> Mapping[str, float]:
        by_class = class_score(context).f1_by_class
        macro = sum(by_class.values()) / len(by_class)
        return {"f1": macro, **{f"f1.{name}": value for name, value in by_class.items()}}
