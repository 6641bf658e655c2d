"""The remote tier as plan and build see it: Records by key, how much a restore would fetch, fetch, push."""

from __future__ import annotations  # what they name need not be loaded

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.digest import Digest, canonical_json, digest_bytes, digest_json
from spark_build.core.errors import SparkError, StoreDamaged, Untrusted
from spark_build.core.record import Record
from spark_build.core.threads import pool_of
from spark_build.core.tree import Tree
from spark_build.core.trust import TRUSTED, Trust, seal
from spark_build.core.values import Struct, field
from spark_build.remote.bucket import Bucket
from spark_build.remote.features import Features, features_of
from spark_build.remote.layout import (
    Index,
    Slice,
    epoch_path,
    index_path,
    is_digest,
    key_in,
    listing_path,
    record_path,
)
from spark_build.remote.outage import Outage
from spark_build.remote.progress import counted
from spark_build.remote.publish import Standing, create, publish
from spark_build.storage.guarded_memo import NOTE
from spark_build.storage.records import sealed, unsealed

if TYPE_CHECKING:
    from spark_build.core.signing import PrivateKey
    from spark_build.storage.objects import LocalObjects
    from spark_build.storage.state import State

RECORD_TYPE = "application/vnd.spark-build.record+json"
_READS = 2
_THREADS = 16  # small requests at once

Told = Callable[[int, int], None]  # bytes so far, of how many


class Pushed(Struct):
    """What a push came to."""

    artifacts: int = 0
    records: int = 0
    bytes: int = 0  # that travelled
    # of one action with two outputs: this one, and the one that stood there
    others: list[tuple[Record, Record]] = field(default_factory=list)


