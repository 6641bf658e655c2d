"""Evaluate: metrics in order over one split; what one has worked out the next may use."""

from collections.abc import Mapping

from spark_build.contract.context import Context
from spark_build.contract.rules import Metric
from spark_build.core.errors import SparkError
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Services
from spark_build.core.values import replace
from spark_build.stages.contexts import step_context
from spark_build.stages.loading import failed, load
from spark_build.stages.results import add_figures, folder_of_metric, measured, tidy_folder_of_metric


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Writes `metrics.json`: every figure, by name. Errors: StageFailed for a figure that is no number."""
    figures: dict[str, float] = {}
    for step in job.steps:
        add_figures(figures, _evaluate(job, step, context), step, services.report)
    return measured(job, figures)


def _evaluate(job: Job, step: JobStep, context: Context) -> Mapping[str, float]:
    """One metric's figures."""
    folder = folder_of_metric(job, step)
    folder.mkdir()
    metric = load(job, step, Metric)
    try:
        found = metric.evaluate(replace(step_context(context, job, step), output=folder))
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, f"on split '{context.split}'", error) from error
    tidy_folder_of_metric(folder)
    return found
