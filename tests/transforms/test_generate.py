"""generate through an endpoint: asked once per item ever, whatever the server does; a real one on 127.0.0.1."""

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import pytest
from openai_double import Call, Server, openai_double
from pydantic import ValidationError

from spark_build.contract import Item, Media
from spark_build.core.errors import BadInput, ItemRejected, SparkError, TransientError
from spark_build.transforms.generate import Generate, Params
from tests.golden import Heard
from tests.golden.data_cases import context
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


def test_what_was_answered_is_kept_where_the_build_fails(project: Folder, server: Server) -> None:
    server.reply = lambda call: call.fail(503, "busy") if "two" in call.question else call.say()
    failed = project.build(code=1)
    assert "1 question has no answer; the last one: http_503 (503 busy)" in failed.err
    assert "fix: build again" in failed.err
    server.reply = Call.say
    project.build()
    assert server.asked == {"Say one a": 1, "Say three c": 1, "Say two b": 3 + 1}


def test_an_item_that_is_never_answered_may_be_left_out_and_is_asked_about_again(
    project: Folder, server: Server
) -> None:
    server.reply = lambda call: call.fail(500, "boom") if "two" in call.question else call.say()
    option(project, "unanswered: reject")
    project.build()
    assert (set(given(project)), rejected(project)) == ({"one", "three"}, {"two": "unanswered"})
    server.reply = Call.say
    rows(project, "one a", "two b", "three c", "four d")
    project.build()
    assert set(given(project)) == {"one", "two", "three", "four"}
    assert server.asked == {"Say one a": 1, "Say three c": 1, "Say four d": 1, "Say two b": 3 + 1}


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


def test_a_question_without_its_field_is_a_rejected_item(project: Folder, server: Server) -> None:
    project.edit("Say {text}", "Say {txet}")
    failed = project.build(code=1)
    assert "missing_field" in failed.err
    assert "did you mean 'text'?" in failed.err
    assert not server.asked


def test_a_param_that_is_called_otherwise_is_told_at_its_line(project: Folder, server: Server) -> None:
    option(project, "base_url: x")
    told = project.spark("check", code=2).err
    assert told.startswith("Sparkfile.yaml:12:11: unknown key 'base_url'")
    assert "did you mean 'endpoint'?" in told


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"messages": "chat"}, "give one of 'prompt', a template, and 'messages'"),
        ({"chat": False, "system": "Be brief."}, "'messages' and 'system' need chat"),
        ({"n": 3}, "3 answers at temperature 0 are 3 times the same"),
        ({"budget": 1}, "a budget needs 'price' and 'max_tokens'"),
        ({"max": 1}, "'max' is of an answer that is a number"),
        ({"key": "a"}, "'key' is of an answer in JSON"),
        ({"answer": "number", "pattern": "("}, r"'\(' is no regular expression"),
        ({"extra": {"seed": 1}}, "'seed' has a param of its own"),
        ({"endpoint": "ftp://host/v1"}, "no http or https URL"),
        ({"endpoint": "https://me:pw@host/v1"}, "a URL with a password in it"),
        ({"endpoint": "https://host/v1?key=x"}, "is no base URL"),
        ({"endpoint": None, "api_key": "x"}, "'api_key' goes with an endpoint"),
        ({"prompt": "{a b}"}, "is no field's name"),
    ],
)
def test_what_can_not_be_meant_is_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Params(**{"endpoint": "https://host/v1", "model": "m", "prompt": "x", **params})


def test_a_strict_build_may_ask_the_endpoint_that_it_names_and_asks_nothing_twice(
    project: Folder, server: Server
) -> None:
    project.build()
    rows(project, "one a", "two b", "three c", "four d")
    project.edit("datasets:", "environment: {hermetic: strict}\ndatasets:")
    project.build()
    assert server.asked == {"Say one a": 1, "Say two b": 1, "Say three c": 1, "Say four d": 1}


def test_verify_asks_nothing_and_makes_the_same_of_the_answers(project: Folder, server: Server) -> None:
    server.reply = lambda call: call.say(f"{time.time_ns()}")
    project.build()
    told = project.spark("verify", "dataset:notes")
    assert "equal" in told.out + told.err
    assert set(server.asked.values()) == {1}
    shutil.rmtree(project.path / ".spark/memo")
    told = project.spark("verify", "dataset:notes", code=None)
    assert "what an endpoint answers is its own" in told.out + told.err


