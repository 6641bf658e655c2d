"""Results that another project has published in its remote store: looked up, verified, and brought in."""

from __future__ import annotations  # what they name need not be loaded

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import StoreDamaged, Unavailable, Untrusted, UsageError
from spark_build.core.trust import TRUSTED, Trust, TrustedKey, scope_in

if TYPE_CHECKING:
    from spark_build.remote.bucket import Bucket
    from spark_build.storage.objects import LocalObjects
    from sparkfile_schema.model import Import

Pin = dict[str, Any]
SERIAL = "published"  # of a pin: which publication it was taken from


def look_up(source: Import, name: str) -> Pin | None:
    """What is published under a name, in the scope that is named, else in `trusted`; None where nothing is.

    Its parts are told by the listing, which its digest vouches for. Errors: Untrusted, StoreDamaged where it can't be
    believed; UsageError where it was withdrawn; those of `Bucket`.
    """
    from spark_build.remote.publications import read, tree_of

    bucket, trust = _bucket(source), trust_of(source)
    for scope in _scopes(source):
        standing = read(bucket, scope, name, trust)
        if standing.problem is not None:
            raise standing.problem
        if (found := standing.publication) is None:
            continue
        if found.output is None:
            raise UsageError(
                f"{source.url}: '{name}' was withdrawn", fix="another tag; ask those who publish there"
            )
        tree = tree_of(bucket, dict.fromkeys((scope, TRUSTED)), found.output)
        if tree is None:
            raise Unavailable(
                f"{source.url}: '{name}' stands for {found.output[:12]}, which is not there",
                fix="who publishes there does so again: spark store publish",
            )
        pin = {"url": source.url, "output": found.output, "key": found.key, "parts": tree.parts()}
        return {**pin, SERIAL: found.serial, **_how(source, scope)}
    return None


def names(source: Import) -> list[str]:
    """What is published there."""
    from spark_build.remote.publications import names_in

    bucket = _bucket(source)
    return sorted(
        {
            name.removesuffix("/train").removesuffix("/version")
            for s in _scopes(source)
            for name in names_in(bucket, s)
        }
    )


def bring(pin: Mapping[str, Any], objects: LocalObjects) -> int:
    """Brings what a pin names into the local store, each object checked; how many bytes came.

    Errors: StoreDamaged where it is not there, or not whole; those of `Bucket`.
    """
    from spark_build.app.remoting import warn
    from spark_build.remote.bucket import Bucket
    from spark_build.remote.store import RemoteStore

    url, output = str(pin["url"]), str(pin["output"])
    bucket = Bucket(url, pin.get("endpoint") or None)
    remote = RemoteStore(
        bucket, objects, objects.state, scope=pin.get("scope") or TRUSTED, trust=Trust(), warn=warn
    )
    if remote.index(output) is None:
        raise StoreDamaged(
            f"{bucket}: the result {output[:12]} that is pinned is not there any more",
            fix="who has it publishes it again, or pin another one: spark update",
        )
    return remote.fetch(output)


def refuse_older(name: str, known: Mapping[str, Any] | None, pin: Pin) -> None:
    """Errors: Untrusted where what stands there was published before what was pinned from there."""
    if known is None or known.get("url") != pin["url"] or not isinstance(known.get(SERIAL), int):
        return
    before, now = known[SERIAL], pin.get(SERIAL, -1)
    is_same = (before, known["output"]) == (now, pin["output"])
    if now > before or is_same or known.get("scope") != pin.get("scope"):
        return
    raise Untrusted(
        f"'{name}': {pin['url']} has one that is older than the one that is pinned ({known['output'][:12]})",
        fix="somebody put it back. Who publishes there says what counts: spark store publish --again; "
        "or delete the pin from Sparkfile.lock and update again",
    )


def trust_of(source: Import) -> Trust:
    return Trust(tuple(TrustedKey(one.key, one.scopes, one.name, one.at) for one in source.keys))


def _scopes(source: Import) -> list[str]:
    own = scope_in({"scope": source.scope}, {}) if source.scope else TRUSTED
    return list(dict.fromkeys((own, TRUSTED)))


def _bucket(source: Import) -> Bucket:
    from spark_build.remote.bucket import Bucket

    return Bucket(source.url, source.endpoint or None)


def _how(source: Import, scope: str) -> Pin:
    """What a later command has to know to find it."""
    told = {"scope": scope if scope != TRUSTED else None, "endpoint": source.endpoint or None}
    return {name: value for name, value in told.items() if value is not None}
