"""Package: one exporter over what a training gave."""

from pathlib import Path

from spark_build.contract.context import Context
from spark_build.contract.rules import Exporter
from spark_build.core.errors import SparkError, StageFailed
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services
from spark_build.stages.contexts import step_context
from spark_build.stages.loading import failed, load
from spark_build.stages.pickles import pickles_in, refuse_pickles


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Errors: StageFailed where nothing was written, or a pickle."""
    (step,) = job.steps
    exporter = load(job, step, Exporter)
    output = Path(job.output)
    try:
        exporter.export(step_context(context, job, step))
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, "exporting the model", error) from error
    if not any(path.is_file() for path in output.rglob("*")):
        raise StageFailed(f"'{step.rule}' wrote nothing", fix="an exporter writes into context.output")
    if step.rule == "command":
        found = pickles_in(output)
        return Outcome(notes={"pickles": found} if found else {})
    refuse_pickles(step, output)
    return Outcome()
