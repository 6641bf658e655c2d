"""`plan --locked`: whether the lock fits, without data."""

import argparse
import sys

from spark_build.app import Project
from spark_build.app.locking import locked_plan
from spark_build.cli.build import EXIT_STALE, print_plan
from spark_build.core.errors import UsageError

EXIT_UNFIT = 4


def run_locked_plan(project: Project, options: argparse.Namespace) -> int:
    if options.again:
        raise UsageError("--locked asks about the lock alone", fix="leave --again out")
    locked = locked_plan(project, options.targets, is_strict=options.strict)
    print_plan(locked.plan, options)
    for note in locked.notes():
        print(f"note: {note}", file=sys.stderr)
    project.close()
    if getattr(options, "check", False) and not locked.plan.is_done:
        return EXIT_STALE
    return 0 if locked.fits else EXIT_UNFIT
