"""Media between rules and datasets: a reference where items are kept, a `Media` where a rule looks."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.media import MARK, MEDIA_KINDS, Media, Reference, blob_path, is_made, is_reference
from spark_build.contract.rows import DatasetFolder
from spark_build.core.digest import Digest
from spark_build.core.errors import ItemRejected, StoreDamaged
from spark_build.core.job import Job
from spark_build.core.ports import Blobs
from spark_build.core.tree import Entry, Tree
from spark_build.core.values import replace

_MARKED = f'"{MARK}":'.encode()
_DIGEST = re.compile("[0-9a-f]{64}")


def seen(item: Item, blobs: Blobs, *, looks_inside: bool = False) -> Item:
    """The item as a rule sees it. Errors: of one that looks inside, StoreDamaged for media that are damaged."""
    found = {name: value for name, value in item.fields.items() if is_reference(value)}
    if not found:
        return item
    path_of = _sound_path if looks_inside else _path
    return item.with_fields({name: Media.of(r, path_of(r, blobs)) for name, r in found.items()})


def _path(reference: Reference, blobs: Blobs) -> Path:
    return blobs.path(reference["digest"])


def _sound_path(reference: Reference, blobs: Blobs) -> Path:
    try:
        return blobs.sound(reference["digest"])
    except StoreDamaged as error:
        raise StoreDamaged(f"{reference['path']}: {error.message}", fix=error.fix) from None


def referred(fields: Mapping[str, Any], blobs: Blobs) -> dict[str, Any]:
    """What a rule gave, its media as references; files that it made are in the store then.

    Errors: ItemRejected where a value only looks like a reference.
    """
    return {name: _referred(name, value, blobs) for name, value in fields.items()}


def _referred(name: str, value: Any, blobs: Blobs) -> Any:
    if is_reference(value):
        raise ItemRejected("bad_value", f"{name}: the key '{MARK}' is spark's own")
    if not isinstance(value, Media):
        return value
    if not value.digest:
        digest, size = blobs.keep(value.path)
        if is_made(value.path):
            value.path.unlink()
        value = replace(value, digest=digest, size=size)
    return value.reference()


def named(fields: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a transform gave, its media called as they were before, or like what they were made from."""
    names = {value["digest"]: value["path"] for value in before.values() if is_reference(value)}
    return {n: _named(v, names) if is_reference(v) and not v["path"] else v for n, v in fields.items()}


def _named(reference: Reference, names: Mapping[Digest, str]) -> dict[str, Any]:
    made_from = next(filter(None, names.values()), f"{reference['digest'][:16]}.x")
    made = str(PurePosixPath(made_from).with_suffix(reference["suffix"]))
    return {**reference, "path": names.get(reference["digest"], made)}


def is_usable(blobs: Blobs) -> Callable[[Sequence[bytes]], list[bool]]:
    """Of remembered values: whether all that they refer to is in the store."""

    def check(values: Sequence[bytes]) -> list[bool]:
        digests = [set(_digests(json.loads(v))) if _MARKED in v else set() for v in values]
        missing = blobs.missing(set().union(*digests)) if any(digests) else set()
        return [not (own & missing) for own in digests]

    return check


def _digests(value: Any) -> Iterator[Digest]:
    """Of all that looks like a reference: what stands deep in a user's JSON may do so, too, and is no harm."""
    if is_reference(value) and _DIGEST.fullmatch(str(value.get("digest"))):
        yield value["digest"]
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _digests(inner)


def take_media(
    job: Job, blobs: Blobs, folder: Path | None = None, kinds: Sequence[str] = MEDIA_KINDS
) -> None:
    """Says which blobs the result holds: those of `kinds` that the rows in `folder`, by default its own, refer to."""
    blobs.flush()
    found = references(folder or Path(job.output), kinds)
    entries = {path: Entry(path, r["bytes"], r["digest"]) for r in found for path in [blob_path(r)]}
    if entries:
        job.taken.write_bytes(Tree.of(entries.values()).listing)


def references(folder: Path, kinds: Sequence[str] = MEDIA_KINDS) -> Iterator[Reference]:
    """Of all rows of a dataset that is not a version yet."""
    dataset = DatasetFolder(folder)
    shards = [shard for split in dataset.splits for shard in dataset.shards(split)]
    names = [name for name, kind in dataset.fields.items() if kind in kinds] if shards else []
    for shard in shards if names else ():
        yield from (json.loads(value) for value in _values(shard, names) if value is not None)


def _values(shard: Path, names: Sequence[str]) -> Iterable[str | None]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard, memory_map=True) as file:
        for column in file.read(columns=list(names), use_threads=False).columns:
            yield from column.to_pylist()
