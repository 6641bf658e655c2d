"""Brings an Artifact's objects into the bucket: small ones in packs, large ones in parts; only what is not there."""

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from blake3 import blake3

from spark_build.core.digest import Digest
from spark_build.core.errors import StoreDamaged
from spark_build.core.threads import pool_of
from spark_build.core.tree import Tree
from spark_build.remote.bucket import Bucket
from spark_build.remote.layout import (
    PACK_BYTES,
    PART_BYTES,
    SMALL_BYTES,
    Index,
    Parts,
    Slice,
    object_folder,
    packed,
    part_name,
)

if TYPE_CHECKING:
    from spark_build.storage.objects import LocalObjects

THREADS = 8
_PACKS_UNDER_WAY = 2  # in memory, as are
_PARTS_UNDER_WAY = 6

Told = Callable[[int], None]  # of so many bytes more


def push(
    bucket: Bucket,
    scope: str,
    tree: Tree,
    objects: "LocalObjects",
    known: Mapping[Digest, Slice],
    told: Told,
    *,
    is_anew: bool = False,
) -> Index:
    """The index of what lies there now; the caller writes it down, last of all.

    `known`: small objects that lie there already; `is_anew`: the large ones there are damaged, and written again.
    Errors: StoreDamaged where an object here is not what it should be.
    """
    sizes = {entry.digest: entry.size for entry in tree}
    small = [digest for digest, size in sizes.items() if size < SMALL_BYTES]
    slices = {digest: known[digest] for digest in small if digest in known}
    told(sum(sizes[digest] for digest in slices))
    fresh = [(digest, sizes[digest]) for digest in small if digest not in slices]
    with pool_of(_PACKS_UNDER_WAY) as pool:
        for found in pool.map(lambda group: _pack(bucket, scope, group, objects, told), _groups(fresh)):
            slices |= found
    with pool_of(THREADS) as pool:
        parts = {
            digest: _large(bucket, scope, digest, size, objects, pool, told, is_anew)
            for digest, size in sizes.items()
            if size >= SMALL_BYTES
        }
    return Index(tree.listing, slices, parts)


def _groups(sized: Iterable[tuple[Digest, int]]) -> Iterator[list[Digest]]:
    """What goes into one pack each, in the order of the listing."""
    group: list[Digest] = []
    total = 0
    for digest, size in sized:
        if group and total + size > PACK_BYTES:
            yield group
            group, total = [], 0
        group.append(digest)
        total += size
    if group:
        yield group


def _pack(
    bucket: Bucket, scope: str, digests: list[Digest], objects: "LocalObjects", told: Told
) -> dict[Digest, Slice]:
    content = {digest: _content(objects, digest) for digest in digests}
    path, data, slices = packed(scope, content)
    bucket.put(path, data)
    told(len(data))
    return slices


def _content(objects: "LocalObjects", digest: Digest) -> bytes:
    try:
        return objects.read(digest)
    except KeyError:
        raise _absent(digest) from None


def _large(
    bucket: Bucket,
    scope: str,
    digest: Digest,
    size: int,
    objects: "LocalObjects",
    pool: ThreadPoolExecutor,
    told: Told,
    is_anew: bool,
) -> Parts:
    """Each part is a thing of its own in the bucket, so that an interrupted push goes on behind the last that came."""
    folder = object_folder(scope, digest)
    listed = [] if is_anew else bucket.list(folder)
    there = {found.path.rpartition("/")[2]: found.size for found in listed}
    path = objects.path(digest)
    try:
        file = open(path, "rb")  # noqa: SIM115 closed below, with what maps it
    except FileNotFoundError:
        raise _absent(digest) from None
    whole, digests, under_way = blake3(max_threads=blake3.AUTO), list[Digest](), list[Future[None]]()
    with file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
        for number, start in enumerate(range(0, size, PART_BYTES)):
            with view[start : start + PART_BYTES] as part:
                whole.update(part)
                digests.append(blake3(part, max_threads=blake3.AUTO).hexdigest())
                name = part_name(number, digests[-1])
                if there.get(name) == len(part):
                    told(len(part))
                    continue
                while len(under_way) >= _PARTS_UNDER_WAY:
                    under_way.pop(0).result()
                under_way.append(pool.submit(_send, bucket, f"{folder}/{name}", bytes(part), told))
        for one in under_way:
            one.result()
        if whole.hexdigest() != digest:
            raise objects.set_aside(digest, os.fstat(file.fileno()))
    return Parts(folder, tuple(digests))


def _send(bucket: Bucket, path: str, data: bytes, told: Told) -> None:
    bucket.put(path, data)
    told(len(data))


def _absent(digest: Digest) -> StoreDamaged:
    return StoreDamaged(
        f"object {digest[:12]} is not in this store: it can't be pushed", fix="spark build makes it again"
    )
