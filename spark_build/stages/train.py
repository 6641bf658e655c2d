"""Train: one recipe; its model checked, and what it came from written beside it."""

from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.rules import Recipe
from spark_build.core.digest import canonical_json
from spark_build.core.errors import SparkError, StageFailed
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Services
from spark_build.stages.contexts import step_context
from spark_build.stages.loading import failed, load
from spark_build.stages.pickles import pickles_in, refuse_pickles

_IN_TRAINING_JSON = ("rule", "revision", "code", "params", "numerics", "libraries", "inputs")


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Leaves `model/` and `training.json`. Errors: StageFailed without a model, or with a pickle."""
    (step,) = job.steps
    recipe = load(job, step, Recipe)
    own = step_context(context, job, step)
    try:
        recipe.train(own)
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, "training", error) from error
    _check_model(step, Path(job.output))
    (Path(job.output) / "training.json").write_bytes(canonical_json(_training(own)) + b"\n")
    return Outcome(notes=_notes(step, Path(job.output)))


def _training(context: Context) -> dict[str, Any]:
    """What the key holds of this training: no times, paths, hosts or names of targets."""
    return {name: context.facts[name] for name in _IN_TRAINING_JSON if name in context.facts}


def _check_model(step: JobStep, output: Path) -> None:
    model = output / "model"
    if not model.is_dir() or not any(path.is_file() for path in model.rglob("*")):
        fix = "write into {output}" if step.rule == "command" else "a recipe writes context.output / 'model'"
        raise StageFailed(f"'{step.rule}' ended without a model", fix=fix)
    if step.rule != "command":
        refuse_pickles(step, output)


def _notes(step: JobStep, output: Path) -> dict[str, Any]:
    """What a command leaves is its own; pickles are told of, and never loaded."""
    found = pickles_in(output) if step.rule == "command" else []
    return {"pickles": found} if found else {}
