"""`spark forget`: a tombstone in the lock, and nothing of the item in this store."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from spark_build.app import Project
from spark_build.app.forgotten_memo import ReadRow, entries_of, read_rows
from spark_build.app.held import (
    Held,
    Known,
    Result,
    blobs_in,
    content_of_row,
    fields_of,
    is_content_id,
    made_of,
    parts_with,
    texts_in,
    without_nothing,
)  # fmt: skip
from spark_build.app.naming_items import Choice, Naming, marks_of_name
from spark_build.core.address import name_of, tag_of, target_of, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.forgotten import REASON, Tombstone, content_mark, file_mark, id_mark
from spark_build.core.record import Record
from spark_build.core.values import Struct, field, replace
from spark_build.pinning import LOCK_NAME
from spark_build.report.forgotten import Buried, Elsewhere, Forgotten, Trained
from spark_build.sources._rows import record_of
from spark_build.stages.forgetting import marks_of
from spark_build.storage import removal
from spark_build.storage.memo import LocalMemo

_LONGEST_REASON = 300
_SHORTEST_TEXT = 24  # characters of a value by which alone what holds it is known
_SHORTEST_NAME = 6  # of an id by which alone a log is known to tell of it


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
    held = Held(project, made_of(project, dataset))
    memo = LocalMemo(project.store / "memo")
    standing = project.lock.tombstones(dataset)
    choices = Naming(held, memo, dataset).chosen(items, by, standing) if items else []
    day = time.strftime("%Y-%m-%d", time.gmtime())
    new = [replace(c.tombstone, at=day, reason=" ".join(reason.split())) for c in choices]
    if not new and not standing:
        raise UsageError(f"nothing of {dataset} is forgotten", fix=f"spark forget {typed(dataset)} ITEM")
    tombstones = [*standing.values(), *new]
    found = _Search(held, memo, dataset, frozenset(m for t in tombstones for m in t.marks)).found()
    told = _told(project, held, dataset, choices, new, found)
    if not dry:
        if new:
            _bury(project, dataset, new)
        _remove(project, memo, found)
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


class _Found(Struct, dict=True):
    """What of the store is to go, and what stays though it holds the same."""

    results: dict[str, Result] = field(default_factory=dict)  # that hold an item, by key
    shards: set[Digest] = field(default_factory=set)
    blobs: set[Digest] = field(default_factory=set)
    elsewhere: dict[Digest, Elsewhere] = field(default_factory=dict)
    memo: dict[Digest, set[bytes]] = field(default_factory=dict)
    known: set[Known] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row, of whichever dataset, is one of them."""
        own = Known.of(row)
        return any(known.is_in(own) for known in self._by_name.get(own.name, ()))

    @cached_property
    def _by_name(self) -> dict[str, list[Known]]:
        """Once all are known."""
        named: dict[str, list[Known]] = {}
        for known in self.known:
            named.setdefault(known.name, []).append(known)
        return named

    @property
    def objects(self) -> set[Digest]:
        return (self.shards | self.blobs) - self.elsewhere.keys()


