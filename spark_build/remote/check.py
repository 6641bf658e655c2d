"""Reads the remote store again and says what is damaged, whom it hurts and how it heals."""

import re
from collections.abc import Callable, Iterable, Mapping

from spark_build.core.address import target_of, typed
from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.errors import SparkError
from spark_build.core.record import Record
from spark_build.core.threads import pool_of
from spark_build.core.values import Struct, field
from spark_build.remote.layout import Index, index_path, key_in, memo_folder, output_in, publication_path
from spark_build.remote.store import RemoteStore
from spark_build.storage.check import Finding

_THREADS = 8
_NAMED_BY_CONTENT = re.compile(r"(?:packs|listings)/([0-9a-f]{64})|objects/[0-9a-f/]+/\d{5}-([0-9a-f]{64})")
_SEGMENT = re.compile(r"([0-9a-f]{64})/([0-9a-f]{64})\.parquet")

Drawn = Callable[[list[str]], Iterable[str]]  # the paths whose content is read, of all


class Looked(Struct):
    """What a look over one scope has found."""

    findings: list[Finding] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)  # that can be believed
    hurt: set[Digest] = field(default_factory=set)  # outputs that can't be restored whole
    bad_records: set[Digest] = field(default_factory=set)  # keys


def check_remote(remote: RemoteStore, drawn: Drawn = lambda paths: paths) -> Looked:
    """Everything in the scopes that are read: signatures, listings, and the content of what `drawn` leaves.

    Errors: those of `Bucket`.
    """
    looked = Looked()
    for scope in remote.scopes:
        _Look(remote, scope, looked).go(drawn)
    return looked


class _Look:
    """Over one scope."""

    def __init__(self, remote: RemoteStore, scope: str, looked: Looked) -> None:
        self.remote, self.scope, self.looked = remote, scope, looked
        self.sizes = {found.path: found.size for found in remote.bucket.list(scope)}
        self.stages: dict[Digest, set[str]] = {}  # of outputs
        self.readers: dict[str, set[Digest]] = {}  # what lies there -> the outputs that need it

    def go(self, drawn: Drawn) -> None:
        with pool_of(_THREADS) as pool:
            list(pool.map(self._record, self._below("records")))
            list(pool.map(self._index, self._below("trees")))
            list(pool.map(self._segment, self._below("memo")))
            list(pool.map(self._publication, self._below("published")))
            content = [path for path in self.sizes if _NAMED_BY_CONTENT.search(path)]
            list(pool.map(self._content, drawn(content)))

    def _below(self, kind: str) -> list[str]:
        return [path for path in self.sizes if path.startswith(f"{self.scope}/{kind}/")]

    def _record(self, path: str) -> None:
        key = key_in(path)
        if not key:
            return self._tell(
                "record", path, "a file among the Records whose name is no key", (), "delete it there"
            )
        try:
            record = self.remote.read_record(self.scope, path, key)
        except SparkError as error:
            self.looked.bad_records.add(key)
            return self._tell("record", path, error.message, (), error.fix or "")
        if record is not None:
            self.looked.records.append(record)
            self.stages.setdefault(record.output, set()).add(record.stage)
        return None

    def _index(self, path: str) -> None:
        output = output_in(path)
        data = self.remote.bucket.get(path)
        try:
            index = Index.parse(data or b"", output)
        except SparkError as error:
            return self._hurt("object", path, error.message, {output})
        for needed in self._needs(index):
            self.readers.setdefault(needed, set()).add(output)
            if needed not in self.sizes:
                self._hurt("object", needed, "is not there", {output})
        return None

    def _needs(self, index: Index) -> list[str]:
        """What the Artifact's objects lie in; what lies in another scope is looked at there."""
        return sorted(path for path in index.places if path.startswith(f"{self.scope}/"))

    def _content(self, path: str) -> None:
        data = self.remote.bucket.get(path)
        if data is not None and not _is_named_by(path, data):
            self._hurt("object", path, "does not match its digest", self.readers.get(path, set()))

    def _segment(self, path: str) -> None:
        match = _SEGMENT.search(path)
        if match is None or path.endswith(".sig"):
            return
        from spark_build.remote.memo import trusted

        told: list[str] = []
        remote = self.remote
        if f"{path}.sig" in self.sizes:
            trusted(remote.bucket, self.scope, match[1], f"{match[2]}.parquet", remote.trust, told.append)
        for what in told:
            self._tell("memo", path, what, (), f"delete it there ({memo_folder(self.scope, match[1])})")

    def _publication(self, path: str) -> None:
        from spark_build.remote.publications import claimed, read

        remote = self.remote
        said = next(claimed(remote.bucket, [path]), None)
        name = said.name if said is not None else ""
        fix = f"spark store publish {typed(name)}" if said is not None else "delete it there"
        if said is None or path != publication_path(self.scope, name):
            return self._tell("publication", path, "is no publication, or that of another name", (), fix)
        standing = read(remote.bucket, self.scope, name, remote.trust)
        if standing.problem is not None:
            return self._tell("publication", path, standing.problem.message, (), fix)
        output = said.output
        if output is not None and all(
            remote.bucket.head(index_path(s, output)) is None for s in remote.scopes
        ):
            return self._tell(
                "publication", path, f"'{name}' stands for {output[:12]}, which is not there", (), fix
            )
        return None

    def _hurt(self, kind: str, path: str, what: str, outputs: set[Digest]) -> None:
        self.looked.hurt |= outputs
        stages = sorted({stage for output in outputs for stage in self.stages.get(output, ())})
        targets = " ".join(dict.fromkeys(typed(target_of(stage)) for stage in stages))
        fix = f"spark store check --remote --repair, where it is; else spark build {targets} makes it again"
        self._tell(kind, path, what, tuple(stages), fix if targets else "nothing that is built needs it")

    def _tell(self, kind: str, path: str, what: str, stages: tuple[str, ...], fix: str) -> None:
        self.looked.findings.append(Finding(kind, path, what, fix, stages))


def _is_named_by(path: str, data: bytes) -> bool:
    match = _NAMED_BY_CONTENT.search(path)
    return match is not None and digest_bytes(data) == (match[1] or match[2])


def remove_if_damaged(remote: RemoteStore, path: str) -> None:
    """Of a pack, a part or a listing that no index names any more. Errors: Refused for who may not delete."""
    data = remote.bucket.get(path) if _NAMED_BY_CONTENT.search(path) else None
    if data is not None and not _is_named_by(path, data):
        remote.bucket.delete(path)


def repair(remote: RemoteStore, looked: Looked, local: Mapping[Digest, Record]) -> list[str]:
    """Pushes again what is hurt there and whole here; the stages whose results are put right.

    `local`: this store's Records by key.
    """
    healed = []
    remote.forget_pushed()
    for record in [*looked.records, *(local[key] for key in looked.bad_records if key in local)]:
        is_hurt = record.output in looked.hurt
        if is_hurt and remote.objects.missing(record.output):
            continue
        if is_hurt:
            remote.refuse(record.output, forgets=False)
        if is_hurt or record.key in looked.bad_records:
            remote.push(record, with_artifact=is_hurt)
            healed.append(record.stage)
    return healed
