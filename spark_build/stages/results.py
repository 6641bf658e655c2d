"""What a stage of a model must have left, and what is written beside it. Imports nothing heavy."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.core.digest import canonical_json
from spark_build.core.errors import StageFailed
from spark_build.core.files import holds_a_file
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Reporter
from spark_build.stages.contexts import facts_of
from spark_build.stages.pickles import pickles_in, refuse_pickles

_IN_TRAINING_JSON = ("rule", "revision", "code", "params", "numerics", "libraries", "inputs")


def trained(job: Job, step: JobStep) -> Outcome:
    """Writes `training.json`. Errors: StageFailed without a model, or with a pickle."""
    output = Path(job.output)
    if not holds_a_file(output / "model"):
        fix = "write into {output}" if step.rule == "command" else "a recipe writes context.output / 'model'"
        raise StageFailed(f"'{step.rule}' ended without a model", fix=fix)
    notes = _notes(step, output)
    (output / "training.json").write_bytes(canonical_json(_training(facts_of(job, step))) + b"\n")
    return Outcome(notes=notes)


def packaged(job: Job, step: JobStep) -> Outcome:
    """Errors: StageFailed where nothing was written, or a pickle."""
    output = Path(job.output)
    if not holds_a_file(output):
        raise StageFailed(f"'{step.rule}' wrote nothing", fix="an exporter writes into context.output")
    return Outcome(notes=_notes(step, output))


def measured(job: Job, figures: Mapping[str, float]) -> Outcome:
    """Writes `metrics.json`: every figure, by name."""
    ordered = dict(sorted(figures.items()))
    (Path(job.output) / "metrics.json").write_bytes(canonical_json(ordered) + b"\n")
    return Outcome(metrics=ordered)


def add_figures(
    figures: dict[str, float], found: Mapping[str, float], step: JobStep, report: Reporter
) -> None:
    """One metric's figures to those of the others. Errors: StageFailed for one that is no number, or another's."""
    for name, value in found.items():
        figure = _finite(step, name, value)
        if figures.setdefault(name, figure) != figure:
            raise StageFailed(
                f"metric '{step.label or step.rule}' gives {figure} for '{name}', not {figures[name]}",
                fix="put them into two evals: `eval: {first: …, second: …}`",
            )
    for name in sorted(found):
        report.metric(name, figures[name])


def folder_of_metric(job: Job, step: JobStep) -> Path:
    """A metric writes into a folder of its own."""
    return Path(job.output) / f"{job.steps.index(step)}-{step.rule.rpartition(':')[2]}"


def tidy_folder_of_metric(folder: Path) -> None:
    """It stays if more is in it than a command's own copy of its figures."""
    (folder / "metrics.json").unlink(missing_ok=True)
    if not holds_a_file(folder):
        import shutil

        shutil.rmtree(folder)


def _training(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the key holds of this training: no times, paths, hosts or names of targets."""
    return {name: facts[name] for name in _IN_TRAINING_JSON if name in facts}


def _notes(step: JobStep, output: Path) -> dict[str, Any]:
    """What a command leaves is its own: pickles are told of, and never loaded. Errors: StageFailed elsewhere."""
    if step.rule != "command":
        refuse_pickles(step, output)
        return {}
    found = pickles_in(output)
    return {"pickles": found} if found else {}


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
