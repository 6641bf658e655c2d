"""The routes: /v1/models, /v1/completions, /v1/chat/completions (with streaming), /health.

Source: the OpenAI API reference; a field that would change the answer and is not supported is refused, never
ignored.
"""

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from spark_build.modalities.text.generation import Ask, Finished, Model
from spark_build.serving.requests import Asked, Refused, chat_request, completion_request
from spark_build.training.prompts import Prompts, TemplateRefuses

_LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Limits:
    max_new_tokens: int = 256  # where a request names none
    max_waiting: int = 32
    body_bytes: int = 1 << 20


def application(model: Model, name: str, digest: str | None, limits: Limits) -> Starlette:
    """The ASGI application that serves one model under one name."""
    api = _Api(model, name, digest, limits)
    routes = [
        Route("/health", api.health),
        Route("/v1/models", api.models),
        Route("/v1/models/{name:path}", api.one_model),
        Route("/v1/completions", api.completions, methods=["POST"]),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
    ]
    handlers: Any = {Refused: _refused, HTTPException: _no_such_route, Exception: _broken}
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=api.lifespan)


@dataclass
class _Api:
    model: Model
    name: str
    digest: str | None
    limits: Limits
    created: int = field(default_factory=lambda: int(time.time()))
    waiting: int = 0  # asked and not finished
    # one thread: one answer at a time, the others in line
    line: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "generate"))
    under_way: set[threading.Event] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.prompts = Prompts.of(self.model.tokenizer)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        yield
        for cancelled in self.under_way:
            cancelled.set()
        self.line.shutdown(cancel_futures=True)

    async def health(self, request: Request) -> Response:
        _require_local(request)
        return JSONResponse({"status": "ok", "model": self.name, "model_digest": self.digest})

    async def models(self, request: Request) -> Response:
        _require_local(request)
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def one_model(self, request: Request) -> Response:
        _require_local(request)
        self._require_model(request.path_params["name"])
        return JSONResponse(self._described())

    async def completions(self, request: Request) -> Response:
        asked = completion_request(await self._body(request))
        self._require_model(asked.model)
        prompt = self.prompts.text(asked.prompt)
        return await self._answered(request, asked, prompt, _Completion(self.name))

    async def chat(self, request: Request) -> Response:
        asked = chat_request(await self._body(request))
        self._require_model(asked.model)
        try:
            prompt = self.prompts.chat(asked.messages)
        except TemplateRefuses as why:
            raise Refused(str(why), param="messages") from None
        return await self._answered(request, asked, prompt, _Chat(self.name))

    async def _answered(
        self, request: Request, asked: Asked, prompt: tuple[int, ...], form: "_Form"
    ) -> Response:
        ask = self._ask(asked, prompt)
        if self.waiting > self.limits.max_waiting:
            raise Refused(
                "too many requests wait for an answer; try again later", status=429, kind="rate_limit_error"
            )
        if asked.stream:
            events = self._events(ask, form, asked.include_usage)
            return StreamingResponse(
                events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
            )
        text, finished = "", None
        async for piece in self._pieces(ask):
            if isinstance(piece, Finished):
                finished = piece
            else:
                text += piece
                if await request.is_disconnected():
                    break
        if finished is None:
            return Response(status_code=499)  # nobody is there to read it
        return JSONResponse(form.whole(text, finished, _usage(ask, finished)))

    async def _events(self, ask: Ask, form: "_Form", with_usage: bool) -> AsyncIterator[str]:
        try:
            for chunk in form.first():
                yield _event(chunk)
            async for piece in self._pieces(ask):
                if isinstance(piece, Finished):
                    yield _event(form.last(piece))
                    if with_usage:
                        yield _event(form.usage(_usage(ask, piece)))
                else:
                    yield _event(form.piece(piece))
        except Exception as error:  # the status is long sent; the stream is the one place left to say it
            _log(error)
            yield _event(_internal_error().body())
        yield "data: [DONE]\n\n"

    async def _pieces(self, ask: Ask) -> AsyncIterator[str | Finished]:
        """Pieces of text as they come, then how it ended; leaving the loop early ends the work."""
        loop, pieces, cancelled = asyncio.get_running_loop(), asyncio.Queue[str | None](), threading.Event()

        def work() -> Finished:
            if cancelled.is_set():
                return Finished("length", 0)
            return self.model.generate(ask, lambda text: _put(loop, pieces, text), cancelled)

        self.waiting += 1
        self.under_way.add(cancelled)
        try:
            done = loop.run_in_executor(self.line, work)
            done.add_done_callback(lambda _: pieces.put_nowait(None))
            while (piece := await pieces.get()) is not None:
                yield piece
            yield await done
        finally:
            cancelled.set()
            self.under_way.discard(cancelled)
            self.waiting -= 1

    def _ask(self, asked: Asked, prompt: tuple[int, ...]) -> Ask:
        """Errors: Refused where prompt and answer don't fit into the model's context."""
        if not prompt:
            raise Refused("the prompt has no tokens", param=asked.prompt_field)
        room = self.model.context_length - len(prompt)
        wanted = asked.max_tokens or min(self.limits.max_new_tokens, max(1, room))
        if wanted > room:
            raise Refused(
                f"this model's context has {self.model.context_length} tokens; the prompt has {len(prompt)}, "
                f"and {wanted} were asked for",
                param=asked.prompt_field, code="context_length_exceeded",
            )  # fmt: skip
        return Ask(prompt, wanted, asked.temperature, asked.top_p, asked.seed, asked.stop)

    async def _body(self, request: Request) -> Any:
        """Errors: Refused for what is too large, no JSON, or comes from a page of another site."""
        _require_local(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":  # what a browser sends without asking first is never JSON
            raise Refused("Content-Type has to be application/json", status=415)
        content = b""
        async for chunk in request.stream():
            content += chunk
            if len(content) > self.limits.body_bytes:
                raise Refused(f"the request is larger than {self.limits.body_bytes} bytes", status=413)
        try:
            return json.loads(content)
        except ValueError as error:
            raise Refused(f"the request is no JSON: {error}") from None

    def _require_model(self, name: str) -> None:
        if name != self.name:
            raise Refused(
                f"there is no model '{name}' here; this server has '{self.name}'",
                status=404, param="model", code="model_not_found",
            )  # fmt: skip

    def _described(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "spark-build"}


class _Form:
    """How an answer is written down: whole, or as chunks of a stream."""

    prefix, kind, chunk_kind = "cmpl", "text_completion", "text_completion"

    def __init__(self, model: str) -> None:
        self.head = {
            "id": f"{self.prefix}-{os.urandom(12).hex()}",
            "created": int(time.time()),
            "model": model,
        }

    def first(self) -> list[dict[str, Any]]:
        return []

    def whole(self, text: str, finished: Finished, usage: Mapping[str, int]) -> dict[str, Any]:
        choice = {"index": 0, **self._text(text), "finish_reason": finished.reason, "logprobs": None}
        return {**self.head, "object": self.kind, "choices": [choice], "usage": usage}

    def piece(self, text: str) -> dict[str, Any]:
        return self._chunk(self._delta(text), None)

    def last(self, finished: Finished) -> dict[str, Any]:
        return self._chunk(self._delta(None), finished.reason)

    def usage(self, usage: Mapping[str, int]) -> dict[str, Any]:
        return {**self.head, "object": self.chunk_kind, "choices": [], "usage": usage}

    def _chunk(self, content: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, **content, "finish_reason": reason, "logprobs": None}
        return {**self.head, "object": self.chunk_kind, "choices": [choice]}

    def _text(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _delta(self, text: str | None) -> dict[str, Any]:
        return {"text": text or ""}


class _Completion(_Form):
    pass


class _Chat(_Form):
    prefix, kind, chunk_kind = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def first(self) -> list[dict[str, Any]]:
        return [self._chunk({"delta": {"role": "assistant", "content": ""}}, None)]

    def _text(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}}

    def _delta(self, text: str | None) -> dict[str, Any]:
        return {"delta": {} if text is None else {"content": text}}


def _usage(ask: Ask, finished: Finished) -> dict[str, int]:
    prompt = len(ask.prompt)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": finished.tokens,
        "total_tokens": prompt + finished.tokens,
    }


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _put(loop: asyncio.AbstractEventLoop, pieces: "asyncio.Queue[str | None]", text: str) -> None:
    with suppress(RuntimeError):  # the loop is closed: the server is about to end
        loop.call_soon_threadsafe(pieces.put_nowait, text)


def _require_local(request: Request) -> None:
    """A page whose name was pointed at 127.0.0.1 sends its own name as Host (DNS rebinding)."""
    host = request.headers.get("host", "")
    if (host if host.endswith("]") else host.rpartition(":")[0] or host) not in _LOCAL_NAMES:
        raise Refused("this server answers requests to 127.0.0.1 and localhost alone", status=403)


async def _refused(request: Request, error: Refused) -> Response:
    return JSONResponse(error.body(), status_code=error.status)


async def _no_such_route(request: Request, error: HTTPException) -> Response:
    refused = Refused(f"{request.method} {request.url.path}: {error.detail}", status=error.status_code)
    return JSONResponse(refused.body(), status_code=error.status_code)


async def _broken(request: Request, error: Exception) -> Response:
    _log(error)
    return JSONResponse(_internal_error().body(), status_code=500)


def _internal_error() -> Refused:
    return Refused("the server failed; its log says how", status=500, kind="server_error")


def _log(error: Exception) -> None:
    import traceback

    traceback.print_exception(error)
