"""How a row becomes text to learn from: plain text, prompt and completion, or chat messages.

A form is found once, when training begins, and travels with the model as `spark_recipe.json`: evaluation and
serving read rows and questions the way training did.
"""

import difflib
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spark_build.core.errors import BadInput

KINDS = ("text", "prompt_completion", "messages")

# field names under which pairs are usually kept, first match wins
_PAIRS = (
    ("prompt", "completion"),
    ("question", "answer"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "response"),
    ("input", "output"),
    ("query", "response"),
)

Segment = tuple[str, bool]  # text, and whether the loss counts it


@dataclass(frozen=True)
class Form:
    kind: str  # one of KINDS
    text: str | None = None  # field
    prompt: str | None = None  # template
    completion: str | None = None  # template
    messages: str | None = None  # field

    @classmethod
    def find(
        cls,
        fields: Mapping[str, str],
        *,
        kind: str = "auto",
        text: str | None = None,
        prompt: str | None = None,
        completion: str | None = None,
        messages: str | None = None,
    ) -> "Form":
        """The form that these fields (name -> type) and settings mean. Errors: BadInput where that is not clear."""
        if kind == "auto":
            kind = _guess_kind(fields, text, prompt, completion, messages)
        if kind == "text":
            form = cls("text", text=text or _only_text_field(fields))
        elif kind == "messages":
            form = cls("messages", messages=messages or _messages_field(fields))
        else:
            form = cls("prompt_completion", **_pair(fields, prompt, completion))
        form._check_fields(fields)
        return form

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Form":
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that a row must have."""
        if self.kind == "prompt_completion":
            return tuple(dict.fromkeys([*names_in(self.prompt or ""), *names_in(self.completion or "")]))
        return (str(self.text or self.messages),)

    def segments(self, row: Mapping[str, Any], tokenizer: Any) -> list[Segment]:
        """The row as pieces of text; [] where there is nothing to learn from it."""
        if self.kind == "text":
            text = fill(f"{{{self.text}}}", row)
            return [(text, True)] if text.strip() else []
        if self.kind == "messages":
            return _message_segments(row[str(self.messages)] or [], tokenizer)
        prompt, completion = fill(self.prompt or "", row), fill(self.completion or "", row)
        return [(prompt, False), (completion, True)] if completion.strip() else []

    def _check_fields(self, fields: Mapping[str, str]) -> None:
        for name in self.fields:
            if name not in fields:
                raise BadInput(
                    f"the dataset has no field '{name}'{_did_you_mean(name, fields)}",
                    fix=f"it has {', '.join(fields)}: name one of them, or set `form:`",
                )
        if self.kind == "messages" and fields[str(self.messages)] != "messages":
            raise BadInput(
                f"field '{self.messages}' holds {fields[str(self.messages)]}, not messages",
                fix=f"declare it: `fields: {{{self.messages}: messages}}`, or set `form:`",
            )


def fill(template: str, row: Mapping[str, Any]) -> str:
    """The template with `{name}` replaced by the row's values; an absent value is an empty text."""
    pieces = []
    for literal, name, _, _ in string.Formatter().parse(template):
        pieces.append(literal)
        if name is not None:
            value = row[name]
            pieces.append("" if value is None else str(value))
    return "".join(pieces)


def names_in(template: str) -> list[str]:
    """Names of the fields in a template. Errors: ValueError where it is malformed."""
    names = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(
                f"'{{{name}}}' in {template!r} is no field's name; a literal brace is written twice"
            )
        names.append(name)
    return names


def _guess_kind(
    fields: Mapping[str, str],
    text: str | None,
    prompt: str | None,
    completion: str | None,
    messages: str | None,
) -> str:
    if messages or (not (text or prompt) and "messages" in fields.values()):
        return "messages"
    if prompt or completion or (not text and _known_pair(fields)):
        return "prompt_completion"
    return "text"


def _known_pair(fields: Mapping[str, str]) -> tuple[str, str] | None:
    return next(((p, c) for p, c in _PAIRS if p in fields and c in fields), None)


def _pair(fields: Mapping[str, str], prompt: str | None, completion: str | None) -> dict[str, str]:
    known = _known_pair(fields) or (None, None)
    prompt, completion = prompt or known[0], completion or known[1]
    if prompt is None or completion is None:
        raise BadInput(
            f"which fields are prompt and completion? The dataset has {', '.join(fields)}",
            fix='name them: `prompt: "{question}\\n"` and `completion: "{answer}"`',
        )
    return {"prompt": _as_template(prompt, end="\n"), "completion": _as_template(completion, end="")}


def _as_template(text: str, end: str) -> str:
    """A bare field name stands for its value, a prompt's followed by a new line."""
    return text if "{" in text else f"{{{text}}}{end}"


def _only_text_field(fields: Mapping[str, str]) -> str:
    texts = [name for name, kind in fields.items() if kind == "text"]
    if "text" in texts:
        return "text"
    if len(texts) == 1:
        return texts[0]
    raise BadInput(
        f"which field holds the text? The dataset has {', '.join(fields)}",
        fix="name it (`text: body`), or for pairs `prompt:` and `completion:`",
    )


def _messages_field(fields: Mapping[str, str]) -> str:
    found = [name for name, kind in fields.items() if kind == "messages"]
    if len(found) == 1:
        return found[0]
    raise BadInput(
        f"which field holds the messages? The dataset has {', '.join(fields)}",
        fix="name it: `messages: chat`",
    )


def _message_segments(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> list[Segment]:
    """The rendered chat; the loss counts what the assistant says, as far as the template leaves earlier turns as
    they were (some drop the thoughts of earlier turns: those then count as context).
    """
    if not any(m["role"] == "assistant" and m["content"].strip() for m in messages):
        return []
    whole = _render(messages, tokenizer)
    segments: list[Segment] = []
    done = 0
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _render(messages[:i], tokenizer, add_generation_prompt=True)
        after = _render(messages[: i + 1], tokenizer)
        if not (whole.startswith(before) and whole.startswith(after) and done <= len(before) < len(after)):
            continue
        segments += [(whole[done : len(before)], False), (whole[len(before) : len(after)], True)]
        done = len(after)
    return [s for s in [*segments, (whole[done:], False)] if s[0]]


def _render(
    messages: Sequence[Mapping[str, str]], tokenizer: Any, *, add_generation_prompt: bool = False
) -> str:
    if not messages and add_generation_prompt:
        return ""
    rendered: str = tokenizer.apply_chat_template(
        [dict(m) for m in messages], tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return rendered


def _did_you_mean(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
