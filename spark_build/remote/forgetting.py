"""Takes objects out of the remote store for good: no index, pack, part or memo segment holds them any more."""

import os
from collections.abc import Collection, Iterable

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.errors import StoreDamaged
from spark_build.core.threads import pool_of
from spark_build.core.values import Struct
from spark_build.remote.layout import Index, Slice, epoch_path, memo_folder, output_in, packed
from spark_build.remote.store import RemoteStore

_THREADS = 8


class Erased(Struct):
    """How much of what went."""

    results: int = 0
    packs: int = 0
    segments: int = 0


def erase(remote: RemoteStore, digests: Collection[Digest], operations: Iterable[Digest]) -> Erased:
    """Results that hold one of `digests` can't be restored any more; what others share with them stays.

    Of `operations` the whole memo goes: who has more of it pushes it again. Errors: Refused for who may not delete.
    """
    gone, erased = set(digests), Erased()
    if not gone and not operations:
        return erased
    for scope in remote.scopes:
        remote.bucket.put(epoch_path(scope), os.urandom(16).hex().encode())
        _erase_in(remote, scope, gone, erased)
        for operation in operations:
            for found in list(remote.bucket.list(memo_folder(scope, operation))):
                remote.bucket.delete(found.path)
                erased.segments += 1
    remote.forget_pushed()
    return erased


def _erase_in(remote: RemoteStore, scope: str, gone: set[Digest], erased: Erased) -> None:
    paths = [found.path for found in remote.bucket.list(f"{scope}/trees")]
    with pool_of(_THREADS) as pool:
        indexes = {path: index for path, index in pool.map(lambda p: (p, _index(remote, p)), paths) if index}
    hurt = {path for path, index in indexes.items() if not gone.isdisjoint(index.sizes)}
    packs = {s.pack for path in hurt for digest, s in indexes[path].slices.items() if digest in gone}
    for path in hurt:
        remote.bucket.delete(path)
        erased.results += 1
        _erase_parts(remote, indexes[path], gone)
    _move_others(remote, scope, packs, {p: i for p, i in indexes.items() if p not in hurt}, gone)
    for pack in packs:
        remote.bucket.delete(pack)
        erased.packs += 1


def _index(remote: RemoteStore, path: str) -> Index | None:
    """None for one that is damaged: nobody can restore by it."""
    try:
        return Index.parse(remote.bucket.get(path) or b"", output_in(path))
    except StoreDamaged:
        return None


def _erase_parts(remote: RemoteStore, index: Index, gone: set[Digest]) -> None:
    for digest, parts in index.parts.items():
        if digest in gone:
            for found in list(remote.bucket.list(parts.folder)):
                remote.bucket.delete(found.path)


def _move_others(
    remote: RemoteStore, scope: str, packs: set[str], indexes: dict[str, Index], gone: set[Digest]
) -> None:
    """What other results have in these packs goes to a pack without what is erased."""
    moved: dict[tuple[str, Digest], Slice] = {}
    for path, index in indexes.items():
        here = {digest: piece for digest, piece in index.slices.items() if piece.pack in packs}
        if not here:
            continue
        for pack in {piece.pack for piece in here.values()}:
            wanted = {d: s for d, s in here.items() if s.pack == pack and (pack, d) not in moved}
            moved |= {(pack, d): s for d, s in _repacked(remote, scope, pack, wanted).items()}
        slices = {d: moved.get((s.pack, d), s) for d, s in index.slices.items()}
        remote.bucket.put(path, Index(index.listing, slices, index.parts).to_bytes())


def _repacked(remote: RemoteStore, scope: str, pack: str, wanted: dict[Digest, Slice]) -> dict[Digest, Slice]:
    """Where these lie now; one that is damaged is left out, and then its result can't be restored."""
    data = remote.bucket.get(pack) if wanted else None
    content = {d: data[s.offset : s.offset + s.size] for d, s in wanted.items()} if data is not None else {}
    whole = {digest: one for digest, one in content.items() if digest_bytes(one) == digest}
    if not whole:
        return {}
    path, joined, slices = packed(scope, whole)
    remote.bucket.put(path, joined)
    return slices
