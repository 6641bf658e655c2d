"""The worker: runs one job in a process of its own and writes down what came of it."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from spark_build.core.errors import UsageError
from spark_build.core.job import Job, JobResult, Outcome
from spark_build.core.ports import Blobs, Memo, NoBlobs, Reporter, Services
from spark_build.core.spool import Spool
from spark_build.core.values import replace
from spark_build.executors import processes
from spark_build.executors.audit import watching
from spark_build.executors.environment import import_path, secrets_of
from spark_build.executors.events import EventStream
from spark_build.executors.helpers import HelperProcesses
from spark_build.executors.outcome import result_of
from spark_build.executors.undeclared import allowance_of, refuse_undeclared, undeclared_note

DONE, FAILED, INTERRUPTED = 0, 1, 130

DATA_KINDS = ("ingest", "filter", "version")

_RESERVED_BYTES = 8192
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_MAPPED_FROM_BYTES, _KEPT_BYTES = 16 << 20, 32 << 20  # what is larger is mapped; so much that is free stays

RunStage = Callable[[Job, Services], Outcome]
MakeMemo = Callable[[Job, Reporter], Memo]
MakeBlobs = Callable[[Job], Blobs]


def run_worker(
    job_path: Path | str,
    run_stage: RunStage,
    make_memo: MakeMemo,
    make_blobs: MakeBlobs = lambda job: NoBlobs(),
) -> int:
    """The exit code; the JobResult lies at `job.result`, and whatever goes wrong is told there."""
    prepare_process()
    job = _job(Path(job_path))
    if job.kind in DATA_KINDS:
        keep_freed_memory()
    report = EventStream(job.events, secrets_of(job, os.environ).values())

    helpers = HelperProcesses(job, str(job_path), import_path())

    def run() -> Outcome:
        memo, blobs = make_memo(job, report), make_blobs(job)
        services = Services(memo, report, blobs, Spool(Path(job.output).parent), helpers)
        with watching(allowance_of(job, os.environ)) as undeclared:
            outcome = run_stage(job, services)
            undeclared.files.update(helpers.seen.files)
            undeclared.hosts.update(helpers.seen.hosts)
        refuse_undeclared(job, undeclared)
        return replace(outcome, notes={**outcome.notes, **undeclared_note(undeclared)})

    try:
        result = result_of(job, report, run)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        helpers.close()
        report.close()
    _write(result, job.result)
    return DONE if result.ok else FAILED


def _job(path: Path) -> Job:
    """Errors: UsageError where the file is no job, or its folders are gone."""
    try:
        job = Job.load(path)
        _reserve(job.result)
    except OSError as error:
        raise UsageError(
            f"{error.filename or path}: {error.strerror}", fix="a build writes jobs and runs them"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{path} is no job of this version", fix="a build writes jobs and runs them"
        ) from None
    return job


def prepare_process() -> None:
    import faulthandler

    with suppress(OSError, ValueError):  # a standard error that is no file
        faulthandler.enable()
    os.environ.pop("PYTHONPATH", None)  # it was for this process alone, not for the commands that it starts
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def keep_freed_memory() -> None:
    """For arrays that come and go: each mapped and cleared anew, they cost a data stage up to a sixth of its time."""
    with suppress(OSError):  # a C library that has no such function
        mallopt = processes.function("mallopt")
        for parameter, size in ((_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES), (_M_TRIM_THRESHOLD, _KEPT_BYTES)):
            mallopt(parameter, size)


def _reserve(path: str) -> None:
    """Room for the result, so that a full disk can still be told of."""
    Path(path).write_bytes(b" " * _RESERVED_BYTES)


def _write(result: JobResult, path: str) -> None:
    data = result.to_bytes()
    with open(path, "r+b", buffering=0) as file:
        file.write(data)
        file.truncate(len(data))
