"""`store check`, `store gc`, and where the other actions of `store` are."""

import argparse
import json

from spark_build.cli.build import project_of

EXIT_DAMAGED = 4
EXIT_TOO_LARGE = 4


def run_store(options: argparse.Namespace) -> int:
    if options.action in ("push", "pull"):
        from spark_build.cli.transfer import run_pull, run_push

        return run_push(options) if options.action == "push" else run_pull(options)
    if options.action == "policy":
        from spark_build.cli.trust import run_policy

        return run_policy(options)
    return _gc(options) if options.action == "gc" else _check(options)


def _check(options: argparse.Namespace) -> int:
    from spark_build.core.values import asdict
    from spark_build.storage.check import check

    project = project_of(options)
    found = check(project.local_store)
    damaged = sum(f.is_damage for f in found)
    if options.json:
        print(json.dumps({"version": 1, "findings": [asdict(f) for f in found]}, default=str))
    else:
        print("\n".join([*map(str, found), f"{damaged} damaged" if damaged else "nothing is damaged"]))
    project.close()
    return EXIT_DAMAGED if damaged else 0


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
