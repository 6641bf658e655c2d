"""Gc of one scope of the remote store: what no needed Record names, and what is not young, goes."""

import os
from collections.abc import Collection, Iterable

from spark_build.core.digest import Digest
from spark_build.core.errors import StoreDamaged, TransientError, Untrusted
from spark_build.core.record import Record
from spark_build.core.threads import pool_of
from spark_build.core.values import Struct, field
from spark_build.remote.bucket import Found
from spark_build.remote.layout import Index, epoch_path, is_publication, key_in, output_in
from spark_build.remote.publications import claimed
from spark_build.remote.store import RemoteStore, operations_of

_THREADS = 16
_KINDS = (
    "records",
    "trees",
    "listings",
    "packs",
    "objects",
    "memo",
    "leases",
)  # in the order in which they go
_LEASE_SECONDS = 86_400.0  # none lasts so long


class Gone(Struct):
    """What went, or would go, and what stays."""

    counts: dict[str, int] = field(default_factory=dict)  # by kind
    bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0


def collect_remote(
    remote: RemoteStore,
    keys: Collection[Digest],
    outputs: Collection[Digest],
    *,
    young_seconds: float,
    is_dry: bool = False,
) -> Gone:
    """`keys`, `outputs`: of Records and Artifacts that are needed, whenever they came.

    First the epoch changes: whoever noted what lies there looks again before publishing anything that rests on it, and
    what was published before is seen here. Errors: Refused for who may not delete; StoreDamaged where an index that
    counts can't be read, and then nothing went.
    """
    now = _began(remote, is_dry)
    there = {found.path: found for found in remote.bucket.list("")}
    published = list(claimed(remote.bucket, filter(is_publication, there)))  # in every scope
    keys = {*keys, *(one.key for one in published if one.output is not None)}
    outputs = {*outputs, *(one.output for one in published if one.output is not None)}
    kept = _kept(remote, there, keys, outputs, now - young_seconds)
    gone = Gone()
    doomed = []
    for path, found in there.items():
        kind = _kind(path, remote.scope)
        limit = now - (_LEASE_SECONDS if kind == "leases" else young_seconds)
        if kind is None or path in kept or found.modified >= limit:
            gone.kept, gone.kept_bytes = gone.kept + 1, gone.kept_bytes + found.size
        else:
            doomed.append((_KINDS.index(kind), path))
            gone.counts[kind] = gone.counts.get(kind, 0) + 1
            gone.bytes += found.size
    if not is_dry:
        _delete(remote, doomed)
    return gone


def _began(remote: RemoteStore, is_dry: bool) -> float:
    """The server's time."""
    path = epoch_path(remote.scope)
    if is_dry:
        found = max((f.modified for f in remote.bucket.list("")), default=0.0)
        import time

        return max(found, time.time())
    remote.bucket.put(path, os.urandom(16).hex().encode())
    epoch = remote.bucket.head(path)
    if epoch is None:
        raise TransientError(f"{remote.bucket}: {path} is gone as soon as it was written")
    return epoch.modified


def _kind(path: str, scope: str) -> str | None:
    """None for what no gc of this scope touches."""
    kind = path.removeprefix(f"{scope}/").partition("/")[0] if path.startswith(f"{scope}/") else ""
    return kind if kind in _KINDS else None


def _kept(
    remote: RemoteStore, there: dict[str, Found], keys: set[Digest], outputs: set[Digest], young_since: float
) -> set[str]:
    """Paths of what is needed, and of what that rests on."""
    scope = remote.scope
    records = [
        path
        for path, found in there.items()
        if _kind(path, scope) == "records" and (key_in(path) in keys or found.modified >= young_since)
    ]
    with pool_of(_THREADS) as pool:
        read = [r for r in pool.map(lambda path: _record(remote, path), records) if r is not None]
        outputs = outputs | {record.output for record in read}
        indexes = [
            path
            for path, found in there.items()
            if path.split("/")[-2:-1] == ["trees"]
            and (
                not path.startswith(f"{scope}/")
                or output_in(path) in outputs
                or found.modified >= young_since
            )
        ]
        needed = list(pool.map(lambda path: _needs(remote, path), indexes))
    operations = {operation for record in read for operation in operations_of(record)}
    memo = (path for path in there if _kind(path, scope) == "memo" and path.split("/")[-2] in operations)
    listings = {digest for record in read for digest in record.sources.values()}
    named = (
        path for path in there if _kind(path, scope) == "listings" and path.rpartition("/")[2] in listings
    )
    return {*records, *indexes, *memo, *named, *(path for paths in needed for path in paths)}


def _record(remote: RemoteStore, path: str) -> Record | None:
    """None where it can't be believed: `store check --remote` tells of it."""
    try:
        return remote.read_record(remote.scope, path, key_in(path))
    except (StoreDamaged, Untrusted):
        return None


def _needs(remote: RemoteStore, path: str) -> set[str]:
    """What the objects of one Artifact lie in. Errors: StoreDamaged."""
    data = remote.bucket.get(path)
    return set() if data is None else Index.parse(data, output_in(path)).places


def _delete(remote: RemoteStore, doomed: Iterable[tuple[int, str]]) -> None:
    """What names others goes first, so that nothing that is left names what is gone."""
    by_kind: dict[int, list[str]] = {}
    for kind, path in doomed:
        by_kind.setdefault(kind, []).append(path)
    with pool_of(_THREADS) as pool:
        for _, paths in sorted(by_kind.items()):
            list(pool.map(remote.bucket.delete, paths))
