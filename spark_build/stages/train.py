"""Train: one recipe; its model checked, and what it came from written beside it."""

from spark_build.contract.context import Context
from spark_build.contract.rules import Recipe
from spark_build.core.errors import SparkError
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services
from spark_build.stages.contexts import step_context
from spark_build.stages.loading import failed, load
from spark_build.stages.results import trained


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Leaves `model/` and `training.json`. Errors: StageFailed without a model, or with a pickle."""
    (step,) = job.steps
    recipe = load(job, step, Recipe)
    try:
        recipe.train(step_context(context, job, step))
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, "training", error) from error
    return trained(job, step)
