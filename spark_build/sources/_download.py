"""One URL's content over HTTP: no private address, no more bytes or seconds than allowed, tries again what may pass."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from spark_build.core.values import Struct, field

_MOST_REDIRECTS = 10
_MOST_WAIT_SECONDS = 60.0  # where a server asks to be left alone for longer, it is given up
_PIECE = 64 << 10
_AFTER_THE_END_SECONDS = 0.5  # how long bytes beyond the announced length are waited for
_AS_IT_IS = "/%:@!$&'()*+,;=~?"  # of a path or query; all else that is no letter is written as %XX
_MOVED = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429, 500, 502, 503, 504)


class Asking(Struct, frozen=True):
    """How much is put up with."""

    max_bytes: int
    timeout_seconds: float  # for one try, from the first look at the name to the last byte
    retries: int
    wait_seconds: float  # before the second try; twice as long before each further one
    allow_private: bool
    authorization: str | None = None  # sent to the host of the URL itself, never on to another


class Failed(Exception):
    """Why there is no content."""

    def __init__(
        self, reason: str, detail: str, *, may_pass: bool = False, wait_seconds: float = 0.0
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.may_pass, self.wait_seconds = reason, detail, may_pass, wait_seconds


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
        parts = _checked(url)
        own = {"Authorization": asking.authorization} if asking.authorization and parts.netloc == home else {}
        with _Exchange(parts, {**headers, **own}, asking, deadline) as exchange:
            answer = exchange.answer
            if answer.status in _MOVED and answer.headers.get("Location"):
                following = urljoin(url, answer.headers["Location"])
                if parts.scheme == "https" and urlsplit(following).scheme == "http":
                    raise Failed("insecure_redirect", f"{url} leads from https to {following}")
                url = following
                continue
            return exchange.taken(to)
    raise Failed("too_many_redirects", f"more than {_MOST_REDIRECTS}")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Failed("bad_url", f"{url}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failed("bad_url", f"{url} is no http or https URL")
    if parts.username is not None or parts.password is not None:
        raise Failed("bad_url", "a URL with a password in it; `authorization:` is for that")
    return parts


class _Exchange:
    """One request, over when its deadline is: then the connection is cut, whatever the other side dribbles."""

    def __init__(
        self, parts: SplitResult, headers: Mapping[str, str], asking: Asking, deadline: float
    ) -> None:
        self._parts, self._headers, self._asking = parts, headers, asking
        self._is_late = False
        self._left = deadline - time.monotonic()
        self._timer = threading.Timer(max(0.0, self._left), self._cut)
        self._timer.daemon = True
        self._socket: socket.socket | None = None

    def __enter__(self) -> "_Exchange":
        self._timer.start()
        try:
            self._connection = self._connected()
            path = quote(self._parts.path or "/", _AS_IT_IS)
            path += f"?{quote(self._parts.query, _AS_IT_IS)}" if self._parts.query else ""
            self._connection.request("GET", path, headers=dict(self._headers))
            self.answer = self._connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.__exit__()
            raise self._failed(error) from None
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()

    def taken(self, to: Path) -> Answer:
        """Errors: Failed for an answer that holds no content, or not as much as it says."""
        status = self.answer.status
        if status == 304:
            return Answer(is_unchanged=True)
        if status != 200:
            wait = self.answer.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdecimal() else 0.0
            raise Failed(
                f"http_{status}", self.answer.reason, may_pass=status in _LATER, wait_seconds=seconds
            )
        try:
            self._write(to)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(error) from None
        named = {
            name: self.answer.headers[name]
            for name in ("etag", "last-modified")
            if name in self.answer.headers
        }
        return Answer(False, self.answer.headers.get_content_type(), named)

    def _write(self, to: Path) -> None:
        announced, most, count = self.answer.length, self._asking.max_bytes, 0
        if announced is not None and announced > most:
            raise Failed("too_large", f"{announced} bytes; `max_bytes` is {most}")
        with open(to, "wb") as out:
            while piece := self._piece(announced, count):
                count += len(piece)
                if count > most:
                    raise Failed("too_large", f"more than {most} bytes; `max_bytes`")
                out.write(piece)
        if self._is_late:
            raise TimeoutError
        if announced is not None and count < announced:
            raise Failed("cut_off", f"{count} of {announced} bytes", may_pass=True)
        if announced is not None and self._goes_on():
            raise Failed("wrong_length", f"it goes on after the {announced} bytes that it announced")

    def _piece(self, announced: int | None, count: int) -> bytes:
        if announced is None:
            return self.answer.read(_PIECE)
        # below the answer, which would close the connection at the announced end
        return self.answer.fp.read(min(_PIECE, announced - count))

    def _goes_on(self) -> bool:
        assert self._socket is not None
        with suppress(OSError, ValueError):
            self._socket.settimeout(_AFTER_THE_END_SECONDS)
            return bool(self.answer.fp.read(1))
        return False

    def _connected(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        is_tls = self._parts.scheme == "https"
        self._socket = _open(host, port or (443 if is_tls else 80), self._left, self._asking.allow_private)
        if is_tls:
            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
        connection = http.client.HTTPConnection(host, port or (443 if is_tls else 80))
        connection.sock = self._socket
        return connection

    def _cut(self) -> None:
        self._is_late = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _failed(self, error: Exception) -> Failed:
        if self._is_late or isinstance(error, TimeoutError):
            return Failed(
                "too_slow", f"more than {self._asking.timeout_seconds:g} s; `timeout`", may_pass=True
            )
        if isinstance(error, http.client.IncompleteRead):
            return Failed("cut_off", f"after {len(error.partial)} bytes of the last piece", may_pass=True)
        if isinstance(error, ssl.SSLCertVerificationError):
            return Failed("bad_certificate", error.verify_message)
        if isinstance(error, socket.gaierror):
            return Failed("no_such_host", str(self._parts.hostname), may_pass=True)
        if isinstance(error, OSError):
            return Failed("no_connection", error.strerror or type(error).__name__, may_pass=True)
        return Failed("bad_answer", f"{type(error).__name__}: {error}", may_pass=True)


def _open(host: str, port: int, timeout_seconds: float, allow_private: bool) -> socket.socket:
    """Connects to the address that was looked at, so that a name which changes its mind gains nothing."""
    if timeout_seconds <= 0:
        raise TimeoutError
    last: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not allow_private and not is_public(str(address[0])):
            raise Failed("private_address", f"{host} is {address[0]}; `allow_private: true` allows it")
        opened = socket.socket(family, kind, protocol)
        opened.settimeout(timeout_seconds)
        try:
            opened.connect(address)
        except OSError as error:
            opened.close()
            last = error
        else:
            return opened
    raise last or OSError("no address")


def is_public(text: str) -> bool:
    """Neither private, loopback, link-local, reserved nor multicast, also where one address hides in another."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        translated = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        if inner := address.ipv4_mapped or translated:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
