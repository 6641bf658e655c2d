"""The API of transformers_serve, asked over HTTP of a real process that serves a real tiny Llama.

The model is made from a config, with random weights from a seed and a tokenizer trained in the test
(tests/support/tiny_models.py): what it says is noise, how it says it is not.
"""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_models import CHAT_TEMPLATE, bert, llama

from spark_build.modalities.text.generation import Ask, Finished, Model, Text
from spark_build.serving import runtime

DIGEST = "d" * 64
PROMPT = "How do I open a file?"


@dataclass(frozen=True)
class Served:
    port: int
    model: Path

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, text = self.ask_text(path, body, **headers)
        return status, json.loads(text)

    def ask_text(self, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = None if body is None else json.dumps(body)
        sent = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
        connection.request("GET" if body is None else "POST", path, content, sent)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def complete(self, **fields: Any) -> Any:
        status, answer = self.ask("/v1/completions", {"model": "chat", "prompt": PROMPT, **fields})
        assert status == 200, answer
        return answer

    def chunks(self, path: str, body: Any) -> list[Any]:
        _, text = self.ask_text(path, {"model": "chat", "stream": True, **body})
        lines = [line.removeprefix("data: ") for line in text.strip().split("\n\n")]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("llama"), chat_template=CHAT_TEMPLATE)


@pytest.fixture(scope="module")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("deployments")
    impl = "spark_build.serving.transformers_serve:TransformersServe"
    params = {"port": 0, "max_new_tokens": 12, "max_waiting": 3}
    running = runtime.up(folder, runtime.Wanted("chat", impl, params, model, DIGEST, "settings", port=0))
    yield Served(running.port, model)
    runtime.down(folder, "chat")


def test_health_shows_the_models_digest(served: Served) -> None:
    assert served.ask("/health") == (200, {"status": "ok", "model": "chat", "model_digest": DIGEST})


def test_the_model_is_listed_under_the_deployments_name(served: Served) -> None:
    assert [m["id"] for m in served.ask("/v1/models")[1]["data"]] == ["chat"]
    assert served.ask("/v1/models/chat")[1]["id"] == "chat"


def test_temperature_0_gives_what_transformers_gives(served: Served) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(served.model)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    tokens = AutoModelForCausalLM.from_pretrained(served.model).generate(
        **inputs, max_new_tokens=20, do_sample=False
    )
    expected = tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert served.complete(temperature=0, max_tokens=20)["choices"][0]["text"] == expected


def test_a_seed_makes_sampling_repeatable(served: Served) -> None:
    first, again, other = (served.complete(seed=seed)["choices"][0]["text"] for seed in (1, 1, 2))
    assert first == again != other


def test_usage_counts_prompt_and_answer(served: Served) -> None:
    assert served.complete(max_tokens=5, temperature=0)["usage"]["completion_tokens"] == 5
    assert served.complete(temperature=0)["usage"]["completion_tokens"] == 12  # the deployment's own limit


def test_the_streamed_pieces_join_to_the_whole_answer(served: Served) -> None:
    whole = served.complete(temperature=0, max_tokens=30)["choices"][0]
    chunks = served.chunks("/v1/completions", {"prompt": PROMPT, "temperature": 0, "max_tokens": 30})
    assert "".join(c["choices"][0]["text"] for c in chunks) == whole["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"] == "length"
    assert len(chunks) > 5


def test_a_streamed_chat_names_the_role_first_and_usage_last(served: Served) -> None:
    asked = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 4, "temperature": 0}
    chunks = served.chunks("/v1/chat/completions", {**asked, "stream_options": {"include_usage": True}})
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4


def test_a_chat_is_put_in_the_models_template(served: Served) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
    body = {"model": "chat", "messages": messages, "temperature": 0, "max_tokens": 6}
    status, chat = served.ask("/v1/chat/completions", body)
    plain = served.complete(
        prompt=f"<system>Be brief.\n<user>{PROMPT}\n<assistant>", temperature=0, max_tokens=6
    )
    assert status == 200
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": plain["choices"][0]["text"]}
    assert chat["usage"] == plain["usage"]


def test_text_parts_are_one_text(served: Served) -> None:
    parts = [{"type": "text", "text": "How do I "}, {"type": "text", "text": "open a file?"}]
    asked = {"model": "chat", "temperature": 0, "max_tokens": 5}
    answers = []
    for content in (parts, PROMPT):
        body = {**asked, "messages": [{"role": "user", "content": content}]}
        answers.append(served.ask("/v1/chat/completions", body)[1]["choices"])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_answer_and_is_not_in_it(served: Served, stream: bool) -> None:
    whole = served.complete(temperature=0, max_tokens=30)["choices"][0]["text"]
    stop = whole[10:14]  # across tokens
    asked = {"temperature": 0, "max_tokens": 30, "stop": ["never said", stop]}
    if stream:
        chunks = served.chunks("/v1/completions", {"prompt": PROMPT, **asked})
        text, reason = (
            "".join(c["choices"][0]["text"] for c in chunks),
            chunks[-1]["choices"][0]["finish_reason"],
        )
    else:
        choice = served.complete(**asked)["choices"][0]
        text, reason = choice["text"], choice["finish_reason"]
    assert (text, reason) == (whole[: whole.index(stop)], "stop")


