"""One prefix of a bucket: the few requests that the remote tier makes, tried again where that may help."""

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from spark_build.core.buckets import open_bucket
from spark_build.core.errors import SparkError, TransientError, Unavailable

T = TypeVar("T")

TRIES = 6
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 8.0
# what no second try makes good; every other refusal of a server is taken for a passing one
_FINAL = ("status code: 400", "status code: 401", "status code: 403", "status code: 405", "status code: 501")


class Found(NamedTuple):
    """What a listing tells of one thing in the bucket."""

    path: str
    size: int  # bytes
    modified: float  # seconds since 1970, by the server's clock
    etag: str | None


class Refused(SparkError):
    """The server does not let these credentials do that."""


class Bucket:
    """Paths count from the prefix. Every request is one HTTP request, unless it has to be tried again.

    Errors of all: TransientError where it did not answer after `TRIES` tries, with what was tried; Refused where it
    says no; Unavailable where there is no such bucket.
    """

    def __init__(self, url: str, endpoint: str | None = None, *, sleep: Callable[[float], None] = time.sleep):
        self.url, self.endpoint = url.rstrip("/"), endpoint
        self._sleep = sleep

    @cached_property
    def _store(self) -> Any:
        return open_bucket(self.url, self.endpoint, tries_again=False)

    def __str__(self) -> str:
        return f"{self.url} at {self.endpoint}" if self.endpoint else self.url

    def get(self, path: str) -> bytes | None:
        """The whole content; None where nothing stands there."""
        import obstore

        def ask() -> bytes:
            found = obstore.get(self._store, path)
            data = found.bytes().to_bytes()
            if len(data) != found.meta["size"]:
                raise ConnectionError(f"{len(data)} of {found.meta['size']} bytes came")
            return data

        return self._there(path, f"GET {path}", ask)

    def get_with_etag(self, path: str) -> tuple[bytes, str | None] | None:
        import obstore

        def ask() -> tuple[bytes, str | None]:
            found = obstore.get(self._store, path)
            return found.bytes().to_bytes(), found.meta["e_tag"]

        return self._there(path, f"GET {path}", ask)

    def get_range(self, path: str, start: int, length: int) -> bytes | None:
        """`length` bytes from `start`. Errors: TransientError too where fewer came each time."""
        import obstore

        def ask() -> bytes:
            data = obstore.get_range(self._store, path, start=start, length=length).to_bytes()
            if len(data) != length:
                raise ConnectionError(f"{len(data)} of {length} bytes came")
            return data

        return self._there(path, f"GET {path}", ask) if length else b""

    def head(self, path: str) -> Found | None:
        import obstore

        return self._there(path, f"HEAD {path}", lambda: _found(obstore.head(self._store, path)))

    def put(self, path: str, data: bytes | memoryview) -> None:
        import obstore

        self._tried(f"PUT {path}", lambda: obstore.put(self._store, path, data, use_multipart=False))

    def put_new(self, path: str, data: bytes) -> str | None:
        """The ETag of what was written; None where something stands there."""
        return self._put_where(path, data, "create")

    def put_over(self, path: str, data: bytes, etag: str | None) -> str | None:
        """Replaces what had this ETag; None where something else, or nothing, stands there by now."""
        return self._put_where(path, data, {"e_tag": etag})

    def _put_where(self, path: str, data: bytes, mode: Any) -> str | None:
        """A try whose answer was lost may have written it all the same: then what stands there is ours."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotModifiedError, PreconditionError

        tries = 0

        def ask() -> str | None:
            nonlocal tries
            tries += 1
            try:
                return obstore.put(self._store, path, data, mode=mode)["e_tag"] or ""
            except (AlreadyExistsError, PreconditionError, NotModifiedError):
                standing = self.get_with_etag(path) if tries > 1 else None
                return standing[1] or "" if standing is not None and standing[0] == data else None
            except FileNotFoundError as error:
                if mode == "create" or "NoSuchBucket" in str(error):
                    raise
                return None

        return self._tried(f"PUT {path}", ask)

    def delete(self, path: str) -> None:
        """Also where it is gone already."""
        import obstore

        self._absent(f"DELETE {path}", lambda: obstore.delete(self._store, path))

    def list(self, folder: str) -> Iterator[Found]:
        """Everything below `folder`, up to a thousand a request."""
        import obstore

        def ask() -> list[Any]:
            return [one for some in obstore.list(self._store, folder, chunk_size=1000) for one in some]

        yield from map(_found, self._tried(f"LIST {folder}", ask))

    # how it is asked

    def _there(self, path: str, what: str, ask: Callable[[], T]) -> T | None:
        """Who may list only some prefixes is told "forbidden" of what is absent: then the listing tells."""
        try:
            return self._absent(what, ask)
        except Refused:
            if self._is_listed(path):
                raise
            return None

    def _is_listed(self, path: str) -> bool:
        """Errors: Refused where listing is too."""
        import obstore

        def ask() -> bool:
            folder, before = path.rpartition("/")[0], path[:-1]
            some = next(iter(obstore.list(self._store, folder or None, offset=before, chunk_size=1)), [])
            return any(one["path"] == path for one in some)

        return self._tried(f"LIST {path}", ask)

    def _absent(self, what: str, ask: Callable[[], T]) -> T | None:
        try:
            return self._tried(what, ask)
        except FileNotFoundError:
            return None

    def _tried(self, what: str, ask: Callable[[], T]) -> T:
        """With back-off and jitter, so that many who failed at once do not come again at once."""
        from obstore.exceptions import BaseError

        began, last = time.monotonic(), ""
        for attempt in range(TRIES):
            if attempt:
                self._sleep(_wait(attempt))
            try:
                return ask()
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise self._no_bucket() from error
                raise
            except (BaseError, OSError) as error:
                last = _first_line(error)
                self._raise_if_final(what, error, last)
        seconds = time.monotonic() - began
        raise TransientError(
            f"{self}: {what} failed {TRIES} times in {seconds:.0f} s, last: {last}",
            fix="check the network and the endpoint; --offline works with what is here",
        )

    def _raise_if_final(self, what: str, error: Exception, told: str) -> None:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        text = str(error)
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            raise Refused(
                f"{self}: these credentials may not {what}",
                fix="check AWS_ACCESS_KEY_ID or AWS_PROFILE and the policy (spark store policy); "
                "--no-push builds without uploading",
            ) from error
        if any(code in text for code in _FINAL) and "SlowDown" not in text and "RequestTimeout" not in text:
            raise Unavailable(
                f"{self}: {what} was refused: {told}", fix="check store.remote and the endpoint"
            )

    def _no_bucket(self) -> Unavailable:
        name = self.url.removeprefix("s3://").partition("/")[0]
        return Unavailable(
            f"{self}: there is no bucket '{name}'", fix="make it, or mend store.remote and the endpoint"
        )


def _wait(attempt: int) -> float:
    import random

    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0**attempt)
    return random.uniform(longest / 2, longest)


def _found(meta: Any) -> Found:
    return Found(meta["path"], meta["size"], meta["last_modified"].timestamp(), meta["e_tag"])


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.partition(" - ")[2][:200] or line[:200]
