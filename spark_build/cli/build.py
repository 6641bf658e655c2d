"""`plan`, `build`, `check`, `up`."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import BuildOptions, Project
from spark_build.core.address import kind_of, typed
from spark_build.core.errors import UsageError
from spark_build.engine.states import Plan

if TYPE_CHECKING:
    from spark_build.engine.results import BuildResult

EXIT_STALE = 3


def project_of(options: argparse.Namespace) -> Project:
    return Project(
        options.folder,
        options.file,
        profile=options.profile,
        sets=tuple(options.sets or ()),
        offline=options.offline,
        limit=getattr(options, "limit", None) if options.command in ("plan", "build") else None,
        has_moved=getattr(options, "has_moved", False),
        walked=getattr(options, "walked", {}),
    )


def run_check(options: argparse.Namespace) -> int:
    from spark_build.app.graph_cache import check

    project = project_of(options)
    problems = check(project.request, project.lock, project.world)
    project.close()
    if options.json:
        print(json.dumps({"version": 1, "problems": problems}))
    elif not problems:
        print(f"{options.file}: no problems")
    if problems and not options.json:
        print("\n".join(problems), file=sys.stderr)
    return 2 if problems else 0


def run_plan(options: argparse.Namespace) -> int:
    project = project_of(options)
    if options.locked:
        _refuse_plan_file_of_the_lock(options)
        from spark_build.cli.locked import run_locked_plan

        return run_locked_plan(project, options)
    plan = project.plan(*options.targets, again=options.again, is_strict=options.strict)
    if options.planned is not None:
        from spark_build.app.plan_file import refuse_what_moved

        refuse_what_moved(options.planned, project, plan)
    if options.out:
        from spark_build.app.plan_file import write_plan_file

        write_plan_file(Path(options.out), project, plan, options.targets, options.again, options.strict)
    code = EXIT_STALE if getattr(options, "check", False) and not plan.is_done else 0
    tell_plan(project, plan, options, is_error=code != 0)
    project.close()
    return code


def _refuse_plan_file_of_the_lock(options: argparse.Namespace) -> None:
    """What the lock says of a checkout without data is no plan that a build could follow."""
    if options.out or options.planned is not None:
        raise UsageError("a plan file goes without --locked", fix="spark build --locked checks the lock too")


def run_build(options: argparse.Namespace) -> int:
    if options.plan is not None:
        _take_from_plan_file(options)
    if options.dry_run:
        return run_plan(options)
    return _build(project_of(options), options.targets, options)


def _take_from_plan_file(options: argparse.Namespace) -> None:
    """Everything that is asked comes from the plan. Errors: UsageError where something is asked besides."""
    from spark_build.app.plan_file import read_plan_file

    planned = read_plan_file(Path(options.plan))
    besides = {
        "a target": options.targets,
        "--profile": options.profile,
        "--set": options.sets,
        "--limit": options.limit,
        "--again": options.again,
        "--strict": options.strict,
        "--file": options.file not in ("Sparkfile.yaml", planned.file),
    }
    if given := [name for name, value in besides.items() if value]:
        raise UsageError(
            f"--plan says already what is asked; {', '.join(given)} can't be given besides",
            fix=f"spark build --plan {options.plan}",
        )
    options.planned = planned
    options.targets, options.again = list(planned.targets), list(planned.again)
    options.profile, options.sets, options.limit = planned.profile, planned.sets, planned.limit
    options.strict, options.file = planned.is_strict, planned.file


def run_up(options: argparse.Namespace) -> int:
    project = project_of(options)
    names = options.names or list(project.graph.deployments)
    if not names:
        raise UsageError(
            "this Sparkfile declares no deployments",
            fix="deployments: {chat: {model: …, use: transformers_serve}}",
        )
    return _build(project, [n if kind_of(n) == "deployment" else f"deployment:{n}" for n in names], options)


def _build(project: Project, targets: list[str], options: argparse.Namespace) -> int:
    began = time.monotonic()
    chosen = BuildOptions(
        jobs=getattr(options, "jobs", 0),
        again=tuple(getattr(options, "again", ())),
        is_locked=getattr(options, "locked", False),
        is_strict=getattr(options, "strict", False),
        fail_fast=getattr(options, "fail_fast", False),
        is_confirmed=getattr(options, "yes", False),
        planned=getattr(options, "planned", None),
        pushes=not getattr(options, "no_push", False),
        command=" ".join(["spark", *sys.argv[1:]]),
    )
    command = " ".join(["spark", options.command, *map(typed, targets)])
    with _display(project, command, options) as listener:
        result = project.build(*targets, options=chosen, listener=listener)
        listener.done(result, time.monotonic() - began)
    if project.request.is_override and not options.json:
        _tell_names(project, targets, result)
    project.close()
    return result.exit_code


def _tell_names(project: Project, targets: list[str], result: "BuildResult") -> None:
    """How the results of a build with overrides are addressed: they are in no lock."""
    if any(told.record is not None for told in result.results.values()):
        from spark_build.app.overrides import names_of_results
        from spark_build.report.words import listed

        names = list(map(typed, names_of_results(project, targets)))
        print(f"named {listed(names)}; spark keep writes the values into {project.request.file.name}")


def _display(project: Project, command: str, options: argparse.Namespace) -> Any:
    from spark_build.report.plain import JsonLines, PlainLines

    where = str(project.root)
    if options.json:
        return JsonLines(where, command)
    if not sys.stdout.isatty() or project.plan(*_targets(options)).is_done:
        # no panel, and no rich, where there is nothing to watch
        from spark_build.report.paint import Paint, is_colored

        return PlainLines(
            where, command, paint=Paint(is_colored(sys.stdout)), verbose=getattr(options, "verbose", False)
        )
    from spark_build.report.panel import display

    return display(project=where, resume=command, verbose=getattr(options, "verbose", False))


def _targets(options: argparse.Namespace) -> list[str]:
    return list(getattr(options, "targets", []) or [])


def tell_plan(
    project: Project,
    plan: Plan,
    options: argparse.Namespace,
    *,
    is_error: bool,
    title: str = "spark plan",
    notes: Sequence[str] = (),
) -> None:
    """As text, JSON, or for GitHub Actions."""
    if getattr(options, "format", "text") == "github":
        if options.json:
            raise UsageError("--json goes without --format", fix="leave one of them out")
        from spark_build.cli.github import print_for_github

        print_for_github(project, plan, title=title, is_error=is_error, notes=notes)
    else:
        _print_plan(plan, options)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _print_plan(plan: Plan, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(plan.to_json(), ensure_ascii=False))
        return
    from spark_build.report.paint import is_colored
    from spark_build.report.text import plan_text

    print(plan_text(plan, is_colored(sys.stdout), verbose=options.verbose))
