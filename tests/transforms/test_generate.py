"""generate through an endpoint: asked once per item ever, whatever the server does; a real one on 127.0.0.1."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai_double import Call, Server, openai_double

from tests.spark import Folder

SPARKFILE = """\
datasets:
  notes:
    source: data/rows.jsonl
    transforms:
      - use: generate
        with:
          endpoint: URL
          model: teacher
          prompt: "Say {text}"
          wait: 0.01
          retries: 2
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with openai_double() as served:
        yield served


@pytest.fixture
def project(folder: Folder, server: Server) -> Folder:
    folder.sparkfile(SPARKFILE.replace("URL", server.url))
    rows(folder, "one a", "two b", "three c")
    return folder


def rows(folder: Folder, *texts: str) -> None:
    lines = (json.dumps({"text": text, "kind": "x", "id": text.split()[0]}) for text in texts)
    folder.write("data/rows.jsonl", "\n".join(lines) + "\n")


def option(folder: Folder, *lines: str) -> None:
    folder.edit("          wait:", "".join(f"          {line}\n" for line in lines) + "          wait:")


def given(folder: Folder, field: str = "answer") -> dict[str, Any]:
    shown = folder.spark("show", "dataset:notes", "--json", "--limit", "1000")
    return {row["id"]: row.get(field) for row in shown.lines[0]["rows"]}


def rejected(folder: Folder) -> dict[str, str]:
    shown = folder.spark("show", "dataset:notes", "--rejected", "--json", "--limit", "1000")
    return {row["id"]: row["reason"] for row in shown.lines[0]["rows"]}


def test_each_item_is_asked_once_and_an_edit_asks_for_itself_alone(project: Folder, server: Server) -> None:
    project.build()
    assert given(project) == {"one": "a one Say", "two": "b two Say", "three": "c three Say"}
    assert set(server.asked.values()) == {1}
    rows(project, "one a", "two changed", "three c", "four d")
    built = project.build()
    assert server.asked == {
        "Say one a": 1, "Say two b": 1, "Say three c": 1, "Say two changed": 1, "Say four d": 1,
    }  # fmt: skip
    assert built.items["dataset:notes/ingest"]["handled"] >= 2


def test_equal_questions_are_one(project: Folder, server: Server) -> None:
    rows(project, "one a", "one a", "one a")
    project.build()
    assert server.asked == {"Say one a": 1}


def test_what_only_pays_or_reads_the_answer_asks_nothing_again(project: Folder, server: Server) -> None:
    server.reply = lambda call: call.say(f"Score: {len(call.question)}")
    project.build()
    option(project, "answer: number", "into: score", "max: 9.5")
    project.build()
    assert given(project, "score") == {"one": 9.0, "two": 9.0}
    assert rejected(project) == {"three": "out_of_range"}
    option(
        project, "concurrency: 1", "requests_per_minute: 6000", "timeout: 5", "price: {input: 1, output: 2}"
    )
    assert set(project.states().values()) == {"fresh"}
    assert set(server.asked.values()) == {1}


def test_only_for_one_split_asks_only_there_and_moving_it_asks_for_the_rest_alone(
    project: Folder, server: Server
) -> None:
    project.edit("    transforms:", "    splits: {train: 0.5, test: 0.5}\n    transforms:")
    project.edit("      - use: generate", "      - only: train\n        use: generate")
    rows(project, *(f"{n} word" for n in range(20)))
    project.build()
    some = len(server.asked)
    assert 0 < some < 20
    project.edit("      - only: train\n        use: generate", "      - use: generate")
    project.build()
    assert (len(server.asked), set(server.asked.values())) == (20, {1})


def test_what_the_server_can_not_do_now_is_tried_again(project: Folder, server: Server) -> None:
    def reply(call: Call) -> None:
        faults = {
            "Say one a": lambda: call.fail(429, headers={"Retry-After": "0"}),
            "Say two b": lambda: call.fail(500),
            "Say three c": lambda: call.send(200, b'{"choices": [{"mess', length=400),
            "Say four d": lambda: call.send(200, b"<html>gateway</html>"),
            "Say five e": lambda: call.handler.connection.close(),
        }
        if call.number < 2:
            faults[call.question]()
        else:
            call.say()

    server.reply = reply
    rows(project, "one a", "two b", "three c", "four d", "five e")
    project.build()
    assert set(server.asked.values()) == {3}
    assert len(given(project)) == 5


def test_retry_after_holds_all_requests(project: Folder, server: Server) -> None:
    def reply(call: Call) -> None:
        if sum(server.asked.values()) == 1:
            call.fail(429, headers={"Retry-After": "1"})
        else:
            call.say()

    server.reply = reply
    option(project, "concurrency: 1")
    project.build()
    assert server.times[1] - server.times[0] >= 1.0


