"""HTTP/1.1 messages as they stand on the wire: where a head ends, how long its body is."""

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass

PIECE_BYTES = 1 << 20
CHUNKED, UNTIL_CLOSED = -1, -2


class Cut(ConnectionError):
    """The other side left in the middle of a message."""


class Wire:
    """One side's bytes in order."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self._read = bytearray()  # and not yet taken

    def head(self) -> bytes:
        """Up to and with the empty line; b"" where no further message comes."""
        while (end := self._read.find(b"\r\n\r\n")) < 0:
            if not self._more():
                if self._read:
                    raise Cut
                return b""
        return self._taken(end + 4)

    def line(self) -> bytes:
        while (end := self._read.find(b"\r\n")) < 0:
            if not self._more():
                raise Cut
        return self._taken(end + 2)

    def some(self, most: int) -> bytes:
        """At least a byte, b"" at the end."""
        if not self._read:
            return self.connection.recv(min(most, PIECE_BYTES))
        return self._taken(min(most, len(self._read)))

    def is_readable(self, seconds: float) -> bool:
        return bool(self._read or select.select([self.connection], [], [], seconds)[0])

    def _more(self) -> bool:
        data = self.connection.recv(PIECE_BYTES)
        self._read += data
        return bool(data)

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken


@dataclass(frozen=True)
class Head:
    raw: bytes
    first: list[str]  # of a request: method, target, version; of an answer: version, status, reason
    headers: dict[str, str]  # names in lower case

    @property
    def status(self) -> int:
        return int(self.first[1])

    def request_framing(self) -> int:
        return self._framing(otherwise=0)

    def answer_framing(self, method: str) -> int:
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return 0
        return self._framing(otherwise=UNTIL_CLOSED)

    def _framing(self, otherwise: int) -> int:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return CHUNKED
        return int(self.headers.get("content-length", otherwise))


def parsed(raw: bytes) -> Head:
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return Head(raw, first.split(" ", 2), {name.lower(): value.strip() for name, _, value in fields})


def without(head: Head, *names: str) -> Head:
    """The same head without the headers of these names, given in lower case."""
    first, *lines = head.raw.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].decode("latin-1").lower() not in names]
    return parsed(b"\r\n".join([first, *kept, b"", b""]))


def reframed(head: Head, length: int) -> bytes:
    """The same head before a body of that length, in one piece."""
    first, *lines = head.raw.rstrip(b"\r\n").split(b"\r\n")
    framing = (b"content-length:", b"transfer-encoding:", b"expect:")
    kept = [line for line in lines if not line.lower().startswith(framing)]
    return b"\r\n".join([first, *kept, f"Content-Length: {length}".encode(), b"", b""])


def body(wire: Wire, framing: int) -> Iterator[tuple[bytes, bytes]]:
    """Pieces of a message's body: as they stand on the wire, and what of them is content."""
    if framing == CHUNKED:
        yield from _chunks(wire)
    elif framing == UNTIL_CLOSED:
        while piece := wire.some(PIECE_BYTES):
            yield piece, piece
    else:
        yield from _counted(wire, framing)


def _counted(wire: Wire, count: int) -> Iterator[tuple[bytes, bytes]]:
    while count:
        piece = wire.some(count)
        if not piece:
            raise Cut
        count -= len(piece)
        yield piece, piece


def _chunks(wire: Wire) -> Iterator[tuple[bytes, bytes]]:
    size = -1
    while size:
        line = wire.line()
        yield line, b""
        size = int(line.split(b";")[0], 16)
        yield from _counted(wire, size)
        if size:
            yield wire.line(), b""
    while True:  # trailers, and the empty line behind them
        line = wire.line()
        yield line, b""
        if line == b"\r\n":
            return
