"""Stages that are one command: spawned as it stands, without a worker around it. Imports nothing heavy.

What its worker would do before and after (`train`, `evaluate`, `package`, and the rule `command` of each family)
is done by the build, with the same functions.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from spark_build.contract.command_process import TAIL_BYTES, failure, not_started
from spark_build.contract.command_run import CommandValues, Invocation, check_wrote, figures_in, invocation
from spark_build.contract.command_template import Placeholder, placeholders
from spark_build.core.errors import SparkError
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Reporter
from spark_build.stages.contexts import base_context, step_context
from spark_build.stages.results import (
    add_figures,
    folder_of_metric,
    measured,
    packaged,
    tidy_folder_of_metric,
    trained,
)

_IMPLS = {
    "train": "spark_build.recipes.command:Command",
    "eval": "spark_build.metrics.command:Command",
    "package": "spark_build.packaging.command:Command",
}


def direct_command(job: Job, env: Mapping[str, str], report: Reporter) -> "DirectCommand | None":
    """The job's one command, in `env`, its worker's environment; None where the job needs a worker.

    What is wrong with it before it runs is left to a worker to tell.
    """
    if len(job.steps) != 1 or job.steps[0].impl != _IMPLS.get(job.kind) or job.hub:
        return None
    (step,) = job.steps
    output = _output(job, step)
    context = step_context(base_context(job, report), job, step)
    try:
        command = invocation(_values(step), context, output, context.scratch, env)
    except SparkError:
        return None
    output.mkdir(parents=True, exist_ok=True)
    if Placeholder("scratch") in placeholders(step.params["run"]):
        context.scratch.mkdir(parents=True, exist_ok=True)
    return DirectCommand(job, step, command, output, report)


class DirectCommand:
    """`core.ports.Direct`."""

    tail_bytes: int = TAIL_BYTES

    def __init__(self, job: Job, step: JobStep, command: Invocation, output: Path, report: Reporter) -> None:
        self.words: Sequence[str] = command.words
        self.folder = str(command.folder)
        self.env: Mapping[str, str] = command.env
        self.secrets: Sequence[str] = command.secrets
        self.look: Callable[[], None] | None = command.progress.look if command.progress.places else None
        self._job, self._step, self._command = job, step, command
        self._output, self._report = output, report

    def outcome(self, status: int, errno: int | None, printed: bytes) -> Outcome:
        if errno is not None:
            raise not_started(self._command, errno)
        if status != 0:
            raise failure(self._command.shown, status, printed)
        self._command.end()
        return _OUTCOMES[self._job.kind](self)

    def trained(self) -> Outcome:
        check_wrote(self._output, "write the model there: --out {output}")
        return trained(self._job, self._step)

    def measured(self) -> Outcome:
        figures: dict[str, float] = {}
        add_figures(figures, figures_in(self._output / "metrics.json"), self._step, self._report)
        tidy_folder_of_metric(self._output)
        return measured(self._job, figures)

    def packaged(self) -> Outcome:
        check_wrote(self._output, "write the package there: --out {output}")
        return packaged(self._job, self._step)


_OUTCOMES: Mapping[str, Callable[[DirectCommand], Outcome]] = {
    "train": DirectCommand.trained,
    "eval": DirectCommand.measured,
    "package": DirectCommand.packaged,
}


def _output(job: Job, step: JobStep) -> Path:
    """What `{output}` stands for."""
    if job.kind == "eval":
        return folder_of_metric(job, step)
    return Path(job.output, "model") if job.kind == "train" else Path(job.output)


def _values(step: JobStep) -> CommandValues:
    given = step.params
    return CommandValues(given["run"], given["params"], given["env"], given["secrets"], given["progress"])
