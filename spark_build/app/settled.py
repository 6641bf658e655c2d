"""A plan without work, remembered with all that it rested on; it is taken again while each of these facts stands.

It rests on the graph (with all that shaped it), on what the world answered, on the files of the Records, on the
objects of the Artifacts that were asked for; that a build would write nothing rests on lock and journal as well.
What differs, whatever it is, leads to the planner.
"""

from __future__ import annotations  # what they name need not be loaded

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app.graph_cache import still_cached
from spark_build.core.digest import Digest, digest_json
from spark_build.core.errors import StoreDamaged
from spark_build.core.record import KnownRecord, Record
from spark_build.engine.noted import answers_alike
from spark_build.engine.results import Unmet, judged
from spark_build.engine.states import Plan, StagePlan
from spark_build.pinning import LOCK_NAME, digest_of_lock
from spark_build.storage.local import LocalStore

if TYPE_CHECKING:
    from spark_build.app import Project
    from spark_build.engine.plan import Planner

MOST_KEPT = 8  # per project: one for each way of asking


@dataclass(frozen=True)
class Settled:
    """The plan, and what a build of it comes to."""

    plan: Plan
    unmet: tuple[Unmet, ...]
    is_written_down: bool  # a build of it changes neither lock nor journal


def recall(project: Project, addresses: Sequence[str], *, is_strict: bool) -> Settled | None:
    """The settled plan of this question, where all that it rested on still stands."""
    kept = project.state.get(_name(project, addresses, is_strict))
    if kept is None:
        return None
    facts: dict[str, Any] = json.loads(kept)
    if not _stands(project, facts):
        return None
    store = LocalStore(project.root / facts["store"], project.state)
    plan = Plan(tuple(_stage_plans(facts, store)))
    return Settled(plan, tuple(_unmet(facts["unmet"])), facts["is_written_down"])


def keep(
    project: Project,
    addresses: Sequence[str],
    planner: Planner,
    plan: Plan,
    *,
    is_strict: bool,
    is_written_down: bool,
) -> None:
    """Remembers a plan all of whose stages are fresh, as `planner` has just found it."""
    if not plan.stages or not all(map(_is_plain, plan.stages)) or project.deployments_of(addresses):
        return  # what runs is looked at, never remembered
    try:
        facts = _facts(project, planner, plan, project.stages_of(addresses))
    except (StoreDamaged, KeyError):  # somebody takes objects away just now
        return
    if facts["records"] is None or facts["objects_fold"] is None:
        return
    name = _name(project, addresses, is_strict)
    kept = [known for known in project.state.names("settled:") if known != name]
    for known in kept[MOST_KEPT - 1 :]:
        project.state.drop(known)
    project.state.put(name, json.dumps({**facts, "is_written_down": is_written_down}).encode())


def unmet_of(project: Project, plan: Plan) -> list[Unmet]:
    """Requirements are judged on recorded figures, at every build."""
    found: list[Unmet] = []
    for stage in plan.stages:
        node = project.graph.nodes[stage.stage]
        if node.requires and stage.record is not None:
            found += judged(node, stage.record)
    return found


def _name(project: Project, addresses: Sequence[str], is_strict: bool) -> str:
    return f"settled:{digest_json([project.request.name, list(addresses), is_strict, project.offline])}"


def _stands(project: Project, facts: Mapping[str, Any]) -> bool:
    # first of all the graph: it knows the tool's version, and another's facts may look otherwise
    if still_cached(project.request, project.world, project.state) != facts["graph"]:
        return False
    store = LocalStore(project.root / facts["store"], project.state)
    project.world.prefetch(facts["answers"]["tree"])
    return (
        digest_of_lock(project.root / LOCK_NAME) == facts["lock"]
        and project.journal_in(Path(store.folder)).digest() == facts["journal"]
        and store.records.fold(facts["keys"].split()) == facts["records"]
        and store.objects.fold(facts["objects"].split()) == facts["objects_fold"]
        and answers_alike(project.world, facts["answers"])
    )


def _facts(project: Project, planner: Planner, plan: Plan, asked: Sequence[str]) -> dict[str, Any]:
    """Long columns stand as one text each: JSON reads them many times faster than lists."""
    keys = [str(stage.key) for stage in plan.stages]
    objects = _objects_of(project, plan, set(asked))
    return {
        "graph": project.loaded.cached_as,
        "lock": project.lock.digest,
        "journal": project.journal.digest(),
        "store": os.path.relpath(project.store, project.root),
        "answers": planner.world.answers(),
        "records": project.records.fold(keys),
        "objects": "\n".join(objects),
        "objects_fold": None if project.objects.unsound(objects) else project.objects.fold(objects),
        "stages": "\n".join(stage.stage for stage in plan.stages),
        "keys": "\n".join(keys),
        "outputs": "\n".join(str(stage.output) for stage in plan.stages),
        "seconds": [stage.seconds for stage in plan.stages],
        "items": [stage.record.items if stage.record else None for stage in plan.stages],
        "unmet": [(u.stage, asdict(u.requirement), u.figure) for u in unmet_of(project, plan)],
    }


def _objects_of(project: Project, plan: Plan, asked: set[str]) -> list[Digest]:
    """All objects of the Artifacts that were asked for, their listings included."""
    found: dict[Digest, None] = {}
    for output in {str(stage.output) for stage in plan.stages if stage.stage in asked}:
        found[output] = None
        found.update(dict.fromkeys(entry.digest for entry in project.objects.tree(output)))
    return list(found)


def _stage_plans(facts: Mapping[str, Any], store: LocalStore) -> Iterator[StagePlan]:
    columns = (facts[name].split("\n") for name in ("stages", "keys", "outputs"))
    for stage, key, output, seconds, items in zip(*columns, facts["seconds"], facts["items"], strict=True):
        record = KnownRecord(partial(_read, store, key), key=key, output=output, seconds=seconds, items=items)
        yield StagePlan(stage, "fresh", key, output, seconds=seconds, record=record)


def _unmet(kept: Sequence[Any]) -> Iterator[Unmet]:
    for stage, asked, figure in kept:
        from spark_build.engine.graph import Requirement

        yield Unmet(stage, Requirement(**asked), figure)


def _read(store: LocalStore, key: Digest) -> Record:
    record = store.records.get(key)
    if record is None:
        raise StoreDamaged(f"the record of {key[:12]} went away meanwhile", fix="run it again")
    return record


def _is_plain(stage: StagePlan) -> bool:
    """Fresh, with nothing more to tell: no drift, no cause."""
    plain = StagePlan(stage.stage, "fresh", stage.key, stage.output, seconds=stage.seconds)
    return replace(stage, manifest=None, record=None) == plain
