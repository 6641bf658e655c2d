"""What came of a stage, whatever it raised: a JobResult with words that a user can act on. Imports nothing heavy."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from spark_build.core.disk import disk_problem
from spark_build.core.errors import SparkError, TransientError
from spark_build.core.job import Job, JobResult, JobStep, Outcome
from spark_build.executors.events import EventStream

_MOST_TEXT = 4000  # characters of an error: it has to fit into what a worker reserves


class Written(Protocol):
    def write(self, text: str, /) -> object: ...


def result_of(
    job: Job, report: EventStream, run: Callable[[], Outcome], log: Written | None = None
) -> JobResult:
    """What came of `run`, whatever it raises; said in `log` too, by default standard error."""
    try:
        outcome = run()
    except SystemExit as error:
        told = f"{_rule_of(job, error)} called sys.exit({error.code!r})"
        return JobResult(False, error=told, fix="a rule raises an error that says what is wrong")
    except SparkError as error:
        return _failed(error, log)
    except OSError as error:
        return _failed(disk_problem(error, job.stage), log) if error.errno else _unexpected(job, error, log)
    except Exception as error:
        return _unexpected(job, error, log)
    return JobResult(True, outcome.metrics, outcome.items, {**report.notes, **outcome.notes})


def _failed(error: SparkError, log: Written | None) -> JobResult:
    """A problem that a user can act on: no traceback, its words say it all."""
    with suppress(OSError):  # the log may be on a full disk
        print(error, file=log or sys.stderr)
    return JobResult(
        False, error=error.message[:_MOST_TEXT], fix=error.fix, transient=isinstance(error, TransientError)
    )


def _unexpected(job: Job, error: Exception, log: Written | None) -> JobResult:
    """Its traceback is in the log; the message names the rule, the place in it, and what it said."""
    import traceback

    with suppress(OSError):
        traceback.print_exception(error, file=log or sys.stderr)
    told = f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(": ")
    fix = "its log has the whole traceback"
    if isinstance(error, MemoryError):
        told, fix = "MemoryError: out of memory", "use smaller batches, or build with fewer --jobs"
    return JobResult(False, error=f"{_rule_of(job, error)} failed: {told}"[:_MOST_TEXT], fix=fix)


def _rule_of(job: Job, error: BaseException) -> str:
    """The rule that was running, with the line of its file where the traceback passes through one."""
    import traceback

    files = {_file_of(step): step for step in job.steps}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if step := files.get(frame.filename):
            return f"{_label(step)} ({os.path.basename(frame.filename)}:{frame.lineno})"
    return ", ".join(dict.fromkeys(_label(step) for step in job.steps)) or job.stage


def _label(step: JobStep) -> str:
    return f"'{step.label or step.rule}'"


def _file_of(step: JobStep) -> str | None:
    module = step.impl.rpartition(":")[0]
    return module if module.endswith(".py") else getattr(sys.modules.get(module), "__file__", None)
