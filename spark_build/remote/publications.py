"""What a project gives to others: one signed object a name, which says what its result is."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from spark_build.core.digest import Digest, canonical_json
from spark_build.core.errors import SparkError, StoreDamaged, TransientError, Untrusted
from spark_build.core.signing import Envelope
from spark_build.core.tree import Tree
from spark_build.core.trust import Trust, seal
from spark_build.core.values import Struct
from spark_build.remote.bucket import Bucket
from spark_build.remote.layout import Index, index_path, is_digest, publication_path, publications_folder
from spark_build.remote.publish import create, replaced
from spark_build.remote.store import RemoteStore

PUBLICATION_TYPE = "application/vnd.spark-build.publication+json"
_VERSION = 1
_ROUNDS = 4
_READS = 2
_MOST_SERIAL = 1 << 53
_FIX = "who publishes there does so again: spark store publish"


class Publication(Struct, frozen=True):
    """A name, and the result that stands for it."""

    name: str  # `model:sft@prod`; without a tag the stage, `model:sft/train`
    store: str  # URL of the remote store that it was signed for
    key: Digest
    output: Digest | None  # None: withdrawn
    serial: int  # seconds since 1970, and more than that of any that stood there before

    def to_bytes(self) -> bytes:
        told = {
            "version": _VERSION, "name": self.name, "store": self.store, "key": self.key, "output": self.output,
            "serial": self.serial,
        }  # fmt: skip
        return canonical_json(told)

    @classmethod
    def parse(cls, data: bytes, where: str) -> "Publication":
        """Errors: StoreDamaged where it is none."""
        try:
            told = json.loads(data)
            if told.pop("version") != _VERSION:
                raise ValueError("another version")
            found = cls(**told)
            _check(found)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreDamaged(f"{where} is no publication ({error})", fix=_FIX) from None
        return found


class Standing(NamedTuple):
    """What stands under a name."""

    publication: Publication | None  # that is believed
    problem: SparkError | None = None  # why it is not
    etag: str | None = None  # of whatever stands there
    signers: tuple[str, ...] = ()  # ids of keys


class Published(Struct, frozen=True):
    """What became of a name."""

    publication: Publication
    before: Publication | None  # that stood there, and was believed
    is_new: bool


def read(bucket: Bucket, scope: str, name: str, trust: Trust) -> Standing:
    """What damages a read is read once more. Errors: those of `Bucket`."""
    path = publication_path(scope, name)
    standing = Standing(None)
    for _ in range(_READS):
        found = bucket.read(path)
        if found is None:
            return Standing(None)
        try:
            publication = _opened(found.data, bucket.url, scope, name, path, trust)
            signers = tuple(one.keyid for one in Envelope.parse(found.data, path).signatures)
            return Standing(publication, None, found.etag or "", signers)
        except (StoreDamaged, Untrusted) as error:
            standing = Standing(None, error, found.etag or "")
    return standing


def publish(
    remote: RemoteStore, name: str, key: Digest, output: Digest | None, *, again: bool = False
) -> Published:
    """From now on that result stands for the name, in the scope that is written; `output` None withdraws it.

    `again`: with a new serial number also where it stands there already.

    Of two who publish at the same time the second sees what the first wrote, and replaces it. Errors: TransientError
    where others never stop; those of `Bucket`; UsageError without a key that may sign.
    """
    bucket, scope, signer = remote.bucket, remote.scope, remote.trust.signer(remote.scope)
    path = publication_path(scope, name)
    for _ in range(_ROUNDS):
        standing = read(bucket, scope, name, remote.trust)
        before = standing.publication
        is_signed = signer is None or signer.public.id in standing.signers
        is_same = before is not None and (before.key, before.output) == (key, output)
        if before is not None and is_same and is_signed and not again:
            return Published(before, before, is_new=False)
        serial = max(int(time.time()), before.serial + 1 if before is not None else 0)
        made = Publication(name, bucket.url, key, output, serial)
        data = seal(made.to_bytes(), PUBLICATION_TYPE, scope, signer)
        if standing.etag is None:
            is_there = create(bucket, path, data, remote.features)
        else:
            is_there = replaced(bucket, path, data, standing.etag, remote.features)
        if is_there:
            return Published(made, before, is_new=True)
    raise TransientError(f"{bucket}: others publish '{name}' all the time", fix="see who does, then again")


def tree_of(bucket: Bucket, scopes: Iterable[str], output: Digest) -> Tree | None:
    """The listing of what is published; None where nobody has it. Errors: StoreDamaged."""
    for scope in scopes:
        data = bucket.get(index_path(scope, output))
        if data is not None:
            return Index.parse(data, output).tree
    return None


def claimed(bucket: Bucket, paths: Iterable[str]) -> Iterator[Publication]:
    """What publications say, whoever wrote them: for hints, and to keep what they name."""
    for path in paths:
        data = bucket.get(path)
        try:
            payload = Envelope.parse(data or b"", path)
            yield Publication.parse(payload.unverified(payload.payload_type, path), path)
        except (StoreDamaged, Untrusted):
            continue


def names_in(bucket: Bucket, scope: str, most: int = 50) -> list[str]:
    """What is published there, whoever did it."""
    paths = [found.path for found in bucket.list(publications_folder(scope))][:most]
    return sorted(one.name for one in claimed(bucket, paths) if one.output is not None)


def _opened(data: bytes, url: str, scope: str, name: str, path: str, trust: Trust) -> Publication:
    found = Publication.parse(trust.open(data, PUBLICATION_TYPE, scope, path), path)
    if found.name != name:
        raise Untrusted(f"{path} was published as '{found.name}', not as '{name}'", fix=_FIX)
    if trust.is_required and found.store != url:
        raise Untrusted(f"{path} was published in {found.store}, not in {url}", fix=_FIX)
    return found


def _check(found: Publication) -> None:
    """Errors: ValueError; types are told by no signature."""
    digests: list[Any] = [found.key, *([] if found.output is None else [found.output])]
    if not all(isinstance(one, str) and is_digest(one) for one in digests):
        raise ValueError("no digest")
    if not isinstance(found.name, str) or not isinstance(found.store, str):
        raise ValueError("no name")
    if type(found.serial) is not int or not 0 <= found.serial < _MOST_SERIAL:
        raise ValueError("no serial number")
