"""One HTTP request and its answer: over when its deadline is, and to no address that was not looked at."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import BinaryIO
from urllib.parse import SplitResult, quote, urlsplit

from spark_build.core.values import Struct

LATER = (408, 425, 429, 500, 502, 503, 504)  # statuses that may pass
_AS_IT_IS = "/%:@!$&'()*+,;=~?"  # of a path or query; all else that is no letter is written as %XX


class Failed(Exception):
    """Why there is no content."""

    def __init__(
        self, reason: str, detail: str, *, may_pass: bool = False, wait_seconds: float = 0.0
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.may_pass, self.wait_seconds = reason, detail, may_pass, wait_seconds


class Request(Struct, frozen=True):
    parts: SplitResult  # of its URL, `checked`
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes | BinaryIO | None = None  # of a file with its Content-Length among the headers
    timeout_seconds: float = 60.0  # as it is told
    allow_private: bool = False


def checked(url: str) -> SplitResult:
    """Errors: Failed where it is no http or https URL, or holds a password."""
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


class Exchange:
    """One request; at its deadline the connection is cut, whatever the other side dribbles."""

    def __init__(self, request: Request, deadline: float) -> None:
        self._request = request
        self.is_late = False
        self._left = deadline - time.monotonic()
        self._timer = threading.Timer(max(0.0, self._left), self._cut)
        self._timer.daemon = True
        self.socket: socket.socket | None = None

    def __enter__(self) -> "Exchange":
        self._timer.start()
        parts = self._request.parts
        try:
            connection = self._connected()
            path = quote(parts.path or "/", _AS_IT_IS)
            path += f"?{quote(parts.query, _AS_IT_IS)}" if parts.query else ""
            connection.request(
                self._request.method, path, body=self._request.body, headers=dict(self._request.headers)
            )
            self.answer = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.__exit__()
            raise self.failed(error) from None
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self.socket is not None:
            with suppress(OSError):
                self.socket.close()

    def content(self, most_bytes: int) -> bytes:
        """The whole answer, whatever its status. Errors: Failed where it is cut off, late, or larger than that."""
        try:
            data = self.answer.read(most_bytes + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.failed(error) from None
        if self.is_late:
            raise self.failed(TimeoutError())
        if len(data) > most_bytes:
            raise Failed("too_large", f"more than {most_bytes} bytes")
        if self.answer.length:
            raise Failed("cut_off", f"{self.answer.length} bytes are missing", may_pass=True)
        return data

    def refused(self, detail: str = "") -> Failed:
        """What a status other than success means."""
        status = self.answer.status
        return Failed(
            f"http_{status}",
            detail or self.answer.reason,
            may_pass=status in LATER,
            wait_seconds=_seconds(self.answer.headers.get("Retry-After", "")),
        )

    def failed(self, error: Exception) -> Failed:
        if self.is_late or isinstance(error, TimeoutError):
            return Failed(
                "too_slow", f"more than {self._request.timeout_seconds:g} s; `timeout`", may_pass=True
            )
        if isinstance(error, http.client.IncompleteRead):
            return Failed("cut_off", f"after {len(error.partial)} bytes of the last piece", may_pass=True)
        if isinstance(error, ssl.SSLCertVerificationError):
            return Failed("bad_certificate", error.verify_message)
        if isinstance(error, socket.gaierror):
            return Failed("no_such_host", str(self._request.parts.hostname), may_pass=True)
        if isinstance(error, OSError):
            return Failed("no_connection", error.strerror or type(error).__name__, may_pass=True)
        return Failed("bad_answer", f"{type(error).__name__}: {error}", may_pass=True)

    def _connected(self) -> http.client.HTTPConnection:
        parts = self._request.parts
        host, is_tls = str(parts.hostname), parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        self.socket = _open(host, port, self._left, self._request.allow_private)
        if is_tls:
            self.socket = ssl.create_default_context().wrap_socket(self.socket, server_hostname=host)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = self.socket
        return connection

    def _cut(self) -> None:
        self.is_late = True
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)


def _seconds(retry_after: str) -> float:
    """Of a Retry-After header: seconds, or a date. Source: RFC 9110, section 10.2.3."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0


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
