"""Trains by a command of the user's own: what it writes to {output} is the model, whatever it is."""

from typing import Any

from pydantic import model_validator

from spark_build.contract import Context, Needs, Project, Recipe
from spark_build.contract.command import CommandParams, keyed_params, needs_of_command, run_command
from spark_build.contract.command_run import check_wrote
from spark_build.contract.params import Base, Field
from spark_build.contract.rules import needs_of_marked_fields
from spark_build.core.values import replace


class Params(CommandParams):
    base: Base | None = Field(None, description="What training starts from, found as {inputs.base}.")

    @model_validator(mode="after")
    def _one_base(self) -> "Params":
        if self.base is not None and "base" in self.inputs:
            raise ValueError("base stands under inputs: as well; keep one")
        return self


class Command(Recipe):
    """Finds its dataset as {inputs.dataset} (or by its role), its base as {inputs.base}."""

    Params = Params
    revision = 1

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        given = ("dataset", "base") if params.base is not None else ("dataset",)
        command = needs_of_command(params, project, given, takes_roles=True)
        base = needs_of_marked_fields(params, project)
        return replace(
            command,
            paths={**command.paths, **base.paths},
            models={**command.models, **base.models},
            hub=base.hub,
        )

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        return keyed_params(params)

    def train(self, context: Context) -> None:
        model = context.output / "model"
        model.mkdir(parents=True, exist_ok=True)
        run_command(self.params, context, model)
        check_wrote(model, "write the model there: --out {output}")