def test_what_was_answered_is_kept_where_the_build_fails(project: Folder, server: Server) -> None:
    server.reply = lambda call: call.fail(503, "busy") if "two" in call.question else call.say()
    failed = project.build(code=1)
    assert "1 question has no answer; the last one: http_503 (503 busy)" in failed.err
    assert "fix: build again" in failed.err
    server.reply = Call.say
    project.build()
    assert server.asked == {"Say one a": 1, "Say three c": 1, "Say two b": 3 + 1}


def test_a_slow_answer_is_given_up(project: Folder, server: Server) -> None:
    server.reply = lambda call: time.sleep(1.0) if call.number == 0 else call.say()
    option(project, "timeout: 0.3")
    project.build()
    assert set(server.asked.values()) == {2}


def test_a_killed_build_loses_no_answer(project: Folder, server: Server) -> None:
    """SIGKILL of the build while answers come; what was answered stands, only what was under way is asked again."""
    rows(project, *(f"{n} word" for n in range(30)))
    option(project, "concurrency: 1")
    answered: list[str] = []

    def reply(call: Call) -> None:
        time.sleep(0.05)
        call.say()
        answered.append(call.question)

    server.reply = reply
    build = project.start("build")
    while len(answered) < 10:
        assert build.poll() is None
        time.sleep(0.01)
    os.kill(build.pid, signal.SIGKILL)
    build.wait()
    time.sleep(0.5)  # the watchdog kills the worker
    before = len(answered)
    project.build()
    assert len(server.asked) == 30
    assert sum(server.asked.values()) <= 30 + 2
    assert 10 <= before < 30


def test_a_dead_server_ends_the_build_soon(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE.replace("URL", "http://127.0.0.1:9/v1"))
    rows(folder, *(f"{n} word" for n in range(500)))
    began = time.monotonic()
    failed = folder.build(code=1)
    assert "500 questions have no answer; the last one: no_connection (" in failed.err
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, {"message": "Incorrect API key provided: sk-secret"}, "Incorrect API key provided: ***"),
        (404, {"message": "The model 'teacher' does not exist"}, "The model 'teacher' does not exist"),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "no credit left"),
        (400, {"message": "Unsupported parameter", "param": "temperature"}, "'temperature' is what the server"),
    ],
)  # fmt: skip
def test_what_holds_for_all_questions_ends_the_build_at_once(
    project: Folder, server: Server, status: int, error: dict[str, Any], said: str
) -> None:
    server.reply = lambda call: call.fail(status, **error)
    option(project, "concurrency: 1", 'api_key: "${secret.TEACHER_KEY}"')
    project.env["TEACHER_KEY"] = "sk-secret"
    failed = project.build(code=1)
    assert said in failed.err
    assert sum(server.asked.values()) == 1


def test_the_key_is_sent_and_written_nowhere(project: Folder, server: Server) -> None:
    option(project, 'api_key: "${secret.TEACHER_KEY}"')
    project.env["TEACHER_KEY"] = "sk-very-secret"
    server.reply = lambda call: (
        call.fail(400, "sk-very-secret is odd") if "two" in call.question else call.say()
    )
    built = project.build()
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-very-secret"}
    assert "sk-very-secret" not in built.out + built.err
    for file in project.path.rglob("*"):
        assert not file.is_file() or b"sk-very-secret" not in file.read_bytes(), file
    project.env["TEACHER_KEY"] = "sk-another"
    assert set(project.states().values()) == {"fresh"}


def test_an_answer_that_is_none_is_a_rejected_item(project: Folder, server: Server) -> None:
    replies = {
        "Say one a": lambda call: call.say("a b c", finish_reason="length"),
        "Say two b": lambda call: call.say("", finish_reason="content_filter"),
        "Say three c": lambda call: call.say("  "),
        "Say four d": lambda call: call.fail(
            400, "maximum context length exceeded", code="context_length_exceeded"
        ),
        "Say five e": Call.say,
    }
    server.reply = lambda call: replies[call.question](call)
    rows(project, "one a", "two b", "three c", "four d", "five e")
    project.build()
    assert rejected(project) == {
        "one": "cut_off",
        "two": "content_filter",
        "three": "no_answer",
        "four": "refused",
    }
    option(project, "cut_off: keep")
    project.build()
    assert given(project) == {"one": "a b c", "five": "e five Say"}
    assert set(server.asked.values()) == {1}


