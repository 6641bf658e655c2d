"""Serves a causal language model with an OpenAI-compatible API, on this machine alone.

The server is our own (`openai_server.py`): `transformers serve` of 5.23 wants the `openai` package, names a
local model by its path, refuses a model without chat template, answers another model's name with 400, lets
anyone unload the model (`/reset`), and can't say by digest what it serves.
"""

import json
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from spark_build.contract import Server
from spark_build.contract.params import Field, RuleParams
from spark_build.core.errors import StageFailed

_ANSWER_SECONDS = 120.0


class Params(RuleParams):
    port: int = Field(
        8000, ge=0, le=65535, description="Where it listens on 127.0.0.1; 0: any port that is free"
    )
    threads: int = Field(1, ge=1, description="Threads that compute an answer")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the model runs")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format in memory; auto: that of the weights"
    )
    max_new_tokens: int = Field(256, ge=1, description="Tokens of an answer whose request names no limit")
    max_waiting: int = Field(32, ge=0, description="Requests that may wait; one more is refused with 429")


class TransformersServe(Server):
    """One model, one answer at a time, the others wait in line; no hub, no code from the model's folder."""

    Params = Params
    revision = 1
    libraries = ("starlette", "tokenizers", "torch", "transformers", "uvicorn")
    reproducible = "numerics"

    def command(self, model: Path, host: str, port: int) -> list[str]:
        """The deployment's name and the model's digest come in SPARK_DEPLOYMENT and SPARK_MODEL_DIGEST."""
        options = {"model": model, "host": host, "port": port} | self.params.model_dump(exclude={"port"})
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        return [sys.executable, "-P", "-m", "spark_build.serving.openai_server", *arguments]

    def check_ready(self, url: str) -> None:
        """A completion of one token, by the model that the server names itself."""
        name = _ask(url, "GET", "/v1/models")["data"][0]["id"]
        prompt = {"model": name, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
        answer = _ask(url, "POST", "/v1/completions", prompt)
        if answer["usage"]["completion_tokens"] != 1:
            raise StageFailed(
                f"{url}: asked for one token, the server gave {answer['usage']['completion_tokens']}"
            )


def _ask(url: str, method: str, path: str, body: Any = None) -> Any:
    """Errors: ConnectionError while nobody listens, StageFailed for an answer that is no success."""
    place = urlsplit(url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=_ANSWER_SECONDS)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise StageFailed(f"{url}{path}: {response.status} {text[:500].decode(errors='replace')}")
    return json.loads(text)
