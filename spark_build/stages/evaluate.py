"""Evaluate: metrics in order over one split; what one has worked out the next may use."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from spark_build.contract.context import Context
from spark_build.contract.rules import Metric
from spark_build.core.digest import canonical_json
from spark_build.core.errors import SparkError, StageFailed
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Services
from spark_build.stages.contexts import step_context
from spark_build.stages.loading import failed, load


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Writes `metrics.json`: every figure, by name. Errors: StageFailed for a figure that is no number."""
    figures: dict[str, float] = {}
    for step in job.steps:
        found = _evaluate(job, step, context)
        for name, value in found.items():
            _add(figures, name, _finite(step, name, value), step)
        for name in sorted(found):
            services.report.metric(name, figures[name])
    ordered = dict(sorted(figures.items()))
    (Path(job.output) / "metrics.json").write_bytes(canonical_json(ordered) + b"\n")
    return Outcome(metrics=ordered)


def _evaluate(job: Job, step: JobStep, context: Context) -> Mapping[str, float]:
    """One metric's figures. It writes into a folder of its own, which stays if more is in it."""
    folder = Path(job.output) / f"{job.steps.index(step)}-{step.rule.rpartition(':')[2]}"
    folder.mkdir()
    metric = load(job, step, Metric)
    try:
        found = metric.evaluate(replace(step_context(context, job, step), output=folder))
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, f"on split '{context.split}'", error) from error
    (folder / "metrics.json").unlink(missing_ok=True)  # a command's own copy of its figures
    if not any(path.is_file() for path in folder.rglob("*")):
        shutil.rmtree(folder)
    return found


def _finite(step: JobStep, name: str, value: float) -> float:
    try:
        figure = float(value)
    except (TypeError, ValueError):
        figure = math.nan
    if not math.isfinite(figure):
        raise StageFailed(
            f"metric '{step.label or step.rule}' gave {value!r} for '{name}'",
            fix="look at the model's loss and at the split's rows: an empty split has no figure",
        )
    return figure


def _add(figures: dict[str, float], name: str, figure: float, step: JobStep) -> None:
    if figures.setdefault(name, figure) != figure:
        raise StageFailed(
            f"metric '{step.label or step.rule}' gives {figure} for '{name}', not {figures[name]}",
            fix="put them into two evals: `eval: {first: …, second: …}`",
        )
