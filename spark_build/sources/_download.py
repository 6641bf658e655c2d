"""One URL's content over HTTP: no private address, no more bytes or seconds than allowed, tries again what may pass."""

import http.client
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from spark_build.core.exchange import Exchange, Failed, Request, checked
from spark_build.core.values import Struct, field

_MOST_REDIRECTS = 10
_MOST_WAIT_SECONDS = 60.0  # where a server asks to be left alone for longer, it is given up
_PIECE = 64 << 10
_AFTER_THE_END_SECONDS = 0.5  # how long bytes beyond the announced length are waited for
_MOVED = (301, 302, 303, 307, 308)


class Asking(Struct, frozen=True):
    """How much is put up with."""

    max_bytes: int
    timeout_seconds: float  # for one try, from the first look at the name to the last byte
    retries: int
    wait_seconds: float  # before the second try; twice as long before each further one
    allow_private: bool
    authorization: str | None = None  # sent to the host of the URL itself, never on to another


class Answer(Struct, frozen=True):
    is_unchanged: bool  # the server says that what its validators name still stands
    content_type: str = ""
    validators: Mapping[str, str] = field(default_factory=dict)  # of 'etag' and 'last-modified', what it gave


def download(
    url: str,
    to: Path,
    asking: Asking,
    validators: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Writes the content to `to`. Errors: Failed, after as many tries as are allowed."""
    wait = asking.wait_seconds
    for tries_left in range(asking.retries, -1, -1):
        try:
            return _try(url, to, asking, validators)
        except Failed as failed:
            if not failed.may_pass or not tries_left or failed.wait_seconds > _MOST_WAIT_SECONDS:
                raise
            sleep(max(wait, failed.wait_seconds))
            wait *= 2
    raise AssertionError("BUG: no try left")


def _try(url: str, to: Path, asking: Asking, validators: Mapping[str, str]) -> Answer:
    deadline = time.monotonic() + asking.timeout_seconds
    headers = {"User-Agent": "spark-build", "Accept-Encoding": "identity", "Connection": "close"}
    asked = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
    headers |= {asked[name]: value for name, value in validators.items() if name in asked}
    home = urlsplit(url).netloc
    for _ in range(_MOST_REDIRECTS + 1):
        parts = checked(url)
        own = {"Authorization": asking.authorization} if asking.authorization and parts.netloc == home else {}
        request = Request(
            parts,
            {**headers, **own},
            timeout_seconds=asking.timeout_seconds,
            allow_private=asking.allow_private,
        )
        with Exchange(request, deadline) as exchange:
            answer = exchange.answer
            if answer.status in _MOVED and answer.headers.get("Location"):
                following = urljoin(url, answer.headers["Location"])
                if parts.scheme == "https" and urlsplit(following).scheme == "http":
                    raise Failed("insecure_redirect", f"{url} leads from https to {following}")
                url = following
                continue
            return _taken(exchange, to, asking.max_bytes)
    raise Failed("too_many_redirects", f"more than {_MOST_REDIRECTS}")


def _taken(exchange: Exchange, to: Path, most_bytes: int) -> Answer:
    """Errors: Failed for an answer that holds no content, or not as much as it says."""
    answer = exchange.answer
    if answer.status == 304:
        return Answer(is_unchanged=True)
    if answer.status != 200:
        raise exchange.refused()
    try:
        _write(exchange, to, most_bytes)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise exchange.failed(error) from None
    named = {name: answer.headers[name] for name in ("etag", "last-modified") if name in answer.headers}
    return Answer(False, answer.headers.get_content_type(), named)


def _write(exchange: Exchange, to: Path, most_bytes: int) -> None:
    announced, count = exchange.answer.length, 0
    if announced is not None and announced > most_bytes:
        raise Failed("too_large", f"{announced} bytes; `max_bytes` is {most_bytes}")
    with open(to, "wb") as out:
        while piece := _piece(exchange, announced, count):
            count += len(piece)
            if count > most_bytes:
                raise Failed("too_large", f"more than {most_bytes} bytes; `max_bytes`")
            out.write(piece)
    if exchange.is_late:
        raise TimeoutError
    if announced is not None and count < announced:
        raise Failed("cut_off", f"{count} of {announced} bytes", may_pass=True)
    if announced is not None and _goes_on(exchange):
        raise Failed("wrong_length", f"it goes on after the {announced} bytes that it announced")


def _piece(exchange: Exchange, announced: int | None, count: int) -> bytes:
    if announced is None:
        return exchange.answer.read(_PIECE)
    # below the answer, which would close the connection at the announced end
    return exchange.answer.fp.read(min(_PIECE, announced - count))


def _goes_on(exchange: Exchange) -> bool:
    assert exchange.socket is not None
    with suppress(OSError, ValueError):
        exchange.socket.settimeout(_AFTER_THE_END_SECONDS)
        return bool(exchange.answer.fp.read(1))
    return False
