"""Items of two datasets by id: added, dropped (by which gate, why), changed; only shards that differ are read."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.core.digest import Digest, canonical_json
from spark_build.core.errors import SparkError
from spark_build.core.tree import Entry, Tree, part_of
from spark_build.core.values import Struct, field
from spark_build.report.diff import Items, Result

if TYPE_CHECKING:
    from spark_build.storage.objects import LocalObjects

_ROWS_AT_ONCE = 1024


class _Rows(Struct):
    """The rows of a side's own shards: of each id a short digest of its content, 16 bytes, and where it came from."""

    content: dict[str, bytes] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)


def items_between(project: Project, a: Result, b: Result, examples: int) -> Items:
    trees: list[Tree] = []
    for side, words in ((a, "first"), (b, "second")):
        tree = _tree(project.objects, side.output)
        if tree is None:
            what = "is not built" if side.output is None else f"({side.output[:12]}) is not in the store"
            return Items(missing=f"not told: the {words} result {what}")
        trees.append(tree)
    shared = {_place(entry) for entry in trees[0]} & {_place(entry) for entry in trees[1]}
    try:
        left, right = (_rows(project.objects, tree, shared) for tree in trees)
        gone = {*left.content} - {*right.content}
        come = {*right.content} - {*left.content}
        changed = [i for i, digest in left.content.items() if right.content.get(i, digest) != digest]
        told = {
            "added": _examples(come, right, _come(project.objects, trees[0], come), examples),
            "dropped": _examples(gone, left, _gone(project.objects, trees[1], gone, left, right), examples),
            "changed": tuple(_example(i, right) for i in sorted(changed)[:examples]),
        }
    except (KeyError, SparkError, OSError):
        return Items(missing="not told: a shard of them is not in the store")
    return Items(len(come), len(gone), len(changed), {what: found for what, found in told.items() if found})


def _tree(objects: "LocalObjects", output: Digest | None) -> Tree | None:
    if output is None:
        return None
    try:
        return objects.tree(output)
    except (KeyError, SparkError):
        return None


def _place(entry: Entry) -> tuple[str, Digest]:
    """A shard that both have in the same split holds the same items there, under whatever name."""
    return part_of(entry.path), entry.digest


def _rows(objects: "LocalObjects", tree: Tree, shared: set[tuple[str, Digest]]) -> _Rows:
    from blake3 import blake3

    rows = _Rows()
    for entry in tree:
        split = part_of(entry.path)
        if not split.startswith("data/") or not entry.path.endswith(".parquet") or _place(entry) in shared:
            continue
        for row in _read(objects, entry):
            text = canonical_json([split, {n: v for n, v in row.items() if n not in ("id", "source")}])
            rows.content[row["id"]] = blake3(text).digest(length=16)
            rows.source[row["id"]] = row["source"]
    return rows


def _rejections(objects: "LocalObjects", tree: Tree, wanted: set[str]) -> dict[str, str]:
    """Of the wanted ids those that this side rejected: gate and reason."""
    found: dict[str, str] = {}
    for entry in tree if wanted else ():
        if entry.path.startswith("rejected/") and entry.path.endswith(".parquet"):
            rows = _read(objects, entry, ["id", "gate", "reason"])
            found |= {r["id"]: f"{r['gate']}: {r['reason']}" for r in rows if r["id"] in wanted}
    return found


def _come(objects: "LocalObjects", before: Tree, ids: set[str]) -> dict[str, str]:
    """Why an item is new: it was rejected before. One without a word was not there."""
    return {i: f"was rejected by {why}" for i, why in _rejections(objects, before, ids).items()}


def _gone(objects: "LocalObjects", after: Tree, ids: set[str], left: _Rows, right: _Rows) -> dict[str, str]:
    """Why an item is gone: rejected now, or its source reads otherwise or not at all."""
    rejected = _rejections(objects, after, ids)
    come = {source for i, source in right.source.items() if i not in left.source}
    other = {i: "its source has other content now" for i in ids if left.source[i] in come}
    return (
        dict.fromkeys(ids, "not read any more") | other | {i: f"rejected by {w}" for i, w in rejected.items()}
    )


def _examples(
    ids: Iterable[str], rows: _Rows, why: Mapping[str, str], most: int
) -> tuple[Mapping[str, Any], ...]:
    """Those first of which there is most to say."""
    chosen = sorted(ids, key=lambda i: ("rejected" not in why.get(i, ""), rows.source[i], i))[:most]
    return tuple(_example(i, rows, why.get(i)) for i in chosen)


def _example(item: str, rows: _Rows, why: str | None = None) -> Mapping[str, Any]:
    return {"id": item, "source": rows.source[item], "why": why}


def _read(
    objects: "LocalObjects", entry: Entry, columns: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Errors: KeyError where the shard is not there, StoreDamaged where it is not what it should be."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from spark_build.contract.shards import told_rows, without_bytes

    with pq.ParquetFile(pa.BufferReader(objects.read(entry.digest))) as file:
        known = columns or without_bytes(file.schema_arrow)
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=known):
            yield from told_rows(batch)
