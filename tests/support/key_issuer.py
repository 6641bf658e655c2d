"""An HTTP server on loopback that issues keys as a container's agent and as the portal of AWS SSO do, as documented."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class KeyIssuer:
    """New keys each time it is asked: `issued-1`, `issued-2`, …"""

    url: str
    seconds: float = 3600.0  # that keys are good for
    status: int = 200
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path, headers in lower case

    def answer(self, path: str) -> bytes:
        until = datetime.now(UTC) + timedelta(seconds=self.seconds)
        number = len(self.asked)
        if path.startswith("/federation/credentials"):
            keys = {
                "accessKeyId": f"issued-{number}",
                "secretAccessKey": "issued-secret",
                "sessionToken": "issued-token",
                "expiration": int(until.timestamp() * 1000),
            }
            return json.dumps({"roleCredentials": keys}).encode()
        return json.dumps(
            {
                "AccessKeyId": f"issued-{number}",
                "SecretAccessKey": "issued-secret",
                "Token": "issued-token",
                "Expiration": until.isoformat().replace("+00:00", "Z"),
            }
        ).encode()


@contextmanager
def issuing_keys() -> Iterator[KeyIssuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            body = issuer.answer(self.path) if issuer.status == 200 else b'{"message": "no"}'
            self.send_response(issuer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = KeyIssuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
