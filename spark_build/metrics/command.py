"""Measures a model by a command of the user's own, which writes {output}/metrics.json."""

from collections.abc import Mapping
from typing import Any

from spark_build.contract import Context, Metric, Needs, Project
from spark_build.contract.command import CommandParams, keyed_params, needs_of_command, run_command
from spark_build.contract.command_run import figures_in


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
        figures = figures_in(written)
        written.unlink()  # the stage writes all figures into one file of this name
        return figures