class RemoteStore:
    """Implements `engine.plan.Remote`. What was asked once is remembered for the command.

    Records are believed by their signatures alone (or, where no key is named, because they are there), everything
    else by its digest.
    """

    def __init__(
        self,
        bucket: Bucket,
        objects: LocalObjects,
        state: State,
        *,
        scope: str = TRUSTED,
        trust: Trust,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.bucket, self.objects, self.state = bucket, objects, state
        self.scope = scope
        self.scopes = tuple(dict.fromkeys((TRUSTED, scope)))  # that are read
        self.trust, self.warn = trust, warn
        self.outage = Outage(warn)
        self._indexes: dict[Digest, Index | None] = {}
        self._records: dict[tuple[Digest, Digest | None], Record | None] = {}
        self._refused: set[Digest] = set()

    # records

    def record(self, key: Digest, output: Digest | None = None) -> Record | None:
        """The verified Record of an action; with `output` the one that gave this, where several stand there."""
        if (key, output) not in self._records:
            found = self.outage.without(lambda: self._find_record(key, output))
            if self.outage.lasts:
                return None
            self._records[key, output] = found
        return self._records[key, output]

    def ask_for(self, keys: Iterable[tuple[Digest, Digest | None]]) -> None:
        """Many at once, so that what is known beforehand need not be asked one after the other."""
        asked = [one for one in dict.fromkeys(keys) if one not in self._records]
        if asked:
            with pool_of(_THREADS) as pool:
                list(pool.map(lambda one: self.record(*one), asked))

    def look_again(self, key: Digest) -> None:
        """Another machine may have published it by now."""
        for one in [one for one in self._records if one[0] == key and self._records[one] is None]:
            del self._records[one]

    def _find_record(self, key: Digest, output: Digest | None) -> Record | None:
        for scope in self.scopes:
            found = self._read_record(scope, record_path(scope, key), key)
            if found is not None and output is not None and found.output != output:
                other = self._read_record(scope, record_path(scope, key, output), key)
                found = other or found
            if found is not None:
                return found
        return None

    def _read_record(self, scope: str, path: str, key: Digest) -> Record | None:
        """None too where it can't be believed, which is told."""
        return self._standing(scope, path, key)[0]

    def read_record(self, scope: str, path: str, key: Digest) -> Record | None:
        """None where nothing stands there. Errors: StoreDamaged, Untrusted where it can't be believed."""
        record, _, problem = self._seen(scope, path, key)
        if problem is not None:
            raise problem
        return record

    def _standing(self, scope: str, path: str, key: Digest) -> Standing:
        record, etag, problem = self._seen(scope, path, key)
        if problem is not None:
            self.warn(f"{self.bucket}: {problem}; it is not taken")
        return record, etag

    def _seen(
        self, scope: str, path: str, key: Digest
    ) -> tuple[Record | None, str | None, SparkError | None]:
        """What stands there, its ETag, and why it can't be believed."""
        problem: SparkError | None = None
        for _ in range(_READS):
            found = self.bucket.read(path)
            if found is None:
                return None, None, None
            try:
                payload = self.trust.open(found.data, RECORD_TYPE, scope, path)
                return _record_of(payload, key, path), found.etag or "", None
            except (StoreDamaged, Untrusted) as error:
                problem = error
        assert found is not None
        return None, found.etag or "", problem

    def all_records(self) -> Iterator[Record]:
        """All that can be believed, in the scopes that are read."""
        for scope in self.scopes:
            paths = [found.path for found in self.bucket.list(f"{scope}/records")]
            with pool_of(_THREADS) as pool:
                read = pool.map(lambda path, of=scope: self._read_record(of, path, key_in(path)), paths)
                yield from (record for record in read if record is not None)

    def rewrite(self, record: Record) -> None:
        """The same Record with other notes, wherever it stands in the scope that is written."""
        data = seal(sealed(record), RECORD_TYPE, self.scope, self._signer)
        for path in (record_path(self.scope, record.key), record_path(self.scope, record.key, record.output)):
            standing = self._read_record(self.scope, path, record.key)
            if standing is not None and standing.output == record.output:
                self.bucket.put(path, data)

    # artifacts

    def bytes_missing(self, output: Digest) -> int | None:
        """How much a restore would fetch; None where the remote has no index of it."""
        index = self.index(output)
        if index is None:
            return None
        return sum(index.sizes[digest] for digest in self._missing(index))

    def index(self, output: Digest) -> Index | None:
        if output in self._refused:
            return None
        if output not in self._indexes:
            found = self.outage.without(lambda: self._find_index(output))
            if self.outage.lasts:
                return None
            self._indexes[output] = found
        return self._indexes[output]

    def refuse(self, output: Digest, *, forgets: bool = True) -> None:
        """It did not hold what it should: this command asks for it no more, and believes no note of what is there."""
        self._refused.add(output)
        if forgets:
            self.forget_pushed()

    def fetch(self, output: Digest, told: Told = lambda done, total: None) -> int:
        """Brings an Artifact into the local store; how many bytes came.

        Errors: StoreDamaged where what lies there is not what it should be, or not all there.
        """
        index = self.index(output)
        if index is None:
            raise StoreDamaged(f"{self.bucket} has no {output[:12]}", fix="spark build makes it again")
        from spark_build.remote.pull import pull

        missing = self.objects.claim(index.sizes)
        total = sum(index.sizes[digest] for digest in missing)
        pull(self.bucket, index, missing, self.objects, counted(told, total))
        self.objects.write(index.listing)
        self.objects.state.flush_now_and_then()
        self._note_pushed(output, index)
        return total

    def listing(self, digest: Digest) -> bytes | None:
        """A source's listing; None where nobody has it."""
        for scope in self.scopes:
            data = self.bucket.get(listing_path(scope, digest))
            if data is not None and digest_bytes(data) == digest:
                return data
        return None

    def _find_index(self, output: Digest) -> Index | None:
        for scope in self.scopes:
            for _ in range(_READS):
                data = self.bucket.get(index_path(scope, output))
                if data is None:
                    break
                try:
                    return Index.parse(data, output)
                except StoreDamaged as error:
                    problem = error
            else:
                self.warn(f"{self.bucket}: {index_path(scope, output)} is not taken: {problem.message}")
        return None

    def _missing(self, index: Index) -> list[Digest]:
        return self.objects.unsound(index.sizes)

    # push

    def push(self, record: Record, *, with_artifact: bool, told: Told = lambda done, total: None) -> Pushed:
        """The Record's Artifact, the listings that it names, and last the Record itself; only what is not there."""
        pushed = Pushed()
        name = self._fact(f"record/{record.key}/{record.output}/{with_artifact:d}")
        if self.state.get(name) is not None:
            return pushed
        if with_artifact:
            self._push_artifact(record.output, pushed, told)
        self._push_listings(record)
        if with_artifact and self.is_gc_meanwhile():
            return self.push(record, with_artifact=with_artifact, told=told)
        self._push_record(record, pushed)
        self.state.put(name, b"")
        self.state.flush_now_and_then()
        return pushed

    def _push_artifact(self, output: Digest, pushed: Pushed, told: Told) -> None:
        if self.state.get(self._fact(f"tree/{output}")) is not None:
            return
        from spark_build.remote.push import push

        tree = self._tree(output)
        total = sum({entry.digest: entry.size for entry in tree}.values())
        known = self._known_slices()
        is_anew = output in self._refused
        index = push(
            self.bucket, self.scope, tree, self.objects, known, counted(told, total), is_anew=is_anew
        )
        self.bucket.put(index_path(self.scope, output), index.to_bytes())
        self._note_pushed(output, index)
        pushed.artifacts += 1
        pushed.bytes += sum(index.sizes[digest] for digest in index.sizes if digest not in known)

    def _tree(self, output: Digest) -> Tree:
        try:
            return self.objects.tree(output)
        except KeyError:
            raise StoreDamaged(
                f"{output[:12]} is not in this store: it can't be pushed", fix="spark build makes it again"
            ) from None

    def _push_listings(self, record: Record) -> None:
        for digest in set(record.sources.values()):
            name = self._fact(f"listing/{digest}")
            if self.state.get(name) is None:
                try:
                    data = self.objects.read(digest)
                except (KeyError, StoreDamaged):  # `why` names an input without its files then
                    continue
                self.bucket.put(listing_path(self.scope, digest), data)
                self.state.put(name, b"")

    def _push_record(self, record: Record, pushed: Pushed) -> None:
        data = seal(sealed(record), RECORD_TYPE, self.scope, self._signer)
        path, beside = (record_path(self.scope, record.key, output) for output in (None, record.output))
        if not self.features.creates:  # another may write over it: here it stays
            self.bucket.put(beside, data)
        self.look_again(record.key)
        standing = publish(
            self.bucket, path, data, lambda: self._standing(self.scope, path, record.key), self.features
        )
        if standing is None:
            pushed.records += 1
        elif standing.output != record.output:
            pushed.records += create(self.bucket, beside, data, self.features)
            pushed.others.append((record, standing))

    @cached_property
    def features(self) -> Features:
        """Of the endpoint; asked for before anything is written where that matters, and by nobody who only reads."""
        return features_of(self.bucket, self.scope, self.state, self.warn)

    @cached_property
    def _signer(self) -> PrivateKey | None:
        return self.trust.signer(self.scope)

    # the memo

    def push_memo(self, record: Record) -> None:
        """What its stage found of items."""
        from spark_build.remote.memo import push_memo

        operations = operations_of(record)
        if operations:
            push_memo(self.bucket, self.scope, operations, self._memo, self._signer)

    def pull_memo(self, record: Record) -> None:
        """What anybody found of items by the operations of that Record's stage."""
        from spark_build.remote.memo import pull_memo

        pull_memo(self.bucket, self.scopes, operations_of(record), self._memo, self.trust, self.warn)

    @property
    def _memo(self) -> Path:
        return Path(self.objects.folder, "memo")

    # what is known to be there, until a gc removes anything

    @cached_property
    def _epoch(self) -> str:
        """Of all scopes that are read: an index may name what lies in either."""
        found = [self.bucket.get(epoch_path(scope)) for scope in self.scopes]
        return "0" if not any(found) else digest_bytes(b"/".join(one or b"" for one in found))[:16]

    def is_gc_meanwhile(self) -> bool:
        """Whether a gc began since the epoch was read: it may have removed what was noted as being there.

        A gc that begins later sees the index that was just written, and keeps what it names.
        """
        before = self._epoch
        del self.__dict__["_epoch"]
        return before != self._epoch

    def _fact(self, name: str) -> str:
        place = digest_json([self.bucket.url, self.bucket.endpoint, self.scope])[:16]
        return f"remote/{place}/{self._epoch}/{name}"

    def _known_slices(self) -> dict[Digest, Slice]:
        prefix = self._fact("pack/")
        return {
            digest: Slice(pack, offset, size)
            for pack, rows in (
                (n.removeprefix(prefix), json.loads(v)) for n, v in self.state.named(prefix).items()
            )
            for digest, offset, size in rows
        }

    def _note_pushed(self, output: Digest, index: Index) -> None:
        """Also what was fetched: of it nothing has to travel again."""
        packs: dict[str, list[list[Any]]] = {}
        for digest, piece in index.slices.items():
            packs.setdefault(piece.pack, []).append([digest, piece.offset, piece.size])
        for pack, rows in packs.items():
            name = self._fact(f"pack/{pack}")
            known = json.loads(self.state.get(name) or b"[]")
            self.state.put(name, canonical_json(_joined(known, rows)))
        self.state.put(self._fact(f"tree/{output}"), b"")

    def forget_pushed(self) -> None:
        """Nothing that was noted is believed any more: the bucket holds something else."""
        self.state.forget(self._fact(""))


def operations_of(record: Record) -> list[Digest]:
    """Of the memo, that its stage asked for."""
    told = record.notes.get(NOTE, ())
    return [one for one in told if isinstance(one, str) and is_digest(one)]


_FIX = "delete it there; what it stands for is built, and pushed again"


def _joined(*lists: list[list[Any]]) -> list[list[Any]]:
    return sorted({tuple(row): row for rows in lists for row in rows}.values())


def _record_of(data: bytes, key: Digest, where: str) -> Record:
    """Errors: StoreDamaged where it is the Record of another action, or none."""
    record = unsealed(data)
    if record is None:
        raise StoreDamaged(f"{where} does not match its seal", fix=_FIX)
    if not record.key == key == digest_json(record.manifest):
        raise StoreDamaged(f"{where} holds the Record of another action", fix=_FIX)
    return record
