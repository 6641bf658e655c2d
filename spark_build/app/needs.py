"""What of a store is needed: by locks in git, tags, the last builds, overrides' runs, acceptances, today's plan."""

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from spark_build.app import Project
from spark_build.core.errors import SparkError
from spark_build.core.values import Struct, field
from spark_build.pinning import LOCK_NAME
from spark_build.serving import ledger
from spark_build.storage.claims import untouched_before
from spark_build.storage.gc import Needs
from spark_build.storage.git_locks import GitLocks, git_locks
from spark_build.storage.journal import Journal
from spark_build.storage.runs import Runs

_SECONDS_PER_DAY = 86_400.0
# Of stages, tags and pins alike, in a lock of any version, with conflict markers or without
_NAMED = re.compile(rb'^(key|output|before\..+?) = "([0-9a-f]{64})"\r?$', re.MULTILINE)


class Found(Struct):
    """What is needed, and by what."""

    needs: Needs
    told: dict[str, int] = field(default_factory=dict)  # how many of each: locks, refs, builds, …
    notes: list[str] = field(default_factory=list)


def needs_of(project: Project, *, builds: int, days: float, with_history: bool) -> Found:
    """Errors: SparkError where that can't be told."""
    since = time.time() - days * _SECONDS_PER_DAY
    # first of all: who ends from here on has written what it needs before it is read
    found = Found(Needs(untouched_before=untouched_before(project.local_store.folder), young_since=since))
    _by_locks(project, found, git_locks(project.root, LOCK_NAME, with_history=with_history))
    _by_builds(project, found, builds)
    accepted = {acceptance.record for acceptance in project.acceptances.all()}
    found.needs.keys |= accepted
    found.told["acceptances"] = len(accepted)
    _by_servers(project, found)
    _by_plan(project, found)
    return found


def _by_locks(project: Project, found: Found, of_git: GitLocks) -> None:
    texts = {*of_git.texts, *_read([project.root / LOCK_NAME])}
    for text in texts:
        for name, digest in _NAMED.findall(text):
            (found.needs.outputs if name == b"output" else found.needs.keys).add(digest.decode())
    found.told |= {"locks": len(texts), "refs": of_git.refs, "commits": of_git.commits}


def _by_builds(project: Project, found: Found, newest: int) -> None:
    """Of each Sparkfile whose results lie in the store."""
    found.told |= {"builds": 0, "runs": 0}
    for folder in _folders_with_json(project.store / "builds"):
        for entry in Journal(folder, project.state).entries(newest) if newest else ():
            found.needs.keys |= {str(told["key"]) for told in entry.stages.values() if told.get("key")}
            found.told["builds"] += 1
    for folder in _folders_with_json(project.store / "runs"):
        for run in Runs(folder).all():
            found.needs.keys |= set(run.stages.values())
            found.told["runs"] += 1


def _by_servers(project: Project, found: Found) -> None:
    """What a running deployment has open lies in a view."""
    views = project.store / "views"
    for folder in _folders_with_json(project.store / "deployments"):
        for file in folder.glob("*.json"):
            for entry in ledger.read(folder, file.stem).entries:
                model = Path(entry.model)
                if entry.is_alive() and model.is_relative_to(views):
                    found.needs.views.add(model.relative_to(views).parts[0])
    for record in project.records.all() if found.needs.views else ():
        if any(record.output.startswith(name) for name in found.needs.views):
            found.needs.outputs.add(record.output)
    found.told["servers"] = len(found.needs.views)


def _by_plan(project: Project, found: Found) -> None:
    """So that gc makes nothing stale: also results that no build has taken since they came to count again."""
    try:
        plan = project.planner().plan(list(project.graph.nodes))
    except SparkError as error:
        first = error.message.splitlines()[0]
        found.notes.append(f"what only today's plan needs is not known, and goes: {first}")
        return
    found.needs.keys |= {stage.record.key for stage in plan.stages if stage.record is not None}
    found.needs.actions |= {stage.key for stage in plan.stages if stage.key is not None}
    found.told["stages"] = sum(stage.record is not None for stage in plan.stages)


def _folders_with_json(folder: Path) -> list[Path]:
    return sorted({file.parent for file in folder.rglob("*.json")})


def _read(files: Iterable[Path]) -> Iterator[bytes]:
    return (file.read_bytes() for file in files if file.exists())
