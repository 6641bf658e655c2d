"""`plan --locked` and `lock`: whether the lock fits, without data; and locks merged."""

import argparse
import json
import sys
from pathlib import Path

from spark_build.app import Project
from spark_build.app.locking import locked_plan
from spark_build.cli.build import EXIT_STALE, tell_plan
from spark_build.core.errors import UsageError
from spark_build.pinning import LOCK_NAME

EXIT_UNFIT = 4


def run_locked_plan(project: Project, options: argparse.Namespace) -> int:
    if options.again:
        raise UsageError("--locked asks about the lock alone", fix="leave --again out")
    locked = locked_plan(project, options.targets, is_strict=options.strict)
    title = f"{LOCK_NAME} {'fits' if locked.fits else 'does not fit'}"
    tell_plan(project, locked.plan, options, is_error=not locked.fits, title=title, notes=locked.notes())
    project.close()
    if getattr(options, "check", False) and not locked.plan.is_done:
        return EXIT_STALE
    return 0 if locked.fits else EXIT_UNFIT


def run_lock(options: argparse.Namespace) -> int:
    if options.action == "setup":
        from spark_build.app.starting import set_up_merging

        lines = list(set_up_merging(Path(options.folder)))
        print(json.dumps({"version": 1, "done": lines}) if options.json else "\n".join(lines))
        return 0
    return _merge(Path(options.base), Path(options.ours), Path(options.theirs))


def _merge(base: Path, ours: Path, theirs: Path) -> int:
    from spark_build.pinning import merge_files

    merged = merge_files(base, ours, theirs)
    for name in merged.left_out:
        print(f"{LOCK_NAME}: both sides changed {name}: left out, spark build fills it in", file=sys.stderr)
    for group, name in merged.clashes:
        print(f"{LOCK_NAME}: both sides changed {group[:-1]} {name}: keep one of the two", file=sys.stderr)
    return 1 if merged.clashes else 0
