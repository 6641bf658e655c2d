"""Ingest where few files changed: their records alone are read, the shards that these fall into alone are cut anew.

Whatever reaches from a changed record to the others (an id that is taken, a field's type) makes it not fit.
"""

import re
import shutil
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.items import Item, SourceFile
from spark_build.contract.rows import DatasetFolder, figures_of
from spark_build.contract.rules import Source
from spark_build.core.errors import Unanswered
from spark_build.core.job import Job, Outcome
from spark_build.core.ports import Services
from spark_build.core.tree import Tree
from spark_build.core.values import Struct
from spark_build.stages.contexts import step_context
from spark_build.stages.dataset_changes import changed_rows
from spark_build.stages.drafting import drafts_of, finished, row_of
from spark_build.stages.fields import fits, type_of
from spark_build.stages.forgetting import Forgotten
from spark_build.stages.listing import files_of, is_read, listed
from spark_build.stages.media import take_media
from spark_build.stages.previous import Listed, OldFolder, OldSplit, differing_files
from spark_build.stages.records import (
    Record,
    count_remembered,
    is_listed,
    read_operation,
    records_of_files,
)
from spark_build.stages.rejected import reasons_of
from spark_build.stages.splicing import Change, DoesNotFit, link_or_copy, splice
from spark_build.stages.splits import SplitPlan
from spark_build.stages.transforming import apply_transform

ROWS = "dataset"  # the source that reads another dataset, and its input
_MOST_CHANGED_SHARE = 0.25  # of the files; beyond it the whole is as quick

Handled = set[tuple[str, int | str]]  # records, by what tells each from all others