@pytest.mark.parametrize(
    ("changed", "status", "param", "message"),
    [
        ({"model": "gpt-4"}, 404, "model", "there is no model 'gpt-4' here; this server has 'chat'"),
        ({"model": None}, 400, "model", "'model': Input should be a valid string"),
        ({"n": 2}, 400, "n", "'n' is not supported by this server"),
        ({"logprobs": True}, 400, "logprobs", "'logprobs' is not supported by this server"),
        ({"temprature": 1}, 400, "temprature", "unknown field 'temprature'"),
        ({"temperature": 2.5}, 400, "temperature", "'temperature': Input should be less than or equal to 2"),
        ({"top_p": 0}, 400, "top_p", "'top_p': Input should be greater than 0"),
        ({"max_tokens": 0}, 400, "max_tokens", "'max_tokens': Input should be greater than or equal to 1"),
        ({"stop": [""]}, 400, "stop.0", "'stop.0': String should have at least 1 character"),
        ({"prompt": ""}, 400, "prompt", "the prompt has no tokens"),
        ({"max_tokens": 128}, 400, "prompt", "this model's context has 128 tokens; the prompt has"),
        ({"prompt": "list " * 200}, 400, "prompt", "this model's context has 128 tokens; the prompt has"),
    ],
)
def test_what_cant_be_done_is_refused_by_name(
    served: Served, changed: dict[str, Any], status: int, param: str, message: str
) -> None:
    got, body = served.ask("/v1/completions", {"model": "chat", "prompt": PROMPT, **changed})
    assert (got, body["error"]["param"], body["error"]["type"]) == (status, param, "invalid_request_error")
    assert body["error"]["message"].startswith(message)


def test_fields_that_change_nothing_are_taken(served: Served) -> None:
    served.complete(n=1, presence_penalty=0, logprobs=None, user="me", max_tokens=1)


def test_an_image_is_refused(served: Served) -> None:
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]
    status, body = served.ask(
        "/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": content}]}
    )
    assert (status, body["error"]["param"]) == (400, "messages.0.content.0.type")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/completions", {"prompt": "x" * (1 << 20)}, {}, 413),
        ("/v1/completions", {}, {"Content_Type": "text/plain"}, 415),
        ("/v1/completions", ["no object"], {}, 400),
        ("/v1/completions", {}, {"Host": "attacker.example"}, 403),
        ("/v1/models", None, {"Host": "attacker.example:80"}, 403),
        ("/v1/embeddings", {}, {}, 404),
        ("/v1/completions", None, {}, 405),
    ],
)
def test_other_requests_get_an_error_object(
    served: Served, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    got, answer = served.ask(path, body, **headers)
    assert (got, set(answer["error"])) == (status, {"message", "type", "param", "code"})


def test_more_requests_than_may_wait_are_refused_and_the_others_answered(served: Served) -> None:
    asked = {"model": "chat", "prompt": PROMPT, "max_tokens": 100, "temperature": 0}
    with ThreadPoolExecutor(12) as pool:
        statuses = [s for s, _ in pool.map(lambda _: served.ask("/v1/completions", asked), range(12))]
    assert set(statuses) == {200, 429}
    assert served.complete(max_tokens=1)["usage"]["completion_tokens"] == 1


def test_an_answer_whose_reader_has_gone_ends_early(model: Path) -> None:
    pieces: list[str] = []
    cancelled = threading.Event()

    def emit(piece: str) -> None:
        pieces.append(piece)
        cancelled.set()

    loaded = Model.load(model, "cpu", "auto", threads=1)
    finished = loaded.generate(Ask((5, 6, 7), 100, temperature=0), emit, cancelled)
    assert finished.tokens < 10


def test_the_end_of_text_token_ends_the_answer(model: Path) -> None:
    loaded = Model.load(model, "cpu", "auto", threads=1)
    likeliest = first_token(loaded)
    loaded.model.generation_config.eos_token_id = likeliest
    finished = loaded.generate(Ask((5, 6, 7), 100, temperature=0), lambda piece: None, threading.Event())
    assert finished == Finished("stop", 1)


@pytest.mark.parametrize("text", ["naïve 数字 🎉🎉 done", "  two spaces\n\n", "🏳️‍🌈"])
def test_pieces_of_characters_are_never_shown(model: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    shown = Text(tokenizer, [5], ())
    pieces = [shown.add(token) for token in tokenizer(text)["input_ids"]] + [shown.rest()]
    assert "".join(pieces) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_what_may_become_a_stop_string_is_held_back(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    shown = Text(tokenizer, [5], ("\n\nUser:",))
    pieces = [shown.add(token) for token in tokenizer("yes\n\nUs")["input_ids"]]
    assert "".join(pieces) == "yes"
    assert shown.rest() == "\n\nUs"


def test_a_classifier_is_refused_with_the_way_out(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "spark_build.serving.openai_server",
        f"--model={bert(tmp_path)}",
        "--port=0",
    ]
    paths = {"PYTHONPATH": ":".join(p for p in sys.path if p), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, env=paths, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "this is BertForSequenceClassification\n  fix: " in ended.stderr
    assert "Traceback" not in ended.stderr


def first_token(loaded: Model) -> int:
    import torch

    with torch.no_grad():
        return int(loaded.model(torch.tensor([[5, 6, 7]])).logits[0, -1].argmax())
