"""One request and its answer on their way through a proxy, in steps that a fault may leave out or bend."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from tests.services.http_messages import UNTIL_CLOSED, Cut, Head, Wire, body, parsed, reframed, without

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CONTINUE_SECONDS = 2.0  # what a server may take to say so, then the body is sent without its word
STUCK_SECONDS = 300.0


@dataclass
class Request:
    """Told of as soon as its head is here; the figures grow while it goes on."""

    operation: str
    bucket: str
    key: str
    method: str
    access_key: str = ""  # whose signature it has
    sent: int = 0  # bytes of content that the client sent
    received: int = 0  # bytes of content that it got
    status: int = 0  # 0: no answer
    fault: str = ""


class Server:
    """The connection that belongs to one of the client's."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._wire: Wire | None = None

    def wire(self) -> Wire:
        if self._wire and self._wire.is_readable(0):
            self.close()  # what is readable before we ask is its end
        if self._wire is None:
            self._wire = Wire(socket.create_connection(self._address, timeout=STUCK_SECONDS))
        return self._wire

    def in_use(self) -> Wire:
        return self._wire or _cut()

    def close(self) -> None:
        if self._wire:
            self._wire.connection.close()
        self._wire = None


class Exchange:
    def __init__(self, client: Wire, server: Server, head: Head, request: Request) -> None:
        self.request = request
        self.is_over = False  # of the connection: no further request on it
        self._client, self._server, self._head = client, server, head

    def pass_on(self, answer: Head | None = None) -> None:
        answer = answer or self.reach()
        self.tell(answer.status, answer.raw)
        framing = answer.answer_framing(self.request.method)
        for raw, content in body(self._server.in_use(), framing):
            self.tell_more(raw, len(content))
        if framing == UNTIL_CLOSED or "close" in answer.headers.get("connection", "").lower():
            self.leave()

    def forget_headers(self, *names: str) -> None:
        """The server does not hear of them."""
        self._head = without(self._head, *names)

    def swallow(self) -> None:
        """The whole request is taken, and goes nowhere."""
        if self._waits_for_word:
            self._client.connection.sendall(CONTINUE)
        for _ in self._content():
            pass

    def reach(self, change: Callable[[bytes], bytes] | None = None) -> Head:
        """What the server says, its body not yet read."""
        wire = self._server.wire()
        if change is not None:
            if self._waits_for_word:
                self._client.connection.sendall(CONTINUE)
            changed = change(b"".join(content for _, content in self._content()))
            wire.connection.sendall(reframed(self._head, len(changed)) + changed)
            return self._answer(wire)
        wire.connection.sendall(self._head.raw)
        if self._waits_for_word and (early := self._word(wire)):
            self.is_over = True  # who was refused may send the body all the same: nobody can tell
            return early
        self._send_content(wire)
        return self._answer(wire)

    def whole(self, answer: Head) -> bytes:
        framing = answer.answer_framing(self.request.method)
        return b"".join(content for _, content in body(self._server.in_use(), framing))

    def tell(self, status: int, raw: bytes) -> None:
        self.request.status = status
        self._client.connection.sendall(raw)

    def tell_more(self, raw: bytes, content_bytes: int | None = None) -> None:
        self.request.received += len(raw) if content_bytes is None else content_bytes
        self._client.connection.sendall(raw)

    def leave(self) -> None:
        self.is_over = True
        self._server.close()

    def reset(self) -> None:
        """The connection is torn down, not closed."""
        self._client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leave()

    def wait_for_client_to_leave(self) -> None:
        with suppress(OSError):
            while self._client.some(1 << 16):
                pass
        self.leave()

    @property
    def _waits_for_word(self) -> bool:
        return self._head.headers.get("expect", "").lower() == "100-continue"

    def _word(self, wire: Wire) -> Head | None:
        """None as soon as the body may come."""
        if not wire.is_readable(CONTINUE_SECONDS):
            self._client.connection.sendall(CONTINUE)
            return None
        said = parsed(wire.head() or _cut())
        if said.status != 100:
            return said
        self._client.connection.sendall(said.raw)
        return None

    def _send_content(self, wire: Wire) -> None:
        is_taken = True
        for raw, _ in self._content():
            try:
                if is_taken:
                    wire.connection.sendall(raw)
            except OSError:
                is_taken = False  # it has answered before the end, and listens no more

    def _content(self) -> Iterator[tuple[bytes, bytes]]:
        for raw, content in body(self._client, self._head.request_framing()):
            self.request.sent += len(content)
            yield raw, content

    def _answer(self, wire: Wire) -> Head:
        while (said := parsed(wire.head() or _cut())).status < 200:
            pass
        return said


def _cut() -> NoReturn:
    raise Cut
