"""`store push`, `store pull` and `store publish`."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spark_build.app.transferring import Transferred, pull, push
from spark_build.cli.build import project_of

if TYPE_CHECKING:
    from spark_build.remote.publications import Published
    from spark_build.report.plain import PlainLines


def run_push(options: argparse.Namespace) -> int:
    project = project_of(options)
    done, warnings = push(project, options.targets, _Progress(options.folder))
    project.close()
    return _tell(options, done, "pushed", warnings)


def run_pull(options: argparse.Namespace) -> int:
    project = project_of(options)
    done = pull(project, options.targets, _Progress(options.folder), is_locked=options.locked)
    project.close()
    return _tell(options, done, "fetched")


def run_publish(options: argparse.Namespace) -> int:
    from spark_build.app.publishing import publish_results, withdraw

    project = project_of(options)
    if options.withdraw:
        done = [(published, 0) for published in withdraw(project, options.targets)]
    else:
        done = publish_results(project, options.targets, _Progress(options.folder), again=options.again)
    project.close()
    if options.json:
        print(json.dumps({"version": 1, "published": [_published(*one) for one in done]}))
    else:
        print("\n".join(_published_line(published) for published, _ in done))
    return 0


def _published(published: "Published", sent: int) -> dict[str, Any]:
    now, before = published.publication, published.before
    return {
        "name": now.name,
        "output": now.output,
        "serial": now.serial,
        "is_new": published.is_new,
        "replaced": before.output if before is not None and published.is_new else None,
        "bytes": sent,
    }


def _published_line(published: "Published") -> str:
    now, before = published.publication, published.before
    stands = f"{now.name} is {now.output[:12]}" if now.output else f"{now.name} is withdrawn"
    if not published.is_new:
        return f"{stands}, as before"
    return f"{stands}, was {before.output[:12]}" if before is not None and before.output else stands


class _Progress:
    """Goes to standard error: what is printed is the result. Loaded once there is something to tell."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @cached_property
    def _lines(self) -> "PlainLines":
        from spark_build.report.plain import PlainLines

        return PlainLines(self._folder, "spark store", stream=sys.stderr)

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._lines.event(stage, {"event": "progress", "done": done, "total": total, "unit": "bytes"})


def _tell(
    options: argparse.Namespace, done: Iterable[Transferred], what: str, warnings: Sequence[str] = ()
) -> int:
    done = list(done)
    moved = [one for one in done if one.is_new]
    if options.json:
        stages: list[dict[str, Any]] = [
            {"stage": one.stage, "output": one.output, "bytes": one.bytes, what: one.is_new} for one in done
        ]
        print(json.dumps({"version": 1, "stages": stages, "warnings": list(warnings)}))
    else:
        from spark_build.report.words import count, size

        for one in moved:
            print(f"{what:8} {one.stage}  {size(one.bytes) if one.bytes else 'its record'}")
        total, rest = size(sum(one.bytes for one in moved)), count(len(done) - len(moved), "stage")
        print(f"{total} {what}; {rest} there already" if moved else f"nothing to do: {rest} there already")
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)
    return 0
