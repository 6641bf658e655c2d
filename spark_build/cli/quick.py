"""`plan` and `build` of a project where nothing has moved: told from what has settled, before anything else is loaded.

Everything else, and every other way of asking or telling, is `cli.build`'s.
"""

from __future__ import annotations  # what they name need not be loaded

import os

from spark_build.report.fresh import nothing_to_do
from spark_build.settled import Question, Settled, recall

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    import argparse


def run_plan(options: argparse.Namespace) -> int:
    asks_more = options.json or options.format != "text" or options.out or options.locked
    if not asks_more and (settled := _settled(options)) is not None:
        print(nothing_to_do(settled.count))
        return 0
    from spark_build.cli import build

    return build.run_plan(options)


def run_build(options: argparse.Namespace) -> int:
    asks_more = options.locked or options.dry_run or options.plan is not None or _is_override(options)
    settled = None if asks_more else _settled(options)
    if settled is not None and settled.is_written_down and not settled.facts["unmet"]:
        print(settled.told if options.json else f"{nothing_to_do(settled.count)}\n", end="")
        return 0
    from spark_build.cli import build

    return build.run_build(options)


def _settled(options: argparse.Namespace) -> Settled | None:
    if options.verbose or options.again:
        return None
    from spark_build.core.places import Place

    if not os.path.isdir(options.folder):
        return None
    question = Question(
        Place(options.folder, options.file),
        options.targets,
        profile=options.profile,
        sets=options.sets or (),
        limit=options.limit,
        is_strict=options.strict,
        is_offline=options.offline,
    )
    settled = recall(question, os.environ)
    options.has_moved, options.walked = settled is None, question.walked
    # files that were too young to be trusted are for the application to read again
    return settled if settled is not None and not any(settled.facts["answers"].values()) else None


def _is_override(options: argparse.Namespace) -> bool:
    return bool(options.profile or options.sets or options.limit is not None)
