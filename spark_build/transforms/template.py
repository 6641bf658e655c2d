"""Writes fields as prompt and completion or as chat messages, and known forms as one another."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from spark_build.contract import Item, RuleParams, Transform
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.text.chat_forms import (
    OPTIONAL,
    REQUIRED,
    FormName,
    alpaca_prompt,
    fields_of,
    messages_of,
)
from spark_build.training.forms import fill, names_in
from spark_build.transforms._text import as_text, check_there, there, well_formed


class Params(RuleParams):
    """A form that the rows have, by name, or templates of one's own."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "type": "form", "format": "form", "formatting": "form", "template": "prompt", "input": "prompt",
        "output": "completion", "response": "completion", "target": "to",
    }  # fmt: skip

    form: FormName | None = Field(
        None,
        description="What rows look like. alpaca: instruction, input, output; sharegpt: conversations of from and "
        "value; messages: messages of role and content; prompt_completion: prompt, completion.",
    )
    to: FormName | None = Field(
        None,
        description="What they become; by default messages, and of own templates prompt_completion. alpaca and "
        "prompt_completion hold one question and answer: longer chats are rejected.",
    )
    prompt: str | None = Field(
        None, description='Own template: "Question: {question}"; {{ and }} are braces.'
    )
    completion: str | None = Field(None, description='Own template of the answer: "{answer}".')
    system: str | None = Field(None, description="Own template of a system message.")
    keep: bool = Field(False, description="Whether the fields that were read stay beside the new ones.")

    @field_validator("prompt", "completion", "system")
    @classmethod
    def _well_formed(cls, template: str | None) -> str | None:
        return well_formed(template)

    @model_validator(mode="after")
    def _one_way(self) -> "Params":
        own = [name for name in ("prompt", "completion", "system") if getattr(self, name) is not None]
        if self.form is not None and own:
            raise ValueError(f"either a known form or templates of your own: '{own[0]}' goes without 'form'")
        if self.form is None and not {"prompt", "completion"} <= set(own):
            raise ValueError(
                f"give 'form', or both 'prompt' and 'completion', not {', '.join(own) or 'none'}"
            )
        if self.form is not None and self.form == self.target:
            raise ValueError(f"the rows are {self.form} already; say what they become: 'to'")
        return self

    @property
    def target(self) -> FormName:
        return self.to or ("messages" if self.form is not None else "prompt_completion")


class Template(Transform):
    """Fields that are read go, unless `keep`; all others stay."""

    Params = Params

    def fields_read(self, item: Item) -> tuple[str, ...]:
        optional = [name for name in OPTIONAL.get(self.params.form or "", ()) if name in item.fields]
        return there(item, [*self._required(), *optional])

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        check_there(item, self._required())
        row = {name: item[name] for name in self.fields_read(item)}
        return [{**(row if self.params.keep else {}), **self._made(row)}]

    def _required(self) -> tuple[str, ...]:
        if self.params.form is not None:
            return REQUIRED[self.params.form]
        own = (self.params.system, self.params.prompt, self.params.completion)
        return tuple(dict.fromkeys(name for template in own for name in names_in(template or "")))

    def _made(self, row: Mapping[str, Any]) -> dict[str, Any]:
        params = self.params
        if (params.form, params.target) == ("alpaca", "prompt_completion"):
            return {"prompt": alpaca_prompt(row), "completion": _not_blank(row["output"], "output")}
        if params.form is not None:
            return fields_of(params.target, messages_of(params.form, row))
        texts = {name: as_text(value) for name, value in row.items()}
        pair = {"prompt": fill(params.prompt, texts), "completion": fill(params.completion, texts)}
        _not_blank(pair["completion"], "completion")
        system = {"system": fill(params.system, texts)} if params.system else {}
        return fields_of(params.target, messages_of("prompt_completion", {**pair, **system}))


def _not_blank(text: Any, name: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ItemRejected("no_answer", f"'{name}' is empty")
    return text
