"""Measures a model by a command of the user's own, which writes {output}/metrics.json."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.contract import Context, Metric, Needs, Project
from spark_build.contract.command import CommandParams, keyed_params, needs_of_command, run_command
from spark_build.core.errors import StageFailed


class Params(CommandParams):
    pass


class Command(Metric):
    """Finds the model as {inputs.model} and the split under test as {inputs.dataset}."""

    Params = Params
    revision = 1

    @classmethod
    def figures(cls, params: Any) -> tuple[str, ...]:
        return ("*",)  # what it measures is known when it has run

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return needs_of_command(params, project, ("model", "dataset"))

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        return keyed_params(params)

    def evaluate(self, context: Context) -> Mapping[str, float]:
        written = context.output / "metrics.json"
        written.unlink(missing_ok=True)  # of another command of this evaluation
        run_command(self.params, context, context.output)
        figures = _figures(written)
        written.unlink()  # the stage writes all figures into one file of this name
        return figures


def _figures(written: Path) -> dict[str, float]:
    try:
        figures = json.loads(written.read_text())
    except FileNotFoundError:
        raise StageFailed(
            "the command wrote no {output}/metrics.json", fix='write {"accuracy": 0.93} there'
        ) from None
    except ValueError as error:
        raise StageFailed(f"metrics.json is not JSON: {error}", fix='write {"accuracy": 0.93}') from None
    if not isinstance(figures, dict) or not figures:
        raise StageFailed("metrics.json holds no object with figures", fix='write {"accuracy": 0.93}')
    for name, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise StageFailed(
                f"metrics.json: {name} is {json.dumps(value)}", fix="finite numbers alone, not nested"
            )
    return {name: float(value) for name, value in figures.items()}
