"""Settled plans of a project: taken again as plans, and kept where one came out all fresh."""

from __future__ import annotations  # what they name need not be loaded

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

from spark_build import settled as files
from spark_build.core.digest import Digest
from spark_build.core.errors import StoreDamaged
from spark_build.core.record import Record, known_record
from spark_build.core.values import asdict, replace
from spark_build.engine.noted import answers_alike
from spark_build.engine.results import BuildResult, StageResult, Unmet, judged
from spark_build.engine.states import Plan, StagePlan
from spark_build.graph_stamp import digest_of_variable
from spark_build.pinning import LOCK_NAME
from spark_build.settled import Question, Settled
from spark_build.storage.local import LocalStore
from spark_build.storage.stats import stat_line

if TYPE_CHECKING:
    from spark_build.app import Project
    from spark_build.engine.build import Listener
    from spark_build.engine.plan import Planner


def recall(project: Project, addresses: Sequence[str], *, is_strict: bool) -> Settled | None:
    """The settled plan of this question, where all that it rested on still stands."""
    question = question_of(project, addresses, is_strict=is_strict)
    settled = files.recall(question, project.environment)
    if settled is None:
        return None
    asked = settled.facts["answers"]
    project.world.prefetch(asked["tree"])
    if not answers_alike(project.world, asked):
        return None
    if asked["tree"] or asked["file"]:  # their stats were too young to be trusted, and may be so no longer
        files.keep(question, _with_stats(project, settled))
    return settled


def plan_of(project: Project, settled: Settled) -> Plan:
    store = LocalStore(project.root / settled.facts["store"], project.state)
    return Plan(tuple(_stage_plans(settled, store)))


def unmet_in(settled: Settled) -> Iterator[Unmet]:
    for stage, asked, figure in settled.facts["unmet"]:
        from spark_build.engine.graph import Requirement

        yield Unmet(stage, Requirement(**asked), figure)


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
        settled = _settled(project, planner, plan, project.stages_of(addresses), is_written_down)
    except (StoreDamaged, KeyError, FileNotFoundError):  # somebody takes objects away just now
        return
    if settled is not None:
        project.state.flush()  # beside which the file lies
        files.keep(question_of(project, addresses, is_strict=is_strict), settled)


def unmet_of(project: Project, plan: Plan) -> list[Unmet]:
    """Requirements are judged on recorded figures, at every build."""
    found: list[Unmet] = []
    for stage in plan.stages:
        node = project.graph.nodes[stage.stage]
        if node.requires and stage.record is not None:
            found += judged(node, stage.record)
    return found


def tell_fresh(plan: Plan, unmet: Sequence[Unmet], listener: Listener) -> BuildResult:
    """A build without work: nothing heavy is imported, nothing is written per stage."""
    result = BuildResult(unmet=list(unmet))
    for stage in plan.stages:
        told = StageResult(stage.stage, "fresh", 0.0, stage.record, drift=stage.drift)
        result.results[stage.stage] = told
        listener.finished(told)
    return result


def question_of(project: Project, addresses: Sequence[str], *, is_strict: bool) -> Question:
    request = project.request
    return Question(
        project.place,
        addresses,
        profile=request.profile,
        sets=request.sets,
        limit=request.limit,
        is_strict=is_strict,
        is_offline=project.offline,
    )


def _settled(
    project: Project, planner: Planner, plan: Plan, asked: Sequence[str], is_written_down: bool
) -> Settled | None:
    """None where an object or a Record is not as it should be."""
    keys = [str(stage.key) for stage in plan.stages]
    objects = _objects_of(project, plan, set(asked))
    folds = {"records": project.records.fold(keys), "objects": project.objects.fold(objects)}
    if None in folds.values() or project.objects.unsound(objects):
        return None
    facts: dict[str, Any] = {
        **folds,
        **_facts_of_the_world(project, planner),
        "graph": project.loaded.shaped_by,
        "lock_name": LOCK_NAME,
        "lock": project.lock.digest,
        "store": os.path.relpath(project.store, project.root),
        "journal": files.journal_names(str(project.store), project.place),
        "unmet": [(u.stage, asdict(u.requirement), u.figure) for u in unmet_of(project, plan)],
        "count": len(plan.stages),
        "is_written_down": is_written_down,
    }
    if is_written_down and project.request.is_override:
        facts["files"] |= _file_of_run(project)
    stages = json.dumps([_row(stage) for stage in plan.stages])
    return Settled(facts, "\n".join(keys), "\n".join(objects), stages, _told(plan))