def test_several_answers_are_a_list(project: Folder, server: Server) -> None:
    """Also of a server that gives one, however many are wanted."""

    def reply(call: Call) -> None:
        call.body["n"] = 2 if "two" in call.question else 1
        call.say(f"{call.question} {call.number}")

    server.reply = reply
    option(project, "n: 2", "temperature: 0.7", "seed: 5")
    project.build()
    assert json.loads(given(project)["two"]) == ["Say two b 0"] * 2
    assert json.loads(given(project)["one"]) == ["Say one a 0", "Say one a 1"]
    assert [b["seed"] for b in server.bodies if "one" in b["messages"][-1]["content"]] == [5, 6]


def test_chat_messages_are_asked_as_they_are(folder: Folder, server: Server) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go"},
    ]
    folder.write("data/rows.jsonl", json.dumps({"chat": turns, "tone": "kind", "id": "a"}) + "\n")
    folder.sparkfile(SPARKFILE.replace("URL", server.url).replace('prompt: "Say {text}"', "messages: chat"))
    option(folder, 'system: "Be {tone}."', "top_p: 0.9", "stop: [END]", "extra: {reasoning_effort: low}")
    folder.build()
    assert server.bodies == [
        {
            "model": "teacher", "max_tokens": 512, "temperature": 0.0, "top_p": 0.9, "stop": ["END"],
            "reasoning_effort": "low", "messages": [{"role": "system", "content": "Be kind."}, *turns],
        }
    ]  # fmt: skip


def test_the_budget_is_never_overrun(project: Folder, server: Server) -> None:
    """Ten words a question, five an answer; each may cost up to its body's bytes and 20 tokens."""
    server.reply = lambda call: call.say("five words of an answer")
    rows(project, *(f"{n} " + "word " * 8 for n in range(100)))
    option(
        project,
        "price: {input: 1000000, output: 1000000}",
        "budget: 1000",
        "max_tokens: 20",
        "concurrency: 4",
    )
    failed = project.build(code=1)
    asked = sum(server.asked.values())
    assert 30 <= asked <= 1000 // 15
    assert "the budget of 1000 does not allow for the next question" in failed.err
    assert f"cost {asked * 15}" in failed.err
    project.edit("budget: 1000", "budget: 2000")
    built = project.build()
    assert set(server.asked.values()) == {1}
    log = project.spark("log", "dataset:notes/ingest").out
    assert f"cost {(100 - asked) * 15}" in log
    assert built.ran


def test_requests_are_spread_over_the_minute_and_no_more_than_allowed_are_under_way(
    project: Folder, server: Server
) -> None:
    def reply(call: Call) -> None:
        time.sleep(0.02)
        call.say()

    server.reply = reply
    rows(project, *(f"{n} word" for n in range(12)))
    option(project, "requests_per_minute: 1200", "concurrency: 2")
    project.build()
    assert server.times[-1] - server.times[0] >= 11 * 0.05 - 0.02
    assert server.most_at_a_time <= 2


def test_a_question_without_its_field_is_a_rejected_item(project: Folder, server: Server) -> None:
    project.edit("Say {text}", "Say {txet}")
    failed = project.build(code=1)
    assert "missing_field" in failed.err
    assert "did you mean 'text'?" in failed.err
    assert not server.asked


def test_what_can_not_be_meant_is_told_at_its_line(project: Folder, server: Server) -> None:
    for lines, said in (
        (["messages: chat"], "give one of 'prompt', a template, and 'messages'"),
        (["n: 3"], "3 answers at temperature 0 are 3 times the same"),
        (["budget: 1"], "a budget needs 'price' and 'max_tokens'"),
        (["max: 1"], "'max' is of an answer that is a number"),
        (["answer: number", 'pattern: "("'], "'(' is no regular expression"),
        (["extra: {seed: 1}"], "'seed' has a param of its own"),
        (["base_url: x"], "did you mean 'endpoint'?"),
    ):
        text = (project.path / "Sparkfile.yaml").read_text()
        option(project, *lines)
        assert said in project.spark("check", code=2).err
        project.write("Sparkfile.yaml", text)


def test_a_strict_build_may_ask_the_endpoint_that_it_names(project: Folder, server: Server) -> None:
    project.sparkfile("environment: {hermetic: strict}\n" + SPARKFILE.replace("URL", server.url))
    project.build()
    assert set(server.asked.values()) == {1}


def test_verify_says_that_an_endpoint_answers_as_it_likes(project: Folder, server: Server) -> None:
    project.build()
    told = project.spark("verify", "dataset:notes", code=None)
    assert "what an endpoint answers is its own" in told.out + told.err
