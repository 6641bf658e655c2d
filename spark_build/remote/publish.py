"""Brings a Record to its place: the first that is believed stays, also where the endpoint keeps no such promise."""

from collections.abc import Callable

from spark_build.core.errors import TransientError
from spark_build.core.record import Record
from spark_build.remote.bucket import Bucket
from spark_build.remote.features import Features

_ROUNDS = 4

Standing = tuple[Record | None, str | None]  # what is believed of what stands there, and its ETag


def publish(
    bucket: Bucket, path: str, data: bytes, read: Callable[[], Standing], features: Features
) -> Record | None:
    """The Record that stands there and was not ours to replace; None where ours stands there now."""
    for _ in range(_ROUNDS):
        if create(bucket, path, data, features):
            return None
        standing, etag = read()
        if standing is not None:
            return standing
        # damaged, or of somebody who may not write here
        if etag is not None and replaced(bucket, path, data, etag, features):
            return None
    raise TransientError(
        f"{bucket}: others write and delete {path} all the time", fix="see who else writes there, then again"
    )


def create(bucket: Bucket, path: str, data: bytes, features: Features) -> bool:
    """Whether it stands there now and nothing did before.

    Without conditional writes the last of two stays, and the first need not know.
    """
    if features.creates:
        return bucket.put_new(path, data) is not None
    if bucket.get(path) is not None:
        return False
    bucket.put(path, data)
    return bucket.get(path) == data


def replaced(bucket: Bucket, path: str, data: bytes, etag: str, features: Features) -> bool:
    """Whether it stands there now in place of what had this ETag."""
    if features.replaces:
        return bucket.put_over(path, data, etag) is not None
    bucket.put(path, data)
    return bucket.get(path) == data
