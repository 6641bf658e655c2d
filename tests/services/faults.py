"""What a `FaultProxy` can do to a request: each is a fault that real networks and endpoints have."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.services.exchange import Exchange
from tests.services.http_messages import Head, reframed

ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>{message}</Message><RequestId>fault</RequestId><HostId>fault</HostId></Error>"""


@dataclass(frozen=True)
class Fault:
    name: str
    act: Callable[[Exchange], None]


def internal_error() -> Fault:
    return error(500, "InternalError", "We encountered an internal error. Please try again.")


def slow_down() -> Fault:
    return error(503, "SlowDown", "Please reduce your request rate.")


def error(status: int, code: str, message: str) -> Fault:
    """The server's answer without the server: it never hears of the request."""

    def act(exchange: Exchange) -> None:
        exchange.swallow()
        content = ERROR.format(code=code, message=message).encode()
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n"
        exchange.tell(status, head.encode())
        if exchange.request.method != "HEAD":
            exchange.tell_more(content)

    return Fault(code, act)


def no_answer(*, reached: bool = False) -> Fault:
    """Nothing comes until the client gives up; `reached`: the server has done as it was asked."""

    def act(exchange: Exchange) -> None:
        _take(exchange, reached)
        exchange.wait_for_client_to_leave()

    return Fault("no answer", act)


def reset(*, reached: bool = False) -> Fault:
    """The connection is torn down in place of an answer; `reached`: the server has done as it was asked."""

    def act(exchange: Exchange) -> None:
        _take(exchange, reached)
        exchange.reset()

    return Fault("reset", act)


def truncated(share: float = 0.5) -> Fault:
    """That share of the body comes, then the end; where there is no body, that share of the head."""

    def act(exchange: Exchange) -> None:
        answer, content = _answer(exchange)
        if content:
            exchange.tell(answer.status, reframed(answer, len(content)))
            exchange.tell_more(content[: int(len(content) * share)])
        else:
            exchange.tell(0, answer.raw[: int(len(answer.raw) * share)])
        exchange.leave()

    return Fault("truncated", act)


def flipped_bit(at: float = 0.5) -> Fault:
    """One bit of the body that comes is another, at that share of its length."""

    def act(exchange: Exchange) -> None:
        answer, content = _answer(exchange)
        exchange.tell(answer.status, reframed(answer, len(content)) if content else answer.raw)
        exchange.tell_more(_flipped(content, at))

    return Fault("flipped bit", act)


def flipped_bit_on_the_way_in(at: float = 0.5) -> Fault:
    """One bit of what the client sends reaches the server as another."""
    return Fault(
        "flipped bit on the way in",
        lambda exchange: exchange.pass_on(exchange.reach(lambda content: _flipped(content, at))),
    )


def without_headers(*names: str) -> Fault:
    """As a server that knows nothing of them; names in lower case. Where they are signed only moto takes it."""

    def act(exchange: Exchange) -> None:
        exchange.forget_headers(*names)
        exchange.pass_on()

    return Fault("without headers", act)


def empty_listing() -> Fault:
    """A listing that lags behind what was written."""
    content = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n"

    def act(exchange: Exchange) -> None:
        exchange.swallow()
        exchange.tell(200, head.encode())
        exchange.tell_more(content)

    return Fault("empty listing", act)


def byte_by_byte(seconds: float = 0.05) -> Fault:
    """So long between any two bytes of the body."""

    def act(exchange: Exchange) -> None:
        answer, content = _answer(exchange)
        exchange.tell(answer.status, reframed(answer, len(content)) if content else answer.raw)
        for byte in content:
            exchange.tell_more(bytes([byte]))
            time.sleep(seconds)

    return Fault("byte by byte", act)


def _take(exchange: Exchange, reached: bool) -> None:
    if reached:
        exchange.whole(exchange.reach())
    else:
        exchange.swallow()


def _answer(exchange: Exchange) -> tuple[Head, bytes]:
    answer = exchange.reach()
    return answer, exchange.whole(answer)


def _flipped(content: bytes, at: float) -> bytes:
    if not content:
        return content
    place = min(int(len(content) * at), len(content) - 1)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
