"""`spark verify`: builds again in a clean folder, and compares on the level that each rule declares."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spark_build.app import BuildOptions, Project
from spark_build.app.building import builder_in
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.record import Record
from spark_build.core.values import replace
from spark_build.engine.action import is_asked_outside, operation_in
from spark_build.engine.plan import Plan, Planner
from spark_build.report.difference import Difference, first_difference
from spark_build.report.verified import Level, Verification, Verified
from spark_build.storage.journal import Journal
from spark_build.storage.local import LocalStore

if TYPE_CHECKING:
    from spark_build.engine.build import Listener
    from spark_build.engine.results import BuildResult, StageResult


def verify(
    project: Project,
    target: str,
    *,
    listener: "Listener",
    is_stage_alone: bool = False,
    keep: Path | None = None,
    jobs: int = 0,
) -> Verification:
    """Errors: SparkError where the target is not built; UsageError where `keep` is not empty."""
    project.look_again()
    asked = project.stages_of([target]) if not is_stage_alone else [project.main_stage(target)]
    if not asked:
        raise UsageError(f"'{target}' has no stages", fix="name a dataset or a model")
    plan = project.planner().plan(asked)
    records = _records(project, plan, target)
    folder, stays = _clean_folder(keep), keep is not None
    try:
        store = LocalStore(folder)
        if is_stage_alone:
            _lend(project, store, [record for stage, record in records.items() if stage not in asked])
        _lend_answers(project, store, records)
        result = _build(project, store, asked, BuildOptions(jobs=jobs, publishes=False), listener)
        compared = {stage: r for stage, r in records.items() if stage in asked or not is_stage_alone}
        drift = {s.stage: s.drift for s in plan.stages}
        verified = tuple(_compare(project, store, compared, result, drift))
        store.close()
        stays = stays or result.count("failed") > 0  # then its logs are what there is to go by
    finally:
        if not stays:
            shutil.rmtree(folder)
    return Verification(target, verified, str(folder) if stays else None)


def _records(project: Project, plan: Plan, target: str) -> dict[str, Record]:
    """What the store holds of each stage. Errors: SparkError where one is not built, or not here."""
    records = {s.stage: s.record for s in plan.stages if s.record is not None and s.state == "fresh"}
    lacking = [s.stage for s in plan.stages if s.stage not in records]
    if lacking:
        raise SparkError(
            f"{lacking[0]} is not built as the Sparkfile stands: there is nothing to compare with",
            fix=f"spark build {target}",
        )
    return records


def _clean_folder(keep: Path | None) -> Path:
    """Errors: UsageError where `keep` is not empty."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="spark-verify-"))
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError(
            f"{keep} is there already and not empty", fix="name a folder that is empty or not there"
        )
    keep.mkdir(parents=True, exist_ok=True)
    return keep.resolve()


def _lend(project: Project, store: LocalStore, records: list[Record]) -> None:
    """Gives the clean store the results that a stage alone is built from."""
    for record in records:
        _copy(project, store, record.output)
        store.records.put(record)


def _copy(project: Project, store: LocalStore, output: Digest) -> None:
    beside = Path(store.folder) / "lent"
    project.objects.check_out(project.objects.tree(output), beside, link=False)
    store.objects.add_folder(beside)  # takes the folder away


def _lend_answers(project: Project, store: LocalStore, records: Mapping[str, Record]) -> None:
    """What was answered once and paid for: nobody can work it out again; what is made of it can be checked."""
    for stage, record in records.items():
        node = project.graph.nodes[stage]
        for step, manifest in zip(node.steps, record.manifest.get("steps", []), strict=False):
            operation = operation_in(node, step, manifest, project.graph.hermetic)
            answers = Path(project.store, "memo", operation)
            if is_asked_outside(step) and answers.is_dir():
                shutil.copytree(answers, Path(store.folder, "memo", operation), dirs_exist_ok=True)


def _build(
    project: Project, store: LocalStore, asked: list[str], options: BuildOptions, listener: "Listener"
) -> "BuildResult":
    _lend_tagged(project, store, asked)
    history = Journal(Path(store.folder) / "builds", store.state)
    planner = Planner(project.graph, project.world, store.objects, store.records, history, is_strict=True)
    builder = builder_in(project, store, planner, options, listener)
    try:
        return builder.run(asked).uninterrupted()
    finally:
        builder.executor.close()


def _lend_tagged(project: Project, store: LocalStore, asked: list[str]) -> None:
    """Tagged results that stages read: they are pinned by digest, nothing here builds them."""
    for stage in project.graph.closure(asked):
        for _, given in project.graph.nodes[stage].all_inputs():
            if given.artifact is not None and store.objects.missing(given.artifact):
                _copy(project, store, given.artifact)


def _compare(
    project: Project,
    store: LocalStore,
    records: Mapping[str, Record],
    result: "BuildResult",
    drift: Mapping[str, tuple[str, ...]],
) -> Iterator[Verified]:
    """Each stage in order; what is made of an input that came out otherwise is judged by that input's level."""
    seen: dict[str, Verified] = {}
    for stage, record in records.items():
        node = project.graph.nodes[stage]
        read = [seen[before] for before in sorted(node.upstream()) if before in seen]
        moved = [one for one in read if one.got != one.expected]
        level = Level.weakest([Level.of(node), *(one.level for one in moved)])
        is_behind = any(one.verdict in ("differs", "behind") for one in moved)
        told = result.results[stage]
        found = _verdict(project, store, record, told, level, is_behind=is_behind)
        seen[stage] = replace(found, drift=drift[stage])
        yield seen[stage]


def _verdict(
    project: Project,
    store: LocalStore,
    old: Record,
    told: "StageResult",
    level: Level,
    *,
    is_behind: bool,
) -> Verified:
    stage, new = told.stage, told.record
    if new is None:
        verdict = "failed" if told.outcome == "failed" else "skipped"
        return Verified(stage, level, verdict, old.output, None, told.seconds, error=told.error)
    difference = None
    if new.output == old.output:
        verdict = "equal"
    elif level.name == "none":
        verdict = "not compared"
    elif level.name == "metric":
        difference = _figures(old, new, level.tolerance)
        verdict = "close" if difference is None else "differs"
    else:
        difference, verdict = _difference(project, store, old, new), "differs"
    if verdict == "differs" and is_behind:
        verdict = "behind"
    return Verified(stage, level, verdict, old.output, new.output, told.seconds, difference)


def _difference(project: Project, store: LocalStore, old: Record, new: Record) -> Difference | None:
    """None where the old result is in the store no more, so that its digest alone could be compared."""
    if project.objects.missing(old.output):
        return None
    before, now = project.objects.tree(old.output), store.objects.tree(new.output)
    return first_difference(
        before,
        now,
        lambda entry: Path(project.objects.path(entry.digest)),
        lambda entry: Path(store.objects.path(entry.digest)),
    )


def _figures(old: Record, new: Record, tolerance: float) -> Difference | None:
    """The figure that lies furthest beyond the tolerance."""
    beyond = []
    for name in sorted({*old.metrics, *new.metrics}):
        a, b = old.metrics.get(name), new.metrics.get(name)
        apart = abs(a - b) / max(abs(a), abs(b), 1e-300) if a is not None and b is not None else float("inf")
        if a != b and not apart <= tolerance:
            note = f"relative deviation {apart:.3g}, tolerance {tolerance:.3g}"
            beyond.append(Difference("figure", name=name, old=a, new=b, deviation=apart, note=note))
    return max(beyond, key=lambda found: found.deviation or 0.0, default=None)


__all__ = ["verify"]
