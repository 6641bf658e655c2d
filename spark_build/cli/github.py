"""`plan --format github`: the summary goes where GitHub Actions asks for it, annotations to standard output."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from spark_build.app import Project
from spark_build.core.errors import UsageError
from spark_build.core.places import git_root
from spark_build.engine.states import Plan
from spark_build.report.github import MOST_BYTES, annotations, summary


def print_for_github(
    project: Project, plan: Plan, *, title: str, is_error: bool, notes: Sequence[str] = ()
) -> None:
    """Errors: UsageError where $GITHUB_STEP_SUMMARY can't be written."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        _append(Path(place), plan, title, notes)
    else:
        print(summary(plan, title=title, notes=notes))
    for line in annotations(plan, _declared(project), prefix=_prefix(project.root), is_error=is_error):
        print(line)


def _append(file: Path, plan: Plan, title: str, notes: Sequence[str]) -> None:
    try:
        # the limit holds for all that one step writes
        written = file.stat().st_size if file.exists() else 0
        with file.open("a", encoding="utf-8", errors="replace") as summaries:
            summaries.write(summary(plan, title=title, notes=notes, most_bytes=MOST_BYTES - written))
    except OSError as error:
        raise UsageError(f"GITHUB_STEP_SUMMARY: {file}: {error.strerror}", fix="unset it") from None


def _declared(project: Project) -> Mapping[str, str]:
    return {stage: node.at for stage, node in project.graph.nodes.items()}


def _prefix(root: Path) -> str:
    """The project's folder as the repository names it: `models/tickets/`."""
    found = git_root(str(root))
    top = Path(found) if found is not None else None
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if top is None and workspace and root.is_relative_to(Path(workspace).resolve()):
        top = Path(workspace).resolve()
    relative = root.relative_to(top).as_posix() if top is not None else "."
    return "" if relative == "." else f"{relative}/"
