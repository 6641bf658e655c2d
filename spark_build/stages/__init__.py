"""Stage runners: what a worker does with a job. Rules are loaded by name; nothing here knows one."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from spark_build.core.errors import UsageError
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services

KINDS = ("ingest", "filter", "version", "train", "eval", "package")
_MODULES = {"eval": "evaluate"}


def run_stage(job: Job, services: Services) -> Outcome:
    """Runs the job's stage; its files lie in `job.output` then. Errors: SparkError."""
    from spark_build.stages.contexts import base_context

    if job.kind not in KINDS:
        raise UsageError(f"no runner for a stage of kind '{job.kind}'", fix=f"one of {', '.join(KINDS)}")
    runner = import_module(f"spark_build.stages.{_MODULES.get(job.kind, job.kind)}")
    outcome: Outcome = runner.run(job, base_context(job, services.report), services)
    return outcome


def load_rule_file(file: Path, project: Path) -> ModuleType:
    """A user's own rule as a module. Errors: UsageError with file and line where it can't be imported."""
    from spark_build.stages.loading import load_rule_file as load

    return load(file, project)
