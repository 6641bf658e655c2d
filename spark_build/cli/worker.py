"""`worker`: one job in this process, or many in forks of it. Nothing that only a build needs is loaded."""

import argparse
from pathlib import Path

from spark_build.core.errors import UsageError

_OF_DATASETS = (
    "spark_build.stages.ingest",
    "spark_build.stages.filter",
    "spark_build.stages.version",
    "spark_build.storage.guarded_memo",
    "spark_build.storage.blobs",
    "pyarrow.parquet",
)
_OF_MODELS = (
    "spark_build.stages.train",
    "spark_build.stages.evaluate",
    *_OF_DATASETS,
    "torch",
    "transformers.modeling_utils",
)


def run_worker(options: argparse.Namespace) -> int:
    if options.link is not None:
        from spark_build.cli import main
        from spark_build.executors.warm import serve

        modules = _OF_MODELS if options.loads == "models" else _OF_DATASETS
        serve(options.link, (__name__, "spark_build.executors.worker", *modules), main)
    if options.job is None:
        raise UsageError("worker needs a job", fix="a build writes jobs and runs them")
    from spark_build.storage.blobs import blobs_of

    if options.helper is not None:
        from spark_build.executors.helper import run_helper
        from spark_build.stages.helping import Helping

        run_helper(
            Path(options.job),
            options.helper[0],
            options.helper[1],
            lambda job, blobs, note: Helping(job, blobs, note).answers,
            blobs_of,
        )
    from spark_build.executors.worker import run_worker as run
    from spark_build.stages import run_stage
    from spark_build.storage.guarded_memo import memo_of

    return run(Path(options.job), run_stage, memo_of, blobs_of)
