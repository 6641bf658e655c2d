"""A real HTTP server on 127.0.0.1 that plays the documented chat completions API, with faults on demand.

It answers a question with its words upside down, counts words as tokens, and remembers all that it was asked. No
model is behind it: where one matters, tests ask transformers_serve.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[["Call"], None]


@dataclass
class Call:
    """One request, and how to answer it."""

    handler: BaseHTTPRequestHandler
    body: dict[str, Any]
    question: str
    number: int  # how often this question was asked before

    def say(self, text: str | None = None, **choice: Any) -> None:
        words = self.question.split()
        text = " ".join(reversed(words)) if text is None else text
        is_chat = "messages" in self.body
        shown = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
        choices = [
            {"index": i, "finish_reason": "stop", **shown, **choice} for i in range(self.body.get("n", 1))
        ]
        usage = {"prompt_tokens": len(words), "completion_tokens": len(text.split()) * len(choices)}
        self.send(200, {"id": "x", "model": f"{self.body['model']}-2026", "choices": choices, "usage": usage})

    def fail(
        self, status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any
    ) -> None:
        self.send(
            status,
            {"error": {"message": message, "type": "x", "param": None, "code": None, **error}},
            headers,
        )

    def send(
        self, status: int, body: Any, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.handler.send_response(status)
        told = {
            "Content-Type": "application/json",
            "Content-Length": str(length or len(data)),
            **(headers or {}),
        }
        for name, value in told.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(data)
        self.handler.wfile.flush()
        self.handler.close_connection = True


@dataclass
class Server:
    port: int
    reply: Reply = Call.say
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_a_time: int = 0
    _at_a_time: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        question = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        with self._lock:
            number = self.asked[question]
            self.asked[question] += 1
            self.bodies.append(dict(body))
            self.headers.append(dict(handler.headers))
            self.times.append(time.monotonic())
            self._at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
        try:
            call = Call(handler, body, question, number)
            known = ("/v1/chat/completions", "/v1/completions")
            if handler.path in known:
                self.reply(call)
            else:
                call.fail(404, f"no route {handler.path}")
        except OSError:  # the other side has gone
            handler.close_connection = True
        finally:
            with self._lock:
                self._at_a_time -= 1


@contextmanager
def openai_double() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            served.handle(self)

        def log_message(self, *_: Any) -> None: ...

    class Threads(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    listening = Threads(("127.0.0.1", 0), Handler)
    served = Server(listening.server_address[1])
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield served
    listening.shutdown()
    listening.server_close()
