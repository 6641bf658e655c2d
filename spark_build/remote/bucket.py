"""One prefix of a bucket: the few requests that the remote tier makes, tried again where that may help."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from spark_build.core.buckets import of_credentials, open_bucket
from spark_build.core.errors import SparkError, TransientError, Unavailable
from spark_build.core.threads import interruptible

T = TypeVar("T")

TRIES = 6
LONGEST_SECONDS = 300.0  # after the first try no further one begins later than this
ANSWER_SECONDS = 20.0  # for the head of an answer, and between two pieces of its body
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 8.0
_BODY_SECONDS = 3600.0  # a body that keeps coming is not cut off before
_LARGE_BYTES = 1 << 20
_DISTRUSTED = re.compile(r"InvalidCertificate\(\s*(\w+)")
# what a large body is given to be sent, by the second; the lower one as soon as the higher one was too much
_BYTES_PER_SECOND, _LEAST_BYTES_PER_SECOND = 512 << 10, 64 << 10
# what no second try makes good; every other refusal of a server is taken for a passing one
_FINAL = ("status code: 400", "status code: 401", "status code: 403", "status code: 405", "status code: 501")
_PASSING = (
    "SlowDown", "RequestTimeout", "BadDigest", "ContentSHA256Mismatch", "IncompleteBody", "InvalidDigest",
)  # fmt: skip  # whatever their status: what was sent came in otherwise


class Found(NamedTuple):
    """What a listing tells of one thing in the bucket."""

    path: str
    size: int  # bytes
    modified: float  # seconds since 1970, by the server's clock
    etag: str | None


class Content(NamedTuple):
    """What one answer tells of one thing in the bucket."""

    data: bytes
    modified: float  # seconds since 1970, by the server's clock, whole ones
    etag: str | None  # names what was written, and is a digest of nothing: only conditional writes take it


class Refused(SparkError):
    """The server does not let these credentials do that."""


class Bucket:
    """Paths count from the prefix. Every request is one HTTP request, unless it has to be tried again.

    Errors of all: TransientError where it did not answer after `TRIES` tries, with what was tried; Refused where it
    says no; Unavailable where there is no such bucket.
    """

    def __init__(
        self,
        url: str,
        endpoint: str | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url, self.endpoint = url.rstrip("/"), endpoint
        self._answer_seconds, self._sleep = answer_seconds, sleep
        self._stores: dict[float, Any] = {}  # by how long an answer may take
        self._opening = threading.Lock()
        self.etags_are_bare = False  # If-Match takes them without their quotes alone, as Ceph 18 does
        self._is_answered = False  # once it was, keys that can't be had are taken for a passing trouble
        self._is_slow = False  # a large body did not get there in its time

    def __str__(self) -> str:
        return f"{self.url} at {self.endpoint}" if self.endpoint else self.url

    def get(self, path: str) -> bytes | None:
        """The whole content; None where nothing stands there."""
        found = self.read(path)
        return None if found is None else found.data

    def get_buffer(self, path: str) -> memoryview | None:
        """`get` of something large: what came, in the memory that it came in."""
        return self._there(path, f"GET {path}", lambda store: _buffer(store, path)[0])

    def read(self, path: str) -> Content | None:
        return self._there(path, f"GET {path}", lambda store: _content(store, path))

    def get_range(self, path: str, start: int, length: int) -> memoryview | None:
        """`length` bytes from `start`; fewer where the whole is shorter, which no second try makes longer."""

        def ask(store: Any) -> memoryview:
            import obstore

            data = _range(store, path, start, length)
            if data is None:
                data = _buffer(store, path)[0][start:][:length]
            if len(data) < length:
                wanted = max(0, min(length, obstore.head(store, path)["size"] - start))
                if len(data) != wanted:
                    raise ConnectionError(f"{len(data)} of {wanted} bytes came")
            return data

        return self._there(path, f"GET {path}", ask) if length else memoryview(b"")

    def has_ranges(self, path: str, expected: bytes) -> bool:
        """Whether the last half of `expected`, which stands there, can be read alone."""
        start = len(expected) // 2
        part = self._there(
            path, f"GET {path}", lambda store: _range(store, path, start, len(expected) - start)
        )
        return part is not None and bytes(part) == expected[start:]

    def head(self, path: str) -> Found | None:
        import obstore

        return self._there(path, f"HEAD {path}", lambda store: _found(obstore.head(store, path)))

    def put(self, path: str, data: bytes | memoryview) -> None:
        import obstore

        self._tried(
            f"PUT {path}", lambda store: obstore.put(store, path, data, use_multipart=False), sends=len(data)
        )

    def put_new(self, path: str, data: bytes) -> str | None:
        """The ETag of what was written; None where something stands there."""
        return self._put_where(path, data, "create")

    def put_over(
        self, path: str, data: bytes, etag: str | None, *, within: float | None = None
    ) -> str | None:
        """Replaces what had this ETag; None where something else, or nothing, stands there by now.

        After `within` seconds it is tried no more.
        """
        named = etag.strip('"') if etag is not None and self.etags_are_bare else etag
        return self._put_where(path, data, {"e_tag": named}, within)

    def _put_where(self, path: str, data: bytes, mode: Any, within: float | None = None) -> str | None:
        """A try whose answer was lost may have written it all the same: then what stands there is ours."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotModifiedError, PreconditionError

        tries = 0

        def ask(store: Any) -> str | None:
            nonlocal tries
            tries += 1
            try:
                return obstore.put(store, path, data, mode=mode)["e_tag"] or ""
            except (AlreadyExistsError, PreconditionError, NotModifiedError):
                standing = self.read(path) if tries > 1 else None
                return standing.etag or "" if standing is not None and standing.data == data else None
            except FileNotFoundError as error:
                if mode == "create" or "NoSuchBucket" in str(error):
                    raise
                return None

        return self._tried(f"PUT {path}", ask, sends=len(data), within=within)

    def delete(self, path: str, *, within: float | None = None) -> None:
        """Also where it is gone already. After `within` seconds it is tried no more."""
        import obstore

        self._absent(f"DELETE {path}", lambda store: obstore.delete(store, path), within)

    def list(self, folder: str) -> Iterator[Found]:
        """Everything below `folder`, up to a thousand a request."""
        import obstore

        def ask(store: Any) -> list[Any]:
            return [one for some in obstore.list(store, folder, chunk_size=1000) for one in some]

        yield from map(_found, self._tried(f"LIST {folder}", ask))

    # how it is asked

    def _there(self, path: str, what: str, ask: Callable[[Any], T]) -> T | None:
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

        def ask(store: Any) -> bool:
            folder, before = path.rpartition("/")[0], path[:-1]
            some = next(iter(obstore.list(store, folder or None, offset=before, chunk_size=1)), [])
            return any(one["path"] == path for one in some)

        return self._tried(f"LIST {path}", ask)

    def _absent(self, what: str, ask: Callable[[Any], T], within: float | None = None) -> T | None:
        try:
            return self._tried(what, ask, within=within)
        except FileNotFoundError:
            return None

    def _tried(self, what: str, ask: Callable[[Any], T], *, sends: int = 0, within: float | None = None) -> T:
        """With back-off and jitter, so that many who failed at once do not come again at once."""
        from obstore.exceptions import BaseError

        began, tries, last = time.monotonic(), 0, ""
        while not tries or self._waits_for_another(tries, began, within):
            tries += 1
            seconds = self._seconds_for(sends)
            try:
                answer = interruptible(partial(ask, self._store(seconds)))
                self._is_answered = True
                return answer
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise self._no_bucket() from error
                raise
            except (BaseError, OSError) as error:
                last = _told(error, seconds)
                self._raise_if_final(what, error, last)
                self._is_slow = self._is_slow or (sends > _LARGE_BYTES and _is_timeout(error))
        often = "once" if tries == 1 else f"{tries} times"
        raise TransientError(
            f"{self}: {what} failed {often} in {time.monotonic() - began:.0f} s, last: {last}",
            fix="check the network and the endpoint, then do it again: what came already does not travel again; "
            "--offline works with what is here",
        )

    def _waits_for_another(self, tries: int, began: float, within: float | None) -> bool:
        """False where no further try is to be made."""
        from random import uniform

        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**tries)
        wait = uniform(longest / 2, longest)
        limit = LONGEST_SECONDS if within is None else within
        if tries >= TRIES or time.monotonic() + wait - began > limit:
            return False
        self._sleep(wait)
        return True

    def _store(self, seconds: float) -> Any:
        """obstore has the limit for the head of an answer, and with it for the body that is sent, by store alone."""
        with self._opening:
            if seconds not in self._stores:
                self._stores[seconds] = open_bucket(
                    self.url,
                    self.endpoint,
                    tries_again=False,
                    answer_seconds=seconds,
                    body_seconds=max(seconds, _BODY_SECONDS),
                )
            return self._stores[seconds]

    def _seconds_for(self, sends: int) -> float:
        """How long the head of an answer may take, where so many bytes are sent before; few different ones."""
        seconds, rate = self._answer_seconds, _LEAST_BYTES_PER_SECOND if self._is_slow else _BYTES_PER_SECOND
        while sends > _LARGE_BYTES and seconds < self._answer_seconds + sends / rate:
            seconds *= 2
        return seconds

    def _raise_if_final(self, what: str, error: Exception, told: str) -> None:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        if isinstance(problem := of_credentials(error), Unavailable) and not self._is_answered:
            raise problem from error
        text = str(error)
        if (distrusted := _DISTRUSTED.search(text)) is not None:
            raise Unavailable(
                f"{self}: the server's certificate is not trusted ({distrusted[1]})",
                fix="AWS_CA_BUNDLE, or ca_bundle in the profile, names the PEM file of the authority that signed it",
            ) from error
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            raise Refused(
                f"{self}: these credentials may not {what} ({_code(text) or told})",
                fix="check AWS_ACCESS_KEY_ID or AWS_PROFILE and the policy (spark store policy); "
                "--no-push builds without uploading",
            ) from error
        if any(code in text for code in _FINAL) and not any(code in text for code in _PASSING):
            raise Unavailable(
                f"{self}: {what} was refused: {told}", fix="check store.remote and the endpoint"
            )

    def _no_bucket(self) -> Unavailable:
        name = self.url.removeprefix("s3://").partition("/")[0]
        return Unavailable(
            f"{self}: there is no bucket '{name}'", fix="make it, or mend store.remote and the endpoint"
        )