def _file_of_run(project: Project) -> dict[str, str]:
    """What a build with overrides has written instead of the lock, with its stats."""
    from spark_build.app.overrides import file_of_run

    path = file_of_run(project)
    return {os.path.relpath(path, project.root): stat_line(os.stat(path))}


def _facts_of_the_world(project: Project, planner: Planner) -> dict[str, Any]:
    code = project.loaded.shaped_by["sources"]
    for path in code:
        project.world.file(path)  # so that its stats are known
    answers = planner.world.answers()
    asked = {**answers, "file": {**answers["file"], **code}}
    return {
        **_stats_behind(project, asked),
        "env": {name: digest_of_variable(project.world.env(name)) for name in answers["env"]},
        "tools": {name: _look_behind(project, name, version) for name, version in answers["tool"].items()},
        "libraries": answers["library"],
    }


def _look_behind(project: Project, tool: str, version: str | None) -> str:
    behind = project.world.behind("tool", tool, str(version))
    return behind.stats if behind is not None else ""  # which no tool looks like


def _stats_behind(project: Project, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What these answers rest on; in `answers` those that have to be asked for again, one by one."""
    found: dict[str, Any] = {"files": {}, "folders": {}, "absent": []}
    rest: dict[str, dict[str, Any]] = {"tree": {}, "file": {}}
    for kind in ("tree", "file"):
        for name, answer in answers[kind].items():
            path = name.partition("\0")[0]
            behind = project.world.behind(kind, name, answer)
            if answer is None:
                found["absent"].append(path)
            elif behind is not None and behind.is_folder:
                found["folders"][name] = behind.stats
            elif behind is None or found["files"].setdefault(path, behind.stats) != behind.stats:
                rest[kind][name] = answer
    return {**found, "answers": rest}


def _with_stats(project: Project, settled: Settled) -> Settled:
    """The same, resting on stats where they can be trusted by now."""
    facts = dict(settled.facts)
    now = _stats_behind(project, facts["answers"])
    for kind in ("files", "folders"):
        now[kind] = {**facts[kind], **now[kind]}
    now["absent"] = [*facts["absent"], *now["absent"]]
    return Settled({**facts, **now}, settled.keys, settled.objects, settled.stages, settled.told)


def _objects_of(project: Project, plan: Plan, asked: set[str]) -> list[Digest]:
    """All objects of the Artifacts that were asked for, their listings included."""
    found: dict[Digest, None] = {}
    for output in {str(stage.output) for stage in plan.stages if stage.stage in asked}:
        found[output] = None
        found.update(dict.fromkeys(entry.digest for entry in project.objects.tree(output)))
    return list(found)


def _told(plan: Plan) -> str:
    from spark_build.report.plain import JsonLines

    out = StringIO()
    lines = JsonLines("", "", stream=out)
    lines.done(tell_fresh(plan, (), lines), 0.0)
    return out.getvalue()


def _row(stage: StagePlan) -> list[Any]:
    items = stage.record.items if stage.record is not None else None
    return [stage.stage, stage.key, stage.output, stage.seconds, items]


def _stage_plans(settled: Settled, store: LocalStore) -> Iterator[StagePlan]:
    for stage, key, output, seconds, items in json.loads(settled.stages):
        record = known_record(
            partial(_record, store, key), key=key, output=output, seconds=seconds, items=items
        )
        yield StagePlan(stage, "fresh", key, output, seconds=seconds, record=record)


def _record(store: LocalStore, key: Digest) -> Record:
    record = store.records.get(key)
    if record is None:
        raise StoreDamaged(f"the record of {key[:12]} went away meanwhile", fix="run it again")
    return record


def _is_plain(stage: StagePlan) -> bool:
    """Fresh, with nothing more to tell: no drift, no cause."""
    plain = StagePlan(stage.stage, "fresh", stage.key, stage.output, seconds=stage.seconds)
    return replace(stage, manifest=None, record=None) == plain
