"""What every server keeps to; the suite finds them by itself. Each serves a real tiny model."""

import inspect
import json
import os
import pkgutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny_models import files_of, llama

import spark_build.serving
from spark_build.contract import Server
from spark_build.core.errors import StageFailed
from spark_build.serving import ledger, processes, runtime
from tests.ports import free_port

DIGEST = "c" * 64


def found() -> Iterator[type[Server]]:
    for module in pkgutil.iter_modules(spark_build.serving.__path__, "spark_build.serving."):
        for _, value in inspect.getmembers(import_module(module.name), inspect.isclass):
            if issubclass(value, Server) and value.__module__ == module.name:
                yield value


SERVERS = list(found())


@dataclass(frozen=True)
class Up:
    server: type[Server]
    folder: Path
    wanted: runtime.Wanted
    running: runtime.Running
    model_before: dict[str, bytes]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module", params=SERVERS, ids=lambda s: s.__name__)
def up(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder, server = tmp_path_factory.mktemp("deployments"), request.param
    impl = f"{server.__module__}:{server.__name__}"
    port = free_port()
    wanted = runtime.Wanted("chat", impl, {"port": port}, model, DIGEST, "settings", port=port)
    before = files_of(model)
    yield Up(server, folder, wanted, runtime.up(folder, wanted), before)
    runtime.down(folder, "chat")


def ask(up: Up, path: str, body: Any = None) -> tuple[int, str]:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(up.running.url + path, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_there_are_the_servers_of_the_issue() -> None:
    assert {s.__name__ for s in SERVERS} == {"TransformersServe"}


def test_it_says_by_digest_what_it_serves(up: Up) -> None:
    assert json.loads(ask(up, "/health")[1])["model_digest"] == DIGEST


def test_it_answers_a_prompt(up: Up) -> None:
    status, text = ask(
        up, "/v1/completions", {"model": "chat", "prompt": "A list", "max_tokens": 4, "temperature": 0}
    )
    assert (status, json.loads(text)["usage"]["completion_tokens"]) == (200, 4)


def test_it_streams(up: Up) -> None:
    body = {
        "model": "chat",
        "messages": [{"role": "user", "content": "A list"}],
        "max_tokens": 4,
        "stream": True,
    }
    status, text = ask(up, "/v1/chat/completions", body)
    assert status == 200
    assert text.count("data: ") > 2
    assert text.endswith("data: [DONE]\n\n")


def test_it_refuses_another_model(up: Up) -> None:
    status, text = ask(up, "/v1/completions", {"model": "other", "prompt": "A list"})
    assert (status, json.loads(text)["error"]["code"]) == (404, "model_not_found")


def test_it_listens_on_this_machine_alone(up: Up) -> None:
    outside = [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    for address in {str(a) for a in outside if not str(a).startswith("127.")}:
        with pytest.raises(OSError):  # noqa: PT011 - refused or unreachable, by the network's choice
            socket.create_connection((address, up.wanted.port), timeout=1).close()
    assert f"0100007F:{up.wanted.port:04X}" in Path("/proc/net/tcp").read_text()


def test_a_port_in_use_is_told(up: Up, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=f"port {up.wanted.port} is in use by process {up.running.pid} "):
        runtime.up(tmp_path / "others", up.wanted)


def test_it_leaves_the_models_folder_as_it_was(up: Up, model: Path) -> None:
    assert files_of(model) == up.model_before


def test_sigterm_ends_it_with_no_process_left(up: Up, tmp_path: Path) -> None:
    """A process of its own, started by its command alone."""
    token, port = "contract", free_port()
    command = up.server(up.server.Params(port=port)).command(up.wanted.model, "127.0.0.1", port)
    paths = os.pathsep.join([str(Path(spark_build.serving.__path__[0]).parents[1]), str(tmp_path)])
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths,
        processes.TOKEN: token,
        "SPARK_DEPLOYMENT": "chat",
    }
    with open(tmp_path / "log", "w") as log:
        started = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while ledger.get("127.0.0.1", port, "/health")[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    started.send_signal(signal.SIGTERM)
    assert started.wait(20) in (0, -signal.SIGTERM)
    assert list(processes.members(None, token)) == []


@pytest.mark.parametrize("server", SERVERS, ids=lambda s: s.__name__)
def test_every_param_is_described_and_no_other_is_taken(server: type[Server]) -> None:
    described = server.Params.model_json_schema()["properties"]
    assert [name for name, schema in described.items() if not schema.get("description")] == []
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        server.Params(no_such_param=1)