class _Search(Struct, dict=True):
    """Everything of these marks in the store."""

    held: Held
    memo: LocalMemo
    dataset: str
    marks: frozenset[Digest]

    def found(self) -> _Found:
        found = _Found()
        read = [one for one in read_rows(self.held, self.memo, self.dataset) if self._is_marked(one)]
        for one in read:
            found.known.add(Known(one.name, one.source))
        self._add_known(found)
        rows, others = self._rows(found)
        found.texts = {
            text for row in rows for text in texts_in(fields_of(row)) if len(text) >= _SHORTEST_TEXT
        }
        found.texts |= {t for one in read for t in texts_in(one.raw.fields) if len(t) >= _SHORTEST_TEXT}
        found.texts -= {text for row in others for text in texts_in(row)}
        sources = {known.source for known in found.known}
        states = [state for row in rows for state in (fields_of(row), without_nothing(fields_of(row)))]
        entries = entries_of(self.memo, read, states, sources, found.texts)
        found.memo = entries.keys
        found.blobs |= entries.blobs
        self._spare(found)
        return found

    def _is_marked(self, one: ReadRow) -> bool:
        return not self.marks.isdisjoint(marks_of(one.raw))

    def _add_known(self, found: _Found) -> None:
        """Records as the dataset's own rows name them."""
        for result in self.held.results:
            if target_of(result.stage) == self.dataset:
                for shard in result.shards:
                    names = self.held.names_of(shard)
                    found.known |= {Known.of(row) for row in names if self._names(row)}
                    if result.has_whole_records and shard.path.startswith("data/"):
                        found.known |= {
                            Known.of(row)
                            for row in self.held.rows_of(shard.digest)
                            if content_mark(content_of_row(row)) in self.marks
                        }

    def _names(self, row: Mapping[str, Any]) -> bool:
        name = record_of(str(row["id"]))
        marks = {content_mark(name), id_mark(name), id_mark(str(row["id"])), file_mark(str(row["source"]))}
        return not self.marks.isdisjoint(marks)

    def _rows(self, found: _Found) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of the items as stages see them, and other rows of the same shards."""
        rows, others = [], []
        for result in self.held.results:
            for shard in result.shards:
                if not any(map(found.holds, self.held.names_of(shard))):
                    continue
                found.results[result.record.key] = result
                if shard.digest in found.shards:
                    continue
                found.shards.add(shard.digest)
                if shard.path.startswith("data/"):
                    whole = self.held.rows_of(shard.digest)
                    own = [row for row in whole if found.holds(row)]
                    others += [row for row in whole if not found.holds(row)]
                    found.blobs |= set(_blobs_of_rows(own, result))
                    rows += own if result.holds_references else []
        return rows, others

    def _spare(self, found: _Found) -> None:
        """Nothing that somebody else needs goes without being asked for."""
        objects = found.shards | found.blobs
        for target, tree in self.held.others:
            for entry in tree:
                if entry.digest in objects:
                    found.elsewhere.setdefault(entry.digest, Elsewhere(entry.digest, target, entry.path))
        for result in self.held.results if found.blobs else ():
            for shard in result.shards if result.holds_references else ():
                if shard.path.startswith("data/"):
                    self._spare_shared(found, result, self.held.rows_of(shard.digest))

    def _spare_shared(self, found: _Found, result: Result, rows: Sequence[Mapping[str, Any]]) -> None:
        """A file that another item has, too."""
        for row in rows:
            shared = found.blobs.intersection(blobs_in(fields_of(row)))
            if shared and not found.holds(row):
                where = target_of(result.stage), str(row["source"]), str(row["id"])
                for digest in shared:
                    found.elsewhere.setdefault(digest, Elsewhere(digest, *where))


def _blobs_of_rows(rows: Sequence[Mapping[str, Any]], result: Result) -> Iterator[Digest]:
    """Media that rows refer to; of a version, those that lie beside its shards."""
    for row in rows:
        yield from blobs_in(fields_of(row))
        facts = row.get("meta", {}).get("media", {}) if not result.holds_references else {}
        yield from (known["digest"] for known in facts.values() if "digest" in known)


# what a person is told


def _told(
    project: Project,
    held: Held,
    dataset: str,
    choices: Sequence[Choice],
    new: Sequence[Tombstone],
    found: _Found,
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


def _trained_with(project: Project, found: _Found) -> Iterator[Trained]:
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
    if project.graph.store.get("remote"):
        yield f"the remote store {project.graph.store['remote']}, which this version does not read or write"
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


def _remove(project: Project, memo: LocalMemo, found: _Found) -> None:
    """Last the objects: what is left of an interrupted one is found again by them."""
    store, objects = project.store, project.objects
    for operation, keys in found.memo.items():
        memo.forget(operation, keys)
    removal.remove(removal.views_of(objects, found.objects, store))
    removal.remove(removal.scratch_of(store, _keys_of_others(project, found)))
    removal.remove(removal.left_overs(store))
    removal.remove(_logs(project, found))
    for result in found.results.values():
        _rewrite(project, result.record, found)
    removal.remove_objects(objects, found.objects)
    project.look_again()


def _keys_of_others(project: Project, found: _Found) -> set[Digest]:
    """Actions that read nothing of these datasets: what is left of a failed one is good to go on from."""
    read = {target_of(result.stage) for result in found.results.values()}
    behind = {stage for stage, node in project.graph.nodes.items() if node.target in read}
    for stage in project.graph.nodes:
        behind |= {stage} if behind.intersection(project.graph.upstream[stage]) else set()
    try:
        plan = project.planner().plan([s for s in project.graph.nodes if s not in behind])
    except SparkError:  # a source that is not here: its stages can't go on
        return set()
    return {s.key for s in plan.stages if s.key is not None and s.stage not in behind}


def _logs(project: Project, found: _Found) -> list[Path]:
    """Those of the results that held it, and whatever other one tells of it."""
    own = {name for r in found.results.values() for name in (r.record.log, r.record.events) if name}
    names = [name.encode() for name in _names(found)]
    needles = [text.encode() for text in found.texts] + names

    def holds(name: str, content: bytes) -> bool:
        return name in own or any(needle in content for needle in needles)

    return removal.logs_where(project.store, holds)


def _names(found: _Found) -> set[str]:
    """Ids of their own; one that is a digest tells nothing."""
    own = {known.name for known in found.known}
    return {name for name in own if len(name) >= _SHORTEST_NAME and not is_content_id(name)}


def _rewrite(project: Project, record: Record, found: _Found) -> None:
    """Its notes name no such item any more."""
    names = _names(found)
    notes, told = (_without(value, names) for value in (record.notes, record.told))
    if (notes, told) != (record.notes, record.told):
        project.records.rewrite(replace(record, notes=notes, told=told))


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(inner, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, names) for inner in value]
    return f"({REASON})" if isinstance(value, str) and record_of(value) in names else value


__all__ = ["forget", "forgotten_item"]
