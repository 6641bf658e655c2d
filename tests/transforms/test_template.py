"""Known forms by name, in both directions, and templates of one's own."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from spark_build.contract import Item
from spark_build.core.errors import ItemRejected
from spark_build.transforms.template import Params, Template

ALPACA = {"instruction": "Name a boat.", "input": "In French.", "output": "Bateau."}
TURNS = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hello."}]
CHAT = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]


def made(row: Mapping[str, Any], **params: Any) -> dict[str, Any]:
    rule, item = Template(Params(**params)), Item("id", "a.jsonl", "train", dict(row))
    read = rule.fields_read(item)
    (fields,) = rule.apply(Item("", "", "", {name: row[name] for name in read}))
    return {**{name: value for name, value in row.items() if name not in read}, **fields}  # as ingest does it


def test_own_templates_give_prompt_and_completion_and_leave_other_fields() -> None:
    row = {"question": "Who?", "answer": "Ann", "n": 3.0, "source_url": "x"}
    assert made(row, prompt="{n}. Question: {question} {{now}}\n", completion="{answer}") == {
        "prompt": "3. Question: Who? {now}\n", "completion": "Ann", "source_url": "x",
    }  # fmt: skip


def test_own_templates_give_chat_messages_with_a_system_message() -> None:
    out = made({"q": "Who?", "a": "Ann"}, prompt="{q}", completion="{a}", system="Be brief.", to="messages")
    assert out["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Ann"},
    ]  # fmt: skip


def test_fields_that_were_read_stay_where_that_is_asked() -> None:
    out = made({"q": "Who?", "a": "Ann"}, prompt="{q}!", completion="{a}", keep=True)
    assert out == {"q": "Who?", "a": "Ann", "prompt": "Who?!", "completion": "Ann"}


def test_alpaca_becomes_chat() -> None:
    out = made(ALPACA, form="alpaca")
    assert out == {
        "messages": [
            {"role": "user", "content": "Name a boat.\n\nIn French."}, {"role": "assistant", "content": "Bateau."},
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    "row", [{**ALPACA, "input": ""}, {**ALPACA, "input": None}, {"instruction": "Go {input}", "output": "x"}]
)
def test_alpaca_without_input_has_the_shorter_prompt(row: dict[str, Any]) -> None:
    prompt = made(row, form="alpaca", to="prompt_completion")["prompt"]
    assert prompt.endswith(f"### Instruction:\n{row['instruction']}\n\n### Response:\n")
    assert "### Input" not in prompt


def test_alpaca_as_pairs_has_the_prompt_that_alpaca_was_trained_with() -> None:
    out = made(ALPACA, form="alpaca", to="prompt_completion")
    assert out["prompt"].startswith("Below is an instruction that describes a task, paired with an input")
    assert out["prompt"].endswith("Name a boat.\n\n### Input:\nIn French.\n\n### Response:\n")
    assert out["completion"] == "Bateau."


def test_sharegpt_and_messages_are_one_anothers_inverse() -> None:
    assert made({"conversations": TURNS}, form="sharegpt") == {"messages": CHAT}
    assert made({"messages": CHAT}, form="messages", to="sharegpt") == {"conversations": TURNS}


def test_one_turn_of_chat_becomes_alpaca_and_pairs_and_longer_ones_are_rejected() -> None:
    system = [{"role": "system", "content": "Be brief."}, *CHAT]
    assert made({"messages": system}, form="messages", to="alpaca") == {
        "instruction": "Hello?", "input": "", "output": "Hello.", "system": "Be brief.",
    }  # fmt: skip
    assert (
        made({"messages": system}, form="messages", to="prompt_completion")["prompt"] == "Be brief.\n\nHello?"
    )
    with pytest.raises(
        ItemRejected, match="not_one_turn: alpaca holds one question and its answer, not user, assi"
    ):
        made({"messages": [*CHAT, *CHAT]}, form="messages", to="alpaca")


@pytest.mark.parametrize(
    ("row", "params", "reason"),
    [
        ({"qestion": "a", "answer": "b"}, {"prompt": "{question}", "completion": "{answer}"},
         "missing_field: no field 'question', did you mean 'qestion'"),
        ({"q": "a", "a": None}, {"prompt": "{q}", "completion": "{a} "}, "no_answer"),
        ({"conversations": [{"from": "martian", "value": "x"}]}, {"form": "sharegpt"}, "unknown_role: 'martian'"),
        ({"conversations": [{"from": "human"}]}, {"form": "sharegpt"}, "bad_turn: turn 1"),
        ({"conversations": "Hello"}, {"form": "sharegpt"}, "no_turns"),
        ({"instruction": 3.0, "output": "x"}, {"form": "alpaca"}, "not_text: 'instruction'"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_rejected_with_the_reason(
    row: dict[str, Any], params: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ItemRejected, match=reason):
        made(row, **params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "give 'form', or both 'prompt' and 'completion'"),
        ({"prompt": "{q}"}, "not prompt"),
        ({"form": "alpaca", "prompt": "{q}"}, "'prompt' goes without 'form'"),
        ({"form": "messages"}, "the rows are messages already"),
        ({"prompt": "{q", "completion": "{a}"}, "prompt"),
        ({"prompt": "{q.x}", "completion": "{a}"}, "is no field's name"),
        ({"form": "alpacca"}, "alpaca"),
    ],
)
def test_params_that_mean_nothing_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Params(**params)