# the asking itself, without a build around it


def asking(server: Server | None, *texts: str, folder: Path, **params: Any) -> tuple[dict[int, Any], Heard]:
    """What comes of each question, and what is told. Errors: as `ask`."""
    url = "http://127.0.0.1:9/v1" if server is None else server.url
    given = {
        "endpoint": url,
        "model": "teacher",
        "wait": 0.01,
        "retries": 2,
        "prompt": "Say {text}",
        **params,
    }
    rule, around = Generate(Params(**given)), context(folder, {})
    items = [Item(str(n), "a", "train", {"text": text}) for n, text in enumerate(texts)]
    found: dict[int, Any] = {}
    for number, answer in rule.ask(items, around):
        found[number] = answer
    return found, cast(Heard, around.report)


def texts_of(found: Any) -> list[str]:
    return [one["text"] for one in found["answers"]]


def test_what_the_server_can_not_do_now_is_tried_again(tmp_path: Path, server: Server) -> None:
    faults = {
        "Say a": lambda call: call.fail(429, headers={"Retry-After": "0"}),
        "Say b": lambda call: call.fail(500),
        "Say c": lambda call: call.send(200, b'{"choices": [{"mess', length=400),
        "Say d": lambda call: call.send(200, b"<html>gateway</html>"),
        "Say e": lambda call: call.handler.connection.shutdown(socket.SHUT_RDWR),
        "Say f": lambda call: call.send(200, {"error": {"message": "overloaded"}}),
        "Say g": lambda call: call.send(200, {"choices": []}),
        "Say h": lambda call: call.fail(503, headers={"Retry-After": formatdate(time.time() - 5, usegmt=True)}),
    }  # fmt: skip
    server.reply = lambda call: call.say() if call.number == 2 else faults[call.question](call)
    found, _ = asking(server, *"abcdefgh", folder=tmp_path)
    assert set(server.asked.values()) == {3}
    assert [texts_of(found[n]) for n in range(8)] == [[f"{letter} Say"] for letter in "abcdefgh"]


def test_retry_after_holds_all_requests(tmp_path: Path, server: Server) -> None:
    server.reply = lambda call: (
        call.fail(429, headers={"Retry-After": "1"}) if sum(server.asked.values()) == 1 else call.say()
    )
    asking(server, *"abcd", folder=tmp_path, concurrency=1)
    assert server.times[1] - server.times[0] >= 1.0


def test_a_slow_answer_is_given_up(tmp_path: Path, server: Server) -> None:
    server.reply = lambda call: time.sleep(0.6) if call.number == 0 else call.say()
    found, _ = asking(server, "a", "b", folder=tmp_path, timeout=0.2)
    assert (len(found), set(server.asked.values())) == (2, {2})


def test_a_dead_server_is_given_up_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TransientError, match="500 questions have no answer; the last one: no_connection"):
        asking(None, *map(str, range(500)), folder=tmp_path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, {"message": "Incorrect API key provided: sk-secret"}, r"Incorrect API key provided: \*\*\*"),
        (404, {"message": "The model 'teacher' does not exist"}, "The model 'teacher' does not exist"),
        (429, {"message": "You exceeded your quota", "code": "insufficient_quota"}, "no credit left"),
        (
            400,
            {"message": "Unsupported parameter", "param": "temperature"},
            "'temperature' is what the server",
        ),
        (302, {"message": "moved"}, "check endpoint and model"),
        (429, {"message": "later"}, "it asks to be left alone for 7,200 s"),
    ],
)
def test_what_holds_for_all_questions_ends_the_asking_at_once(
    tmp_path: Path, server: Server, status: int, error: dict[str, Any], said: str
) -> None:
    server.reply = lambda call: call.fail(status, headers={"Retry-After": "7200"}, **error)
    with pytest.raises(SparkError, match=said):
        asking(server, *"abc", folder=tmp_path, concurrency=1, api_key="sk-secret")
    assert sum(server.asked.values()) == 1


