"""A proxy in front of an S3 endpoint: it counts requests by operation, keeps a log, and makes faults on demand.

    with FaultProxy(moto_server) as proxy:
        proxy.inject(faults.slow_down(), on="PutObject", key="*/records/*", nth=2)
        …  # spark, boto3, whatever asks `proxy.service` (its url, its `environment`)
        assert proxy.counts()["PutObject"] == 3

What no fault is for passes byte for byte, the Host header too, so that signatures stay valid.
"""

import socket
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self
from urllib.parse import urlsplit

from tests.services.exchange import STUCK_SECONDS, Exchange, Request, Server
from tests.services.faults import Fault
from tests.services.http_messages import Wire, parsed
from tests.services.s3_operations import asked
from tests.services.service import Service


class FaultProxy:
    def __init__(self, service: Service) -> None:
        self.requests: list[Request] = []
        self._behind = service
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._door = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = "http://{}:{}".format(*self._door.getsockname())

    @property
    def service(self) -> Service:
        """The service behind it, asked through it."""
        return self._behind.at(self.url)

    def inject(
        self, fault: Fault, *, on: str = "*", key: str = "*", nth: int = 1, times: int | None = 1
    ) -> None:
        """From the `nth` request of such an operation and key (patterns) on, `times` times; None: always."""
        with self._lock:
            self._rules.append(_Rule(fault, on, key, nth, times))

    def heal(self) -> None:
        """No further faults."""
        with self._lock:
            self._rules.clear()

    def counts(self) -> Counter[str]:
        """Requests by operation, since the start or the last `forget`."""
        return Counter(request.operation for request in [*self.requests])

    def methods(self) -> Counter[str]:
        return Counter(request.method for request in [*self.requests])

    def forget(self) -> None:
        self.requests.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._let_in, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _let_in(self) -> None:
        with suppress(OSError):  # until the door is shut
            while True:
                connection, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(STUCK_SECONDS)
        with self._lock:
            self._connections.add(connection)
        client, server = Wire(connection), Server(urlsplit(self._behind.url).netloc)
        try:
            with suppress(OSError):  # one of them has left, and so the other one is let go
                while self._one_more(client, server):
                    pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()
            server.close()

    def _one_more(self, client: Wire, server: Server) -> bool:
        if not (raw := client.head()):
            return False
        head = parsed(raw)
        method, target, _ = head.first
        request = Request(*asked(method, target, head.headers), method, _signer(head.headers))
        fault = self._noted(request)
        exchange = Exchange(client, server, head, request)
        if fault is None:
            exchange.pass_on()
        else:
            request.fault = fault.name
            fault.act(exchange)
        return not exchange.is_over

    def _noted(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            firing = [rule.fault for rule in self._rules if rule.fires(request)]  # each of them counts it
        return firing[0] if firing else None


@dataclass
class _Rule:
    fault: Fault
    operation: str
    key: str
    nth: int
    times: int | None
    seen: int = 0

    def fires(self, request: Request) -> bool:
        if not (fnmatchcase(request.operation, self.operation) and fnmatchcase(request.key, self.key)):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


def _signer(headers: Mapping[str, str]) -> str:
    """The access key that a request of AWS's signature version 4 names."""
    _, _, rest = headers.get("authorization", "").partition("Credential=")
    return rest.partition("/")[0]