def _found(meta: Any) -> Found:
    return Found(meta["path"], meta["size"], meta["last_modified"].timestamp(), meta["e_tag"])


def _content(store: Any, path: str) -> Content:
    data, meta = _buffer(store, path)
    return Content(bytes(data), meta["last_modified"].timestamp(), meta["e_tag"])


def _buffer(store: Any, path: str) -> tuple[memoryview, Any]:
    """What came, and what the answer tells of it."""
    import obstore

    found = obstore.get(store, path)
    data = memoryview(found.bytes())
    if len(data) != found.meta["size"]:
        raise ConnectionError(f"{len(data)} of {found.meta['size']} bytes came")
    return data, found.meta


def _range(store: Any, path: str, start: int, length: int) -> memoryview | None:
    """None where the server knows no ranges."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        return memoryview(obstore.get_range(store, path, start=start, length=length))
    except BaseError as error:
        if "non-partial" in str(error):
            return None
        if "status code: 416" in str(error):  # it ends before
            return memoryview(b"")
        raise


def _told(error: Exception, seconds: float) -> str:
    """In a line, without the address that obstore names again."""
    if _is_timeout(error):
        return f"no answer, or no more of it, within {seconds:g} s"
    line = (str(error).splitlines() or [type(error).__name__])[0]
    line = line.partition(" - ")[2] or line
    code = _code(str(error))
    return line.partition(": <?xml")[0][:200] + (f" ({code})" if code else "")


def _is_timeout(error: Exception) -> bool:
    return "kind: Timeout" in str(error)


def _code(text: str) -> str:
    """What the server calls its refusal."""
    found = re.search(r"<Code>(\w{1,60})</Code>", text)
    return found[1] if found else ""