class _Changes(Struct, frozen=True):
    gone: Sequence[SourceFile]  # as they were; an edited file is in both
    new: Sequence[SourceFile]
    sources: Collection[
        str
    ]  # what the items that go come from: what begins so, and goes on with a slash, as well
    gone_records: int | None = None  # where that is known

    def spans(self, sources: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Where in sorted `sources` those stand that go."""
        for source in self.sources:
            for first, behind in (
                (source, f"{source}\0"),
                (f"{source}/", f"{source}0"),
            ):  # '0' comes after '/'
                yield bisect_left(sources, first), bisect_left(sources, behind)


def ingest_changes(
    job: Job,
    context: Context,
    services: Services,
    source: Source,
    declared: Mapping[str, str],
    handled: Handled,
) -> Outcome:
    """Errors: DoesNotFit; `handled` then holds what was read or transformed all the same."""
    splits = SplitPlan.of(job.options.get("splits"))
    if job.limit is not None or splits.balance is not None or source.looks_at_all():
        raise DoesNotFit("figures over all items")
    old = OldFolder(job.previous["output"])
    old.check(("data/", "rejected/"))
    changes = _changes(job, context, source)
    rejected = old.rejected("ingest")
    if any(start < end for start, end in changes.spans(sorted(row["source"] for row in rejected))):
        raise DoesNotFit("what was rejected changed")
    if any(row["reason"] == Unanswered.REASON for row in rejected):
        raise DoesNotFit("an item that nobody answered")
    records = _records(job, services, source, changes)
    items, first_ids = _items(job, services, records, declared, splits, handled)
    parts = {name: old.split(name) for name in old.dataset.splits}
    spliced = {name: _change(parts.get(name), name, items, changes) for name in {*parts, *_splits(items)}}
    _check_ids(parts, spliced, [*first_ids, *(item.id for item in items)], _own_ids(job, rejected))
    _check_types(old, parts, spliced, items, declared, source.field_types())
    counts = _counts(parts, spliced)
    total = _records_in_all(job, services, source, changes, records)
    splits.check(counts, total, None)
    output = Path(job.output)
    for name, change in sorted(spliced.items()):
        splice(output, name, parts[name].shards if name in parts else [], change, old.fields)
    take_media(job, services.blobs)
    for file in old.rejected_files("ingest"):
        link_or_copy(file, output / "rejected" / file.name)
    return Outcome(
        metrics=figures_of({**dict(sorted(counts.items())), "rejected": len(rejected)}),
        items={"handled": len(handled), "remembered": total - len(handled)},
        notes={"rejected": reasons_of(row["reason"] for row in rejected)} if rejected else {},
    )


def _changes(job: Job, context: Context, source: Source) -> _Changes:
    context = step_context(context, job, job.steps[0])
    if job.steps[0].rule == ROWS and f"0.{ROWS}" in job.previous["inputs"]:
        return _changed_rows(job, context)
    return _changed_files(job, context, source)


def _changed_rows(job: Job, context: Context) -> _Changes:
    """Of the dataset that this one is made of."""
    to = context.scratch / "changed"
    shutil.rmtree(to, ignore_errors=True)
    changed = changed_rows(job.previous["inputs"][f"0.{ROWS}"], DatasetFolder(context.inputs[ROWS]), to)
    if max(changed.gone, changed.new) > _MOST_CHANGED_SHARE * changed.total:
        raise DoesNotFit("most of it changed")
    return _Changes([], files_of(to, None) if to.exists() else [], changed.sources, changed.gone)


def _changed_files(job: Job, context: Context, source: Source) -> _Changes:
    place = context.inputs.get("path")
    is_folder = type(source).fetch is Source.fetch and place is not None and place.is_dir()
    before = job.previous["listings"].get("0.path")
    if not is_folder or before is None or place is None or not is_listed(job, context, place):
        raise DoesNotFit("a source that is no folder of the project")
    then, now, count = differing_files(Path(before), Path(job.options["listing"]))
    if max(len(then), len(now)) > _MOST_CHANGED_SHARE * count and _most_bytes(then, now, job):
        raise DoesNotFit("most of it changed")
    gone, new = ([file for file in listed(place, entries) if is_read(file.path)] for entries in (then, now))
    return _Changes(gone, new, [file.path for file in gone])


def _most_bytes(then: Sequence[Listed], now: Sequence[Listed], job: Job) -> bool:
    """Whether it is much, too: of few files one may be small."""
    total = Tree.parse(Path(job.options["listing"]).read_bytes()).size
    return max(sum(size for _, size, _ in files) for files in (then, now)) > _MOST_CHANGED_SHARE * total


def _records(job: Job, services: Services, source: Source, changes: _Changes) -> list[Record]:
    operation = read_operation(job.steps[0], source)
    return records_of_files(services, job.steps[0], source, changes.new, operation, Forgotten.of(job))


def _items(
    job: Job,
    services: Services,
    records: Sequence[Record],
    declared: Mapping[str, str],
    splits: SplitPlan,
    handled: Handled,
) -> tuple[list[Item], list[str]]:
    """The new records' items, and the ids that they had before transforms."""
    handled |= {r.identity for r in records if r.is_new}
    drafts, rejected = drafts_of(records, job.steps[0], declared, splits, services.spool)
    first_ids = [draft.item.id for draft in drafts]
    for step in job.steps[1:]:
        transformed = apply_transform(job, services, step, drafts, declared)
        drafts, rejected = transformed.drafts, [*rejected, *transformed.rejected]
        handled |= {records[number].identity for number in transformed.handled}
    if rejected:
        raise DoesNotFit("a record that is rejected")
    return finished(drafts), first_ids


def _splits(items: Iterable[Item]) -> set[str]:
    return {item.split for item in items}


def _change(part: OldSplit | None, split: str, items: Sequence[Item], changes: _Changes) -> Change:
    rows = [row_of(item) for item in items if item.split == split]
    if part is None:
        return Change(added=[(0, row) for row in rows])
    dropped: set[int] = set()
    for start, end in changes.spans(part.sources):
        dropped.update(range(start, end))
    return Change(dropped, [(bisect_left(part.sources, row["source"]), row) for row in rows])


def _own_ids(job: Job, rejected: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of what transforms rejected: until then they had ids among the others."""
    return [row["id"] for row in rejected] if len(job.steps) > 1 else []


def _check_ids(
    parts: Mapping[str, OldSplit], changes: Mapping[str, Change], new: Sequence[str], rejected: Sequence[str]
) -> None:
    """Errors: DoesNotFit unless every item has the id that it would have by itself."""
    old = [own_id for part in parts.values() for own_id in part.ids]
    if may_be_renamed([*old, *new, *rejected]):
        raise DoesNotFit("ids that others have, too")
    dropped = {part.ids[p] for name, part in parts.items() for p in changes[name].dropped}
    if _with_bases((set(old) - dropped) | set(rejected)) & set(new):
        raise DoesNotFit("an id that is taken")


def may_be_renamed(ids: Sequence[str]) -> bool:
    """Whether one may be another's with the number of its occurrence: 'a-2' beside 'a' (see ids.unique)."""
    if not re.search(r"-\d+(?:#|$)", "\n".join(ids), re.MULTILINE):
        return False
    known = _with_bases(ids)
    return any(
        own_id[: found.start()] in known for own_id in ids for found in re.finditer(r"-\d+(?=#|$)", own_id)
    )


def _with_bases(ids: Iterable[str]) -> set[str]:
    """With the ids of the items that they were made of: 'a' and 'a#1' for 'a#1#0'."""
    known = set(ids)
    for own_id in [own_id for own_id in known if "#" in own_id]:
        while (cut := re.sub(r"#\d+$", "", own_id)) != own_id:
            own_id = cut
            known.add(own_id)
    return known


def _check_types(
    old: OldFolder,
    parts: Mapping[str, OldSplit],
    changes: Mapping[str, Change],
    items: Sequence[Item],
    declared: Mapping[str, str],
    known: Mapping[str, str],
) -> None:
    """Errors: DoesNotFit unless each field is there, and of its type, whatever else the unchanged rows hold."""
    if not {name for item in items for name in item.fields} <= set(old.fields):
        raise DoesNotFit("a new field")
    dropped = sum(len(change.dropped) for change in changes.values())
    filled = _filled(parts, old.fields)
    for name, kind in old.fields.items():
        values = [item.fields[name] for item in items if item.fields.get(name) is not None]
        kinds = {type_of(value) for value in values}
        if filled[name] <= dropped and not values:
            raise DoesNotFit("a field that may have gone")
        if name in declared or (known.get(name) == kind and fits(kind, kinds)):
            continue
        if name in known or not _keep_type(kind, kinds, has_dropped=dropped > 0):
            raise DoesNotFit("a field's type")


def _keep_type(kind: str, kinds: set[str], *, has_dropped: bool) -> bool:
    """Whether values of `kinds` leave a field, found to be `kind`, what it is (see fields.typed)."""
    if kind == "json":
        return "json" in kinds or not (kinds or has_dropped)
    if kind == "messages":
        return kinds <= {"messages", "empty list"} and ("messages" in kinds or not has_dropped)
    return kinds <= {kind}


def _filled(parts: Mapping[str, OldSplit], fields: Mapping[str, str]) -> dict[str, int]:
    """For each field at least so many rows have a value."""
    filled = dict.fromkeys(fields, 0)
    for shard in (shard for part in parts.values() for shard in part.shards):
        for name, count in shard.filled().items():
            filled[name] = filled.get(name, 0) + count
    return filled


def _counts(parts: Mapping[str, OldSplit], changes: Mapping[str, Change]) -> Counter[str]:
    counts = {
        name: (len(parts[name].ids) if name in parts else 0) - len(change.dropped) + len(change.added)
        for name, change in changes.items()
    }
    if not sum(counts.values()):
        raise DoesNotFit("nothing is left")
    return Counter({name: count for name, count in counts.items() if count})


def _records_in_all(
    job: Job, services: Services, source: Source, changes: _Changes, records: Sequence[Record]
) -> int:
    gone = changes.gone_records
    if gone is None:
        gone = count_remembered(services, read_operation(job.steps[0], source), changes.gone)
    items = job.previous["items"]
    if gone is None or not items:
        raise DoesNotFit("how many records there were")
    return int(items["handled"]) + int(items["remembered"]) - gone + len(records)
