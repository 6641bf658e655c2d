"""`spark forget`: a tombstone in the lock, and nothing of the item in this store and in the remote one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spark_build.app import Project
from spark_build.app.forgotten_search import Found, Search
from spark_build.app.held import Held, Result, parts_with
from spark_build.app.naming_items import Choice, Naming, marks_of_name
from spark_build.core.address import name_of, tag_of, target_of, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, StoreDamaged, UsageError
from spark_build.core.forgotten import REASON, Tombstone, all_marks
from spark_build.core.record import Record
from spark_build.core.values import replace
from spark_build.pinning import LOCK_NAME
from spark_build.remote.store import RemoteStore
from spark_build.report.forgotten import Buried, Forgotten, Trained
from spark_build.sources._rows import record_of
from spark_build.storage import removal
from spark_build.storage.memo import LocalMemo

_LONGEST_REASON = 300


def forget(
    project: Project,
    text: str,
    items: Sequence[str],
    *,
    by: str = "both",
    reason: str = "",
    dry: bool = False,
) -> Forgotten:
    """Takes the items out of this store, and leaves marks in the lock by which each build knows them.

    Without items: what the lock's tombstones name goes from this store as well.
    Errors: UsageError where there is no such item; SparkError while a build runs.
    """
    dataset = _dataset(project, text)
    _refuse(project, dataset, reason)
    if project.remote is not None:
        _bring_all(project, project.remote, Held(project, dataset).targets)
    held = Held(project, dataset)
    memo = LocalMemo(project.store / "memo")
    standing = project.lock.tombstones(dataset)
    choices = Naming(held, memo, items, by).chosen(standing) if items else []
    day = time.strftime("%Y-%m-%d", time.gmtime())
    new = [replace(c.tombstone, at=day, reason=" ".join(reason.split())) for c in choices]
    if not new and not standing:
        raise UsageError(f"nothing of {dataset} is forgotten", fix=f"spark forget {typed(dataset)} ITEM")
    tombstones = [*standing.values(), *new]
    found = Search(held, memo, frozenset(all_marks(tombstones))).found()
    told = _told(project, held, dataset, choices, new, found)
    if not dry:
        if new:
            _bury(project, dataset, new)
        if project.remote is not None:
            _erase(project, project.remote, found)
        _remove(held, memo, found)
        _refuse_running(project, dataset, is_after=True)
    return replace(told, is_dry=dry)


def forgotten_item(project: Project, dataset: str, item: str) -> Tombstone | None:
    """What the lock says of an item that somebody names."""
    found = project.lock.tombstones(dataset).values()
    return next((t for t in found if not marks_of_name(item).isdisjoint(t.marks)), None)


def _dataset(project: Project, text: str) -> str:
    address = project.resolve(text)
    if address.kind != "dataset" or address.tag is not None or address.stage is not None:
        raise UsageError(f"'{text}' is no dataset", fix="spark forget dataset:NAME ITEM")
    return address.target


def _refuse(project: Project, dataset: str, reason: str) -> None:
    if project.request.is_override:
        raise UsageError("an item is forgotten for good", fix="leave --profile and --set out")
    if project.lock.is_of_conflict:
        raise UsageError(
            f"{LOCK_NAME} holds a merge conflict", fix=f"spark build {typed(dataset)} resolves it"
        )
    if len(reason) > _LONGEST_REASON:
        raise UsageError(f"the reason has {len(reason)} characters", fix=f"at most {_LONGEST_REASON}")
    _refuse_running(project, dataset)


def _refuse_running(project: Project, dataset: str, *, is_after: bool = False) -> None:
    if removal.running(project.store):
        what = "began meanwhile, and may have brought it back" if is_after else "is running in this store"
        raise SparkError(f"a build {what}", fix=f"when it has ended: spark forget {typed(dataset)} …")


def _bury(project: Project, dataset: str, tombstones: Sequence[Tombstone]) -> None:
    for tombstone in tombstones:
        values = {name: getattr(tombstone, name) or None for name in Tombstone.__struct_fields__}
        project.lock.put("forgotten", f"{dataset} {tombstone.name}", values)
    project.save_lock()


# what a person is told


def _told(
    project: Project,
    held: Held,
    dataset: str,
    choices: Sequence[Choice],
    new: Sequence[Tombstone],
    found: Found,
) -> Forgotten:
    sources = sorted({known.source for known in found.known})
    results = list(found.results.values())
    return Forgotten(
        dataset,
        tuple(Buried(c.known.name, c.known.source, tuple(c.tombstone.known_by)) for c in choices),
        objects=sum(map(_is_there(project), found.objects)),
        bytes=removal.size_of(project.objects, found.objects),
        memo=sum(map(len, found.memo.values())),
        results=tuple((r.stage, r.record.output) for r in results),
        tags=tuple(_tags(project, {r.record.output for r in results})),
        models=tuple(_trained_with(project, found)),
        elsewhere=tuple(sorted(found.elsewhere.values(), key=lambda one: (one.target, one.path))),
        unreached=tuple(_unreached(project, dataset, sources, results)),
    )


def _is_there(project: Project) -> Any:
    return lambda digest: Path(project.objects.path(digest)).exists()


def _tags(project: Project, outputs: set[Digest]) -> Iterator[str]:
    for name in project.lock.names("tags"):
        block = project.lock.tag(name)
        if block is not None and block["output"] in outputs:
            yield name


def _trained_with(project: Project, found: Found) -> Iterator[Trained]:
    """Models whose training read a part that holds an item, and those that were made from them."""
    gone = found.shards | found.blobs
    read = {digest for result in found.results.values() for digest in parts_with(result.tree, gone)}
    trainings = [r for r in project.records.all() if r.manifest.get("kind") == "train"]
    for record in sorted(trainings, key=lambda r: (r.started, r.key)):
        if read.isdisjoint(_digests_in([record.manifest.get("inputs"), record.manifest.get("steps")])):
            continue
        read |= set(record.parts.values())
        tags = [tag_of(name) for name in _tags(project, {record.output})]
        is_declared = record.stage in project.graph.nodes
        yield Trained(target_of(record.stage), record.started, record.output, tuple(tags), is_declared)


def _digests_in(value: Any) -> Iterator[Digest]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _digests_in(inner)


def _unreached(
    project: Project, dataset: str, sources: Sequence[str], results: Sequence[Result]
) -> Iterator[str]:
    yield from _source_files(project, dataset, sources)
    for result in results:
        published = result.record.notes.get("published") or {}
        if published:
            where = " ".join(str(v) for _, v in sorted(published.items()))
            yield f"the version that {result.stage} has published: {where}"
    if page := _report_of(project, dataset):
        yield f"{page}, written by spark report, may show it"
    if project.graph.store.get("remote") and project.remote is None:
        yield f"the remote store {project.graph.store['remote']}: --offline was said"
    yield f"other checkouts and their stores: commit {LOCK_NAME}, and there: spark forget {typed(dataset)}"


def _source_files(project: Project, dataset: str, sources: Sequence[str]) -> Iterator[str]:
    step = project.graph.nodes[f"{dataset}/ingest"].steps[0]
    given = step.inputs.get("path")
    if given is None or given.path is None:
        yield f"what its source '{step.rule}' reads: as long as it is there, each build rejects it"
        return
    place = project.root / given.path
    for source in sources:
        file = place if place.is_file() else place / source
        if file.exists():
            yield f"{file.relative_to(project.root)}: still there; while it holds the item, each build rejects it"


def _report_of(project: Project, dataset: str) -> str | None:
    page = f"{name_of(dataset)}-report.html"
    return page if (project.root / page).exists() else None


# what goes


def _remove(held: Held, memo: LocalMemo, found: Found) -> None:
    """Last the objects: what is left of an interrupted one is found again by them."""
    project, store, objects = held.project, held.project.store, held.project.objects
    for operation, keys in found.memo.items():
        memo.forget(operation, keys)
    removal.remove(removal.views_of(objects, found.objects, store))
    others = _keys_of_others(held)
    removal.remove(removal.scratch_of(store, others))
    removal.remove(removal.left_overs(store))
    removal.remove(_logs(held, found, others))
    for result in found.results.values():
        _rewrite(project, result.record, found)
    removal.remove_objects(objects, found.objects)
    project.look_again()


def _bring_all(project: Project, remote: RemoteStore, targets: set[str]) -> None:
    """What the remote has of these datasets, old results too: only what is here is searched."""
    for record in remote.all_records():
        if target_of(record.stage) in targets:
            project.records.put(record)
            if remote.bytes_missing(record.output):
                with suppress(StoreDamaged):  # can't be read by anybody, and goes with the rest of its pack
                    remote.fetch(record.output)


def _erase(project: Project, remote: RemoteStore, found: Found) -> None:
    """Before anything goes here: interrupted, the same command finds it again."""
    from spark_build.remote.forgetting import erase

    erase(remote, found.objects, list(found.memo))
    for result in found.results.values():
        if (clean := _without_names(result.record, found)) != result.record:
            remote.rewrite(clean)


def _keys_of_others(held: Held) -> set[Digest]:
    """Actions that read nothing of these datasets: what is left of a failed one is good to go on from."""
    project = held.project
    behind = {stage for stage, node in project.graph.nodes.items() if node.target in held.targets}
    for stage in project.graph.nodes:
        behind |= {stage} if behind.intersection(project.graph.upstream[stage]) else set()
    try:
        plan = project.planner().plan([s for s in project.graph.nodes if s not in behind])
    except SparkError:  # a source that is not here: its stages can't go on
        return set()
    return {s.key for s in plan.stages if s.key is not None and s.stage not in behind}


def _logs(held: Held, found: Found, keys_of_others: set[Digest]) -> list[Path]:
    """All but those of actions of others, and of these whatever tells of it: a run that failed has no Record."""
    results = {result.record.key for result in held.results if not result.only_compares}
    kept = {r.key for r in held.project.records.all()} - results | keys_of_others
    others, needles = {key[:16] for key in kept}, found.needles

    def holds(name: str, content: bytes) -> bool:
        return name[:16] not in others or any(needle in content for needle in needles)

    return removal.logs_where(held.project.store, holds)


def _rewrite(project: Project, record: Record, found: Found) -> None:
    if (clean := _without_names(record, found)) != record:
        project.records.rewrite(clean)


def _without_names(record: Record, found: Found) -> Record:
    """Its notes name no such item any more."""
    notes, told = (_without(value, found.names) for value in (record.notes, record.told))
    return replace(record, notes=notes, told=told)


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(inner, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, names) for inner in value]
    return f"({REASON})" if isinstance(value, str) and record_of(value) in names else value


__all__ = ["forget", "forgotten_item"]
