"""What an endpoint really does of all that the remote tier relies on: tried once a week, before a first write."""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from spark_build.core.digest import canonical_json, digest_json
from spark_build.core.values import Struct, asdict
from spark_build.remote.bucket import Bucket, Refused
from spark_build.remote.layout import trial_folder

if TYPE_CHECKING:
    from spark_build.storage.state import State

_GOOD_SECONDS, _POOR_SECONDS = 7 * 86400.0, 3600.0  # what is noted is believed; a poor one may be mended soon
_CONTENT = b"0123456789"


class Features(Struct, frozen=True):
    """Each with what it costs where it is missing."""

    creates: bool  # If-None-Match: * is refused where something stands
    replaces: bool  # If-Match is refused where something else, or nothing, stands
    ranges: bool  # a part of a thing can be read
    lists: bool  # what was just written is listed
    etags_are_bare: bool = False  # no fault: how If-Match wants them

    @property
    def leases(self) -> bool:
        return self.creates and self.replaces

    def problems(self) -> list[str]:
        told = {
            "conditional writes (If-None-Match, If-Match) are not honoured: two machines may do the same work, and of "
            "two different results of one action each is kept beside, but which one others get first is left to chance":
                self.leases,
            "parts of a thing can't be read: restores fetch whole packs": self.ranges,
            "a listing lacks what was just written: an interrupted upload may send again what was there": self.lists,
        }  # fmt: skip
        return [text for text, is_good in told.items() if not is_good]


def features_of(bucket: Bucket, scope: str, state: "State", warn: Callable[[str], None]) -> Features:
    """As noted, or tried now; what is missing is told each time. The bucket learns how ETags are spelled there."""
    around = [os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_PROFILE")]
    place = [bucket.url, bucket.endpoint, *around, scope]
    name = f"remote-features/{digest_json(place)[:16]}"
    found = _noted(state.get(name))
    if found is None:
        found = try_out(bucket, scope)
        state.put(name, canonical_json({"at": time.time(), "features": asdict(found)}))
        state.flush_now_and_then()
    bucket.etags_are_bare = found.etags_are_bare
    for problem in found.problems():
        warn(f"{bucket}: {problem}\n  fix: a store that does this, such as Amazon S3, Ceph or MinIO")
    return found


def try_out(bucket: Bucket, scope: str) -> Features:
    """Some nine requests, one after the other, on a thing that nobody else knows."""
    folder = trial_folder(scope, os.urandom(8).hex())
    path = f"{folder}/thing"
    is_made = bucket.put_new(path, _CONTENT) is not None
    try:
        lists = [(one.path, one.size) for one in bucket.list(folder)] == [(path, len(_CONTENT))]
        ranges = bucket.has_ranges(path, _CONTENT)
        creates = is_made and bucket.put_new(path, b"another") is None
        is_replaced = _replaces(bucket, path)
        replaces = is_replaced and bucket.put_over(path, b"another", _NO_ETAG) is None
        return Features(
            creates=creates,
            replaces=replaces and not _makes_anew(bucket, f"{folder}/absent"),
            ranges=ranges,
            lists=lists,
            etags_are_bare=bucket.etags_are_bare,
        )
    finally:
        with suppress(Refused):  # it stays there then
            bucket.delete(path)


def _replaces(bucket: Bucket, path: str) -> bool:
    """Whether what has an ETag can be replaced by naming it; in one spelling or the other."""
    for bucket.etags_are_bare in (False, True):
        standing = bucket.head(path)
        if standing is not None and bucket.put_over(path, _CONTENT, standing.etag) is not None:
            return True
    return False


def _makes_anew(bucket: Bucket, path: str) -> bool:
    """Whether a write over what is not there makes it: a lease that was given back would come back."""
    try:
        is_made = bucket.put_over(path, b"another", _NO_ETAG) is not None
    except Refused:  # what is absent is forbidden to who may not list
        return False
    if is_made:
        bucket.delete(path)
    return is_made


def _noted(data: bytes | None) -> Features | None:
    """None where nothing is known, or it is too old."""
    try:
        told = json.loads(data or b"")
        found, age = Features(**told["features"]), time.time() - told["at"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if 0 <= age < (_POOR_SECONDS if found.problems() else _GOOD_SECONDS) else None


_NO_ETAG = f'"{"0" * 32}"'
