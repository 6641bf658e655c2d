"""The worker: runs one job in a process of its own and writes down what came of it."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from spark_build.core.disk import disk_problem
from spark_build.core.errors import SparkError, TransientError, UsageError
from spark_build.core.job import Job, JobResult, JobStep, Outcome
from spark_build.core.ports import Memo, Services
from spark_build.executors.audit import watching
from spark_build.executors.environment import secrets_of
from spark_build.executors.events import EventStream
from spark_build.executors.undeclared import allowance_of, refuse_undeclared, undeclared_note

DONE, FAILED, INTERRUPTED = 0, 1, 130

_RESERVED_BYTES = 8192
_MOST_TEXT = 4000  # characters of an error: it has to fit into what is reserved

RunStage = Callable[[Job, Services], Outcome]
MakeMemo = Callable[[Path, Callable[[str], None]], Memo]


def run_worker(job_path: Path | str, run_stage: RunStage, make_memo: MakeMemo) -> int:
    """The exit code; the JobResult lies at `job.result`, and whatever goes wrong is told there."""
    _prepare_process()
    job = _job(Path(job_path))
    report = EventStream(job.events, secrets_of(job, os.environ).values())
    try:
        services = Services(make_memo(Path(job.store, "memo"), report.log), report)
        with watching(allowance_of(job, os.environ)) as undeclared:
            outcome = run_stage(job, services)
        refuse_undeclared(job, undeclared)
        notes = {**report.notes, **outcome.notes, **undeclared_note(undeclared)}
        result = JobResult(True, outcome.metrics, outcome.items, notes)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as error:
        told = f"{_rule_of(job, error)} called sys.exit({error.code!r})"
        result = JobResult(False, error=told, fix="a rule raises an error that says what is wrong")
    except SparkError as error:
        result = _failed(error)
    except OSError as error:
        result = _failed(disk_problem(error, job.stage)) if error.errno else _unexpected(job, error)
    except Exception as error:
        result = _unexpected(job, error)
    finally:
        report.close()
    _write(result, job.result)
    return DONE if result.ok else FAILED


def _job(path: Path) -> Job:
    """Errors: UsageError where the file is no job, or its folders are gone."""
    try:
        job = Job.load(path)
        _reserve(job.result)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix="a build writes jobs and runs them") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{path} is no job of this version", fix="a build writes jobs and runs them"
        ) from None
    return job


def _prepare_process() -> None:
    import faulthandler

    with suppress(OSError, ValueError):  # a standard error that is no file
        faulthandler.enable()
    os.environ.pop("PYTHONPATH", None)  # it was for this process alone, not for the commands that it starts
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _reserve(path: str) -> None:
    """Room for the result, so that a full disk can still be told of."""
    Path(path).write_bytes(b" " * _RESERVED_BYTES)


def _write(result: JobResult, path: str) -> None:
    import json
    from dataclasses import asdict

    data = json.dumps(asdict(result)).encode()
    with open(path, "r+b", buffering=0) as file:
        file.write(data)
        file.truncate(len(data))


def _failed(error: SparkError) -> JobResult:
    """A problem that a user can act on: no traceback, its words say it all."""
    with suppress(OSError):
        print(error, file=sys.stderr)
    return JobResult(
        False, error=error.message[:_MOST_TEXT], fix=error.fix, transient=isinstance(error, TransientError)
    )


def _unexpected(job: Job, error: Exception) -> JobResult:
    """Its traceback is in the log; the message names the rule, the place in it, and what it said."""
    _say(error)
    told = f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(": ")
    fix = "its log has the whole traceback"
    if isinstance(error, MemoryError):
        told, fix = "MemoryError: out of memory", "use smaller batches, or build with fewer --jobs"
    return JobResult(False, error=f"{_rule_of(job, error)} failed: {told}"[:_MOST_TEXT], fix=fix)


def _say(error: BaseException) -> None:
    import traceback

    with suppress(OSError):  # the log may be on a full disk
        traceback.print_exception(error)


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
