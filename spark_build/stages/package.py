"""Package: one exporter over what a training gave."""

from spark_build.contract.context import Context
from spark_build.contract.rules import Exporter
from spark_build.core.errors import SparkError
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services
from spark_build.stages.contexts import step_context
from spark_build.stages.loading import failed, load
from spark_build.stages.results import packaged


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Errors: StageFailed where nothing was written, or a pickle."""
    (step,) = job.steps
    exporter = load(job, step, Exporter)
    try:
        exporter.export(step_context(context, job, step))
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, "exporting the model", error) from error
    return packaged(job, step)
