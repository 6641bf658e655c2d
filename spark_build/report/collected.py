"""`spark store gc` as text and as JSON: what went, of which targets, and what stays."""

from __future__ import annotations  # what they name need not be loaded

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_build.report.words import count, size
from spark_build.storage.gc import Collected, Heap

if TYPE_CHECKING:
    from spark_build.remote.collect import Gone

_KINDS = {
    "objects": "objects",
    "records": "records of results",
    "memo": "operations of the item memo",
    "scratch": "scratch folders of attempts",
    "logs": "logs",
    "views": "views",
    "damaged": "damaged files",
    "tmp": "unfinished files",
}
_NEEDED_BY = {
    "locks": ("lock", "locks"),
    "stages": ("stage of today's plan", "stages of today's plan"),
    "builds": ("build", "builds"),
    "runs": ("run with overrides", "runs with overrides"),
    "acceptances": ("accepted result", "accepted results"),
    "servers": ("running deployment", "running deployments"),
}


def collected_text(
    told: Collected, needed_by: Mapping[str, int], notes: Sequence[str], *, is_dry: bool
) -> str:
    return "\n".join(
        [*_removed(told, is_dry), *_stays(told, needed_by), *(f"note: {note}" for note in notes)]
    )


_REMOTE_KINDS = {
    "records": "records of results",
    "trees": "indexes of results",
    "listings": "listings of sources",
    "packs": "packs",
    "objects": "parts of large objects",
    "memo": "files of the item memo",
    "leases": "old leases",
}


def remote_text(gone: Gone, needed_by: Mapping[str, int], notes: Sequence[str], *, is_dry: bool) -> str:
    """Of the remote store."""
    verb = "would go" if is_dry else "gone"
    lines = [f"  {number:>7}  {_REMOTE_KINDS[kind]}" for kind, number in sorted(gone.counts.items())]
    total = f"{size(gone.bytes)} {verb}" if lines else "nothing is there that is old and that nobody needs"
    kept = f"{count(gone.kept, 'file')}, {size(gone.kept_bytes)}"
    stays = f"young or needed: {kept}; by {_needed_by(needed_by)}"
    return "\n".join([*lines, total, stays, *(f"note: {note}" for note in notes)])


def remote_json(gone: Gone, needed_by: Mapping[str, int], notes: Sequence[str], *, is_dry: bool) -> str:
    return json.dumps(
        {
            "version": 1,
            "dry_run": is_dry,
            "removed": {kind: gone.counts.get(kind, 0) for kind in _REMOTE_KINDS},
            "bytes": gone.bytes,
            "kept": {"count": gone.kept, "bytes": gone.kept_bytes},
            "needed_by": dict(needed_by),
            "notes": list(notes),
        }
    )


def collected_json(
    told: Collected, needed_by: Mapping[str, int], notes: Sequence[str], *, is_dry: bool
) -> dict[str, Any]:
    return {
        "version": 1,
        "dry_run": is_dry,
        "removed": {kind: _figures(told.removed.get(kind, Heap())) for kind in _KINDS},
        "targets": {target or "none": _figures(heap) for target, heap in sorted(told.targets.items())},
        "kept": _figures(told.kept),
        "spared": _figures(told.spared),
        "in_use": told.in_use,
        "needed_by": dict(needed_by),
        "bytes_after": told.bytes_after,
        "max_bytes": told.most_bytes,
        "fits": told.fits,
        "notes": list(notes),
    }


def _removed(told: Collected, is_dry: bool) -> Iterator[str]:
    verb = "would go" if is_dry else "gone"
    total = sum(heap.bytes for heap in told.removed.values())
    if not told.removed:
        yield "nothing is there that nobody needs"
        return
    yield f"{verb}: {size(total)}"
    for kind, name in _KINDS.items():
        if kind in told.removed:
            yield _line(told.removed[kind], name)
    for target, heap in sorted(told.targets.items(), key=lambda one: -one[1].bytes):
        yield _line(heap, f"objects of {target}" if target else "objects that no result has", deeper=True)


def _line(heap: Heap, name: str, *, deeper: bool = False) -> str:
    return f"{'    ' if deeper else '  '}{heap.count:>7}  {size(heap.bytes):>8}  {name}"


def _stays(told: Collected, needed_by: Mapping[str, int]) -> Iterator[str]:
    kept = f"{count(told.kept.count, 'object')}, {size(told.kept.bytes)}"
    yield f"needed: {kept}; by {_needed_by(needed_by)}"
    if told.spared.count:
        yield f"not needed, and below the limit: {count(told.spared.count, 'object')}, {size(told.spared.bytes)}"
    if told.in_use:
        yield f"left to builds that are at work: {count(told.in_use, 'object or record', 'objects and records')}"
    yield f"the store has {size(told.bytes_after)}" + ("" if told.fits else _too_much(told))


def _needed_by(counts: Mapping[str, int]) -> str:
    by = [count(counts[kind], *names) for kind, names in _NEEDED_BY.items() if counts.get(kind)]
    if refs := counts.get("refs"):
        by[:1] = [f"{count(counts['locks'], 'lock')} in {count(refs, 'git ref')} and here"]
    return ", ".join(by) or "nothing"


def _too_much(told: Collected) -> str:
    assert told.most_bytes is not None
    return (
        f", more than --max-size {size(told.most_bytes)}: what is left is needed or in use\n"
        "  fix: fewer --keep-builds; delete tags and branches that nobody needs; or a larger --max-size"
    )


def _figures(heap: Heap) -> dict[str, int]:
    return {"count": heap.count, "bytes": heap.bytes}
