"""Packages a model by a command of the user's own."""

from typing import Any

from spark_build.contract import Context, Exporter, Needs, Project
from spark_build.contract.command import CommandParams, keyed_params, needs_of_command, run_command
from spark_build.contract.command_run import check_wrote


class Params(CommandParams):
    pass


class Command(Exporter):
    """Finds the model as {inputs.model}, all of training as {inputs.trained}; {output} is the package."""

    Params = Params
    revision = 1

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return needs_of_command(params, project, ("model", "trained", "eval"))

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        return keyed_params(params)

    def export(self, context: Context) -> None:
        run_command(self.params, context, context.output)
        check_wrote(context.output, "write the package there: --out {output}")
