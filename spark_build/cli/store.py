"""`store check`, `store gc`, and where the other actions of `store` are."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spark_build.cli.build import project_of

if TYPE_CHECKING:
    from spark_build.storage.check import Finding

EXIT_DAMAGED = 4
EXIT_TOO_LARGE = 4


def run_store(options: argparse.Namespace) -> int:
    if options.action in ("push", "pull"):
        from spark_build.cli.transfer import run_pull, run_push

        return run_push(options) if options.action == "push" else run_pull(options)
    if options.action == "publish":
        from spark_build.cli.transfer import run_publish

        return run_publish(options)
    if options.action == "policy":
        from spark_build.cli.trust import run_policy

        return run_policy(options)
    if options.action == "gc":
        return _gc_remote(options) if options.remote else _gc(options)
    return _check_remote(options) if options.remote else _check(options)


def _check(options: argparse.Namespace) -> int:
    from spark_build.storage.check import check
    from spark_build.storage.local import LocalStore

    project = project_of(options)
    found = check(LocalStore(project.store, project.state), options.sample, options.seed)
    healed: list[str | None] = [None] * len(found)
    if options.repair:
        from spark_build.app.mending import mend

        told = mend(project, found)
        absent = [finding for finding in found if not finding.is_damage]
        found, healed = [m.finding for m in told] + absent, [m.healed for m in told] + [None] * len(absent)
    project.close()
    return _tell(options, found, healed)


def _check_remote(options: argparse.Namespace) -> int:
    from spark_build.app.remote_care import look_over

    project = project_of(options)
    told = look_over(project, options.sample, options.seed, repairs=options.repair)
    project.close()
    return _tell(options, [finding for finding, _ in told], [how for _, how in told])


def _tell(options: argparse.Namespace, found: "Sequence[Finding]", healed: Sequence[str | None]) -> int:
    from spark_build.core.values import asdict

    damaged = sum(finding.is_damage for finding in found)
    left = sum(f.is_damage and how is None for f, how in zip(found, healed, strict=True))
    if options.json:
        findings = [{**asdict(f), "healed": how} for f, how in zip(found, healed, strict=True)]
        print(json.dumps({"version": 1, "findings": findings}, default=str))
    else:
        lines = [
            f"{f.head}\n  healed: {how}" if how else str(f) for f, how in zip(found, healed, strict=True)
        ]
        print("\n".join([*lines, _summary(damaged, left, options.repair)]))
    return EXIT_DAMAGED if left else 0


def _summary(damaged: int, left: int, repairs: bool) -> str:
    if not damaged:
        return "nothing is damaged"
    return f"{damaged} damaged, {damaged - left} healed" if repairs else f"{damaged} damaged"


def _gc(options: argparse.Namespace) -> int:
    from spark_build.app.collecting import collect_garbage
    from spark_build.report.collected import collected_json, collected_text

    project = project_of(options)
    told, found = collect_garbage(
        project,
        builds=options.keep_builds,
        days=options.keep_days,
        most_bytes=options.max_size,
        with_history=options.history,
        is_dry=options.dry_run,
    )
    project.close()
    if options.json:
        print(json.dumps(collected_json(told, found.told, found.notes, is_dry=options.dry_run)))
    else:
        print(collected_text(told, found.told, found.notes, is_dry=options.dry_run))
    return 0 if told.fits else EXIT_TOO_LARGE


def _gc_remote(options: argparse.Namespace) -> int:
    from spark_build.app.remote_care import collect
    from spark_build.core.errors import UsageError
    from spark_build.report.collected import remote_json, remote_text

    if options.max_size is not None:
        raise UsageError("--max-size goes without --remote", fix="--keep-days says how much stays there")
    project = project_of(options)
    gone, found = collect(
        project,
        builds=options.keep_builds,
        days=options.keep_days,
        with_history=options.history,
        is_dry=options.dry_run,
    )
    project.close()
    told = remote_json if options.json else remote_text
    print(told(gone, found.told, found.notes, is_dry=options.dry_run))
    return 0
