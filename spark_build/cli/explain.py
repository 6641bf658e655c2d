"""`why`, `diff` and `accept`: what a result rests on, what tells two apart, what a user takes one for."""

import argparse
import json
import sys
from typing import Any

from spark_build.app import Project
from spark_build.cli.build import project_of
from spark_build.core.address import kind_of, target_of, typed
from spark_build.core.errors import UsageError
from spark_build.core.forgotten import Tombstone


def run_why(options: argparse.Namespace) -> int:
    project = project_of(options)
    if options.item is not None:
        _tell_item(project, options)
        return 0
    from spark_build.app.explaining import why
    from spark_build.report.paint import is_colored
    from spark_build.report.why import why_text

    told = why(project, options.stage)
    project.close()
    if options.json:
        print(json.dumps(told.to_json(), ensure_ascii=False))
    else:
        print(why_text(told, color=is_colored(sys.stdout)))
    return 0


def _tell_item(project: Project, options: argparse.Namespace) -> None:
    """What became of one item of a dataset."""
    from spark_build.app.results import checked_out
    from spark_build.report.shows import item_rows, item_text
    from spark_build.report.words import printable

    stage = project.main_stage(options.stage)
    if kind_of(stage) != "dataset":
        raise UsageError(f"{stage} has no items", fix="spark why dataset:NAME ITEM")
    if (tombstone := _tombstone(project, stage, options.item)) is not None:
        gone = f"forgotten on {tombstone.at}{f': {tombstone.reason}' if tombstone.reason else ''}"
        found = [{"reason": "forgotten", "detail": gone}]
        line = json.dumps(
            {"version": 1, "stage": stage, "item": options.item, "found": found}, ensure_ascii=False
        )
        print(line if options.json else printable(f"{options.item}  {gone}"))
        return
    folder = checked_out(project, stage)
    if options.json:
        told = {"version": 1, "stage": stage, "item": options.item, "found": item_rows(folder, options.item)}
        print(json.dumps(told, ensure_ascii=False, default=str))
    else:
        print(item_text(folder, options.item))


def _tombstone(project: Project, stage: str, item: str) -> Tombstone | None:
    """What the lock says of an item that is to be forgotten."""
    if not project.lock.names("forgotten"):
        return None
    from spark_build.app.forgetting import forgotten_item

    return forgotten_item(project, target_of(stage), item)


def run_diff(options: argparse.Namespace) -> int:
    from spark_build.app.diffing import diff
    from spark_build.report.diff import diff_text
    from spark_build.report.paint import is_colored

    project = project_of(options)
    found = diff(project, options.a, options.b, examples=options.limit)
    project.close()
    if options.json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        print(diff_text(found, color=is_colored(sys.stdout)))
    return 0


def run_accept(options: argparse.Namespace) -> int:
    from spark_build.app.accepting import accept, accepted, revoke
    from spark_build.report.accepted import acceptance_text, acceptances_text, revoked_text

    _refuse_unclear_accept(options)
    project = project_of(options)
    told: dict[str, Any]
    if options.list:
        found = accepted(project)
        text, told = acceptances_text(found), {"acceptances": [a.to_json() for a in found]}
    elif options.revoke:
        gone = revoke(project, options.stage)
        text, told = revoked_text(gone), {"revoked": [a.to_json() for a in gone]}
    else:
        made = accept(project, options.stage, options.reason, build=options.build)
        text, told = acceptance_text(made), {"acceptance": made.to_json()}
    project.close()
    print(json.dumps({"version": 1, **told}, ensure_ascii=False) if options.json else text)
    return 0


def _refuse_unclear_accept(options: argparse.Namespace) -> None:
    if options.list and (options.stage or options.revoke or options.reason is not None):
        raise UsageError("--list stands alone", fix="spark accept --list")
    if options.list:
        return
    if options.stage is None:
        raise UsageError("accept which stage?", fix="spark accept STAGE --reason TEXT, or --list")
    if options.revoke and (options.reason is not None or options.build is not None):
        raise UsageError("--revoke takes only a stage", fix=f"spark accept --revoke {typed(options.stage)}")
    if not options.revoke and options.reason is None:
        raise UsageError(
            "an acceptance needs a reason",
            fix=f"spark accept {typed(options.stage)} --reason 'only comments changed'",
        )
