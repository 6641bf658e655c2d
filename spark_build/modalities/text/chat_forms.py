"""The forms in which instructions and chats are kept, each to and from chat messages.

alpaca: Taori et al. 2023, "Stanford Alpaca", data release and prompt. sharegpt: `conversations` of `from` and `value`,
as in the FastChat repository. messages: `role` and `content`, as in chat APIs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from spark_build.core.errors import ItemRejected

FormName = Literal["alpaca", "sharegpt", "messages", "prompt_completion"]
Messages = list[dict[str, str]]
Row = Mapping[str, Any]

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "alpaca": ("instruction", "output"),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
    "prompt_completion": ("prompt", "completion"),
}
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "alpaca": ("input", "system"), "sharegpt": ("system",), "messages": (), "prompt_completion": ("system",),
}  # fmt: skip

_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant",
    "assistant": "assistant", "model": "assistant", "system": "system", "tool": "tool", "observation": "tool",
}  # fmt: skip
_SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}

_ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)
_ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)


def messages_of(form: FormName, row: Row) -> Messages:
    """The row as chat messages. Errors: ItemRejected where it is not in that form."""
    read: Mapping[str, Callable[[Row], Messages]] = {
        "alpaca": _from_alpaca, "sharegpt": _from_sharegpt, "messages": _from_messages,
        "prompt_completion": _from_pair,
    }  # fmt: skip
    return read[form](row)


def fields_of(form: FormName, messages: Messages) -> dict[str, Any]:
    """Chat messages in that form. Errors: ItemRejected where it can't hold them."""
    if form == "messages":
        return {"messages": messages}
    if form == "sharegpt":
        return {"conversations": [{"from": _speaker(m["role"]), "value": m["content"]} for m in messages]}
    system, asked, answered = _one_turn(messages, form)
    if form == "alpaca":
        return {
            "instruction": asked,
            "input": "",
            "output": answered,
            **({"system": system} if system else {}),
        }
    return {"prompt": f"{system}\n\n{asked}" if system else asked, "completion": answered}


def alpaca_prompt(row: Row) -> str:
    """The prompt that Alpaca was trained with."""
    given = {"instruction": _text(row, "instruction"), "input": _text(row, "input")}
    template = _ALPACA_WITH_INPUT if given["input"].strip() else _ALPACA
    return template.format_map(given)


def _from_alpaca(row: Row) -> Messages:
    asked = "\n\n".join(part for part in (_text(row, "instruction"), _text(row, "input")) if part.strip())
    return [*_system(row), _message("user", asked), _message("assistant", _text(row, "output"))]


def _from_pair(row: Row) -> Messages:
    turn = [_message("user", _text(row, "prompt")), _message("assistant", _text(row, "completion"))]
    return [*_system(row), *turn]


def _from_sharegpt(row: Row) -> Messages:
    turns = _turns(row, "conversations", ("from", "value"))
    return [*_system(row), *(_message(_role(turn["from"]), turn["value"]) for turn in turns)]


def _from_messages(row: Row) -> Messages:
    return [_message(turn["role"], turn["content"]) for turn in _turns(row, "messages", ("role", "content"))]


def _turns(row: Row, name: str, keys: tuple[str, str]) -> Sequence[Mapping[str, str]]:
    turns = row.get(name)
    if not isinstance(turns, list) or not turns:
        raise ItemRejected("no_turns", f"'{name}' holds no turns")
    for number, turn in enumerate(turns):
        if not isinstance(turn, Mapping) or not all(isinstance(turn.get(key), str) for key in keys):
            raise ItemRejected(
                "bad_turn", f"turn {number + 1} of '{name}' has no '{keys[0]}' and '{keys[1]}' of text"
            )
    return turns


def _one_turn(messages: Messages, form: str) -> tuple[str, str, str]:
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
    rest = messages[1:] if system else messages
    if [message["role"] for message in rest] != ["user", "assistant"]:
        roles = ", ".join(message["role"] for message in messages)
        raise ItemRejected("not_one_turn", f"{form} holds one question and its answer, not {roles}")
    return system, rest[0]["content"], rest[1]["content"]


def _role(speaker: str) -> str:
    if speaker not in _ROLES:
        raise ItemRejected("unknown_role", f"'{speaker}'; known are {', '.join(_ROLES)}")
    return _ROLES[speaker]


def _speaker(role: str) -> str:
    if role not in _SPEAKERS:
        raise ItemRejected("unknown_role", f"'{role}'; known are {', '.join(_SPEAKERS)}")
    return _SPEAKERS[role]


def _system(row: Row) -> Messages:
    system = _text(row, "system")
    return [_message("system", system)] if system.strip() else []


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise ItemRejected("not_text", f"'{name}' holds no text")
    return value or ""