def test_several_answers_also_of_a_server_that_gives_one(tmp_path: Path, server: Server) -> None:
    def reply(call: Call) -> None:
        call.body["n"] = call.body["n"] if "a" in call.question.split() else 1
        call.say(f"{call.question} {call.number}")

    server.reply = lambda call: (
        reply(call) if "n" in call.body else call.say(f"{call.question} {call.number}")
    )
    found, _ = asking(server, "a", "b", folder=tmp_path, n=2, temperature=0.7, seed=5)
    assert [texts_of(found[n]) for n in (0, 1)] == [["Say a 0", "Say a 0"], ["Say b 0", "Say b 1"]]
    assert found[1]["tokens"] == [4, 6]
    asked = [body for body in server.bodies if body["messages"][-1]["content"] == "Say b"]
    assert [(body.get("n"), body["seed"]) for body in asked] == [(2, 5), (None, 6)]


def test_chat_messages_are_asked_as_they_are(tmp_path: Path, server: Server) -> None:
    turns = [
        {"role": role, "content": said}
        for role, said in (("user", "Hi"), ("assistant", "Yes?"), ("user", "Go"))
    ]
    more = {
        "messages": "chat",
        "system": "Be {tone}.",
        "top_p": 0.9,
        "stop": ["END"],
        "extra": {"verbosity": "low"},
    }
    rule = Generate(Params(endpoint=server.url, model="teacher", **more))
    item = Item("a", "a", "train", {"chat": turns, "tone": "kind", "other": 1.0})
    assert rule.fields_read(item) == ("chat", "tone")
    list(rule.ask([item], context(tmp_path, {})))
    assert server.bodies == [
        {
            "model": "teacher", "max_tokens": 512, "temperature": 0.0, "top_p": 0.9, "stop": ["END"],
            "verbosity": "low", "messages": [{"role": "system", "content": "Be kind."}, *turns],
        }
    ]  # fmt: skip


def test_a_prompt_may_go_on_as_text(tmp_path: Path, server: Server) -> None:
    found, _ = asking(server, "a", folder=tmp_path, chat=False)
    assert (texts_of(found[0]), server.bodies[0]["prompt"]) == (["a Say"], "Say a")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_budget_is_never_overrun(tmp_path: Path, server: Server, concurrency: int) -> None:
    """Ten words a question, five an answer, at a price of 1 a token; each may cost its body's bytes and 20 tokens."""
    server.reply = lambda call: call.say("five words of an answer")
    price = {"input": 1_000_000, "output": 1_000_000}
    spending = {"price": price, "budget": 1000, "max_tokens": 20, "concurrency": concurrency}
    with pytest.raises(BadInput, match="the budget of 1000 does not allow for the next question") as refused:
        asking(server, *(f"{n} " + "word " * 8 for n in range(100)), folder=tmp_path, **spending)
    asked = sum(server.asked.values())
    assert 1000 - 15 * asked < 300, "it stops where the next one could overrun it, not long before"
    assert 15 * asked <= 1000
    assert (
        f"{asked} answers of this build are kept ({asked * 10} tokens in, {asked * 5} out, cost {asked * 15})"
        in str(refused.value)
    )


def test_what_may_have_been_charged_for_counts_against_the_budget(tmp_path: Path, server: Server) -> None:
    server.reply = lambda call: time.sleep(0.5)
    spending = {"price": {"input": 0, "output": 1_000_000}, "budget": 50, "max_tokens": 20}
    with pytest.raises(BadInput, match="40 is spent, and it may cost 20"):
        asking(server, "a", folder=tmp_path, timeout=0.1, retries=5, **spending)
    assert sum(server.asked.values()) == 2


def test_counts_and_cost_are_noted(tmp_path: Path, server: Server) -> None:
    _, heard = asking(server, "a", "b", folder=tmp_path, price={"input": 2, "output": 3})
    (noted,) = heard.notes.values()
    counted = {"answers": 2, "input_tokens": 4, "output_tokens": 4, "by": ["teacher-2026"]}
    assert noted == {**counted, "cost": pytest.approx(20e-6)}


