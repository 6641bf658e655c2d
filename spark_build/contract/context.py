"""What a rule is given when it runs: inputs as folders, a place for its output, and someone to report to."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.numerics import Numerics
from spark_build.core.ports import Reporter
from spark_build.core.values import Struct, field

if TYPE_CHECKING:
    from spark_build.contract.rows import DatasetFolder


class Context(Struct, dict=True):
    """Inputs by name, as read-only folders or files:

    - each InputPath, ModelRef, Base field under the field's name (a model is its `model/` folder);
    - train: one dataset folder per role (`dataset`, or the names under `roles:`), and `base`;
    - eval: `model` (the `model/` folder), `dataset` (only the split under test), `base` where the metric asks for it;
    - package: `trained` (the whole output of train: model/, adapter/ where there is one, training.json),
      `model` (its model/), `eval` (the folder of eval's metrics.json, where the target has one).
    """

    inputs: Mapping[str, Path]
    output: Path  # the attempt's folder; a recipe writes `output/model/…`
    scratch: Path  # survives a kill or a failure, empty at first
    report: Reporter
    numerics: Numerics = field(default_factory=Numerics)
    seed: int = 0
    split: str = "train"  # eval: the split under test
    base_dir: Path = field(default_factory=Path.cwd)  # the Sparkfile's folder; only `command` works there
    secrets: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the action: rule, params, input digests, libraries
    shared: dict[str, Any] = field(default_factory=dict)  # what metrics of one eval have worked out already

    @cached_property
    def dataset(self) -> "DatasetFolder":
        return self.role("dataset")

    def role(self, name: str) -> "DatasetFolder":
        from spark_build.contract.rows import DatasetFolder

        return DatasetFolder(self.inputs[name])
