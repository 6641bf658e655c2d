"""Brings an Artifact's objects into the local store: every byte is checked, what does not match is read once more."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.errors import StoreDamaged
from spark_build.core.threads import pool_of
from spark_build.core.values import Struct
from spark_build.remote.bucket import Bucket
from spark_build.remote.layout import PART_BYTES, Index, Parts, Slice, part_name

if TYPE_CHECKING:
    from spark_build.storage.objects import LocalObjects

THREADS = 8
_READS = 2  # of what came with other content
_GAP_BYTES = 256 << 10  # between two objects of a pack: less is read along, more is another request
_RANGE_BYTES = 16 << 20  # the most that one request asks for

Told = Callable[[int], None]  # of so many bytes more


class _Range(Struct, frozen=True):
    """What one request brings of a pack."""

    pack: str
    start: int
    length: int
    objects: tuple[tuple[Digest, Slice], ...]


def pull(bucket: Bucket, index: Index, wanted: Iterable[Digest], objects: "LocalObjects", told: Told) -> None:
    """Errors: StoreDamaged where the bucket's own content is not what it should be; those of `Bucket`."""
    wanted = list(wanted)
    small = {digest: index.slices[digest] for digest in wanted if digest in index.slices}
    large = [digest for digest in wanted if digest not in small]
    with pool_of(THREADS) as pool:
        list(pool.map(lambda one: _take(bucket, one, objects, told), _ranges(small)))
        for digest in large:
            _take_large(bucket, index, digest, objects, pool, told)


def _ranges(small: dict[Digest, Slice]) -> Iterator[_Range]:
    """Neighbours in a pack come with one request."""
    group: list[tuple[Digest, Slice]] = []
    for digest, piece in sorted(small.items(), key=lambda item: (item[1].pack, item[1].offset)):
        if group and not _belongs(group, piece):
            yield _range_of(group)
            group = []
        group.append((digest, piece))
    if group:
        yield _range_of(group)


def _belongs(group: list[tuple[Digest, Slice]], piece: Slice) -> bool:
    first, last = group[0][1], group[-1][1]
    is_near = piece.offset <= last.offset + last.size + _GAP_BYTES
    return piece.pack == first.pack and is_near and piece.offset + piece.size - first.offset <= _RANGE_BYTES


def _range_of(group: list[tuple[Digest, Slice]]) -> _Range:
    start = group[0][1].offset
    length = max(piece.offset + piece.size for _, piece in group) - start
    return _Range(group[0][1].pack, start, length, tuple(group))


def _take(bucket: Bucket, one: _Range, objects: "LocalObjects", told: Told) -> None:
    content = _range(bucket, one)
    objects.write_many(content)
    told(sum(map(len, content.values())))


def _range(bucket: Bucket, one: _Range) -> dict[Digest, memoryview]:
    """The content of its objects."""
    for _ in range(_READS):
        data = _there(bucket.get_range(one.pack, one.start, one.length), bucket, one.pack)
        found = {digest: data[piece.offset - one.start :][: piece.size] for digest, piece in one.objects}
        bad = [digest for digest, content in found.items() if digest_bytes(content) != digest]
        if not bad:
            return found
    raise _damaged(bucket, one.pack, bad)


def _take_large(
    bucket: Bucket,
    index: Index,
    digest: Digest,
    objects: "LocalObjects",
    pool: ThreadPoolExecutor,
    told: Told,
) -> None:
    """Its own digest is enough; each part's is looked at where that one is wrong, so that the bad one is read again."""
    parts, size = index.parts[digest], index.sizes[digest]
    try:
        objects.write_chunks(digest, _counted(_in_order(bucket, parts, size, pool, looks=False), told))
    except StoreDamaged:
        objects.write_chunks(digest, _in_order(bucket, parts, size, pool, looks=True))


def _in_order(
    bucket: Bucket, parts: Parts, size: int, pool: ThreadPoolExecutor, *, looks: bool
) -> Iterator[memoryview]:
    """The parts, some of them on their way while one is written."""
    from collections import deque

    waiting = deque(enumerate(parts.digests))
    part = partial(_part, bucket, parts, looks)
    under_way = deque(pool.submit(part, *waiting.popleft()) for _ in parts.digests[:THREADS])
    left = size
    while under_way:
        data = under_way.popleft().result()
        if waiting:
            under_way.append(pool.submit(part, *waiting.popleft()))
        left -= len(data)
        yield data
    if left:
        raise StoreDamaged(f"{bucket}: {parts.folder} holds {size - left} of {size} bytes", fix=_FIX)


def _part(bucket: Bucket, parts: Parts, looks: bool, number: int, digest: Digest) -> memoryview:
    path = f"{parts.folder}/{part_name(number, digest)}"
    for _ in range(_READS):
        data = _there(bucket.get_buffer(path), bucket, path)
        if len(data) <= PART_BYTES and (not looks or digest_bytes(data) == digest):
            return data
    raise _damaged(bucket, path, [digest])


def _counted(chunks: Iterator[memoryview], told: Told) -> Iterator[memoryview]:
    for chunk in chunks:
        yield chunk
        told(len(chunk))


_FIX = "who has it pushes it again: spark store push; else it is built again"


def _there(data: memoryview | None, bucket: Bucket, path: str) -> memoryview:
    if data is None:
        raise StoreDamaged(f"{bucket}: {path} is not there any more", fix=_FIX)
    return data


def _damaged(bucket: Bucket, path: str, digests: list[Digest]) -> StoreDamaged:
    names = ", ".join(digest[:12] for digest in digests[:3])
    return StoreDamaged(f"{bucket}: {path} does not hold what it should ({names}), read twice", fix=_FIX)