def test_requests_are_spread_over_the_minute_and_no_more_than_allowed_are_under_way(
    tmp_path: Path, server: Server
) -> None:
    def reply(call: Call) -> None:
        time.sleep(0.02)
        call.say()

    server.reply = reply
    asking(server, *map(str, range(12)), folder=tmp_path, requests_per_minute=1200, concurrency=2)
    assert server.times[-1] - server.times[0] >= 11 * 0.05 - 0.02
    assert server.most_at_a_time <= 2


def test_what_no_server_can_be_asked_is_a_rejected_item(tmp_path: Path, server: Server) -> None:
    found, _ = asking(server, "lone \ud800 surrogate", "a", folder=tmp_path)
    assert (found[0].reason, texts_of(found[1])) == ("bad_text", ["a Say"])
    rule = Generate(Params(endpoint=server.url, model="m", prompt="See {image}"))
    item = Item("a", "a", "train", {"image": Media("image", tmp_path / "a.png", ".png")})
    ((_, why),) = rule.ask([item], context(tmp_path, {}))
    assert (why.reason, why.detail) == ("not_text", "image does not go into a template")


def test_a_server_that_answers_most_is_not_given_up(tmp_path: Path, server: Server) -> None:
    server.reply = lambda call: call.fail(500) if call.question[4:] in "abcde" else call.say()
    with pytest.raises(TransientError, match="5 questions have no answer"):
        asking(server, "first", *"abcdefgh", folder=tmp_path, concurrency=1, retries=0)
    assert len(server.asked) == 9


def test_all_that_is_under_way_is_waited_for_where_one_ends_it(tmp_path: Path, server: Server) -> None:
    def reply(call: Call) -> None:
        if call.question == "Say bad":
            call.fail(401)
        else:
            time.sleep(0.2)
            call.say()

    server.reply = reply
    around = context(tmp_path, {})
    rule = Generate(Params(endpoint=server.url, model="m", prompt="Say {text}", concurrency=3))
    asked = rule.ask([Item(t, "a", "train", {"text": t}) for t in ("a", "b", "bad", "c", "d")], around)
    found: list[int] = []
    with pytest.raises(SparkError):
        found.extend(number for number, _ in asked)
    assert sorted(found) == [0, 1]


@pytest.mark.parametrize(
    ("said", "params", "read"),
    [
        ('{"a": 1}', {"answer": "json"}, {"a": 1}),
        ('Sure!\n```json\n{"a": [1]}\n```\nHope it helps', {"answer": "json", "key": "a"}, [1]),
        ('It is {"a": {"b": "x"}}, I think', {"answer": "json", "key": "a.b"}, "x"),
        ("7", {"answer": "number"}, 7.0),
        ("I say 7.5 of 10", {"answer": "number"}, 7.5),
        ("10 points? No: -3", {"answer": "number", "pattern": r"No: (-?\d+)"}, -3.0),
        ('{"score": "8"}', {"answer": "number", "key": "score"}, 8.0),
        ("no idea", {"answer": "number"}, "no_number"),
        ("true", {"answer": "number"}, "no_number"),
        ('{"score": true}', {"answer": "number", "key": "score"}, "no_number"),
        ('{"score": 1}', {"answer": "number", "key": "points"}, "no_key"),
        ("1" * 400, {"answer": "number"}, "no_number"),
        ("11", {"answer": "number", "max": 10}, "out_of_range"),
        ("{'a': 1}", {"answer": "json"}, "not_json"),
        ("[" * 100_000, {"answer": "json"}, "not_json"),
        ('{"a": NaN}', {"answer": "json"}, "not_json"),
        ('"\\ud800"', {"answer": "json"}, "not_json"),
        ("", {"answer": "json"}, "no_answer"),
    ],
)
def test_what_is_read_of_an_answer(said: str, params: dict[str, Any], read: Any) -> None:
    rule = Generate(Params(model="m", prompt="x", **params))
    found = {"answers": [{"text": said, "end": "stop"}], "tokens": [1, 1], "by": "m"}
    assert read_of(rule, found) == read


def read_of(rule: Generate, found: Any) -> Any:
    """What the answer is read as, or the reason of the refusal."""
    try:
        (made,) = rule.becomes(Item("a", "a", "train", {}), found, rule.params)
    except ItemRejected as why:
        return why.reason
    return made["answer"]
