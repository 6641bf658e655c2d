"""From a text or messages to the tokens that the model goes on from, put as training put them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_build.training.chat import PLAIN
from spark_build.training.encoding import begin_tokens


class TemplateRefuses(Exception):
    """The model's chat template does not take these messages."""


@dataclass(frozen=True)
class Prompts:
    tokenizer: Any
    begin: list[int]  # before every text: [bos] for Llama, [] for GPT-2

    @classmethod
    def of(cls, tokenizer: Any) -> "Prompts":
        return cls(tokenizer, begin_tokens(tokenizer))

    def text(self, prompt: str) -> tuple[int, ...]:
        """The prompt as it stands; no template, and no special tokens beyond those at the beginning."""
        return self._begun(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The messages in the model's chat template; our recipes write one that asks as they trained.

        A model without one (trained on plain text) gets `role: content`, a line each, and then `assistant:`.
        Errors: TemplateRefuses.
        """
        from jinja2 import TemplateError

        turns = [{**m, "role": "system" if m["role"] == "developer" else m["role"]} for m in messages]
        template = None if self.tokenizer.chat_template else PLAIN
        try:
            rendered = self.tokenizer.apply_chat_template(
                turns, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise TemplateRefuses(f"this model's chat template refuses the messages: {error}") from None
        return self.text(rendered)

    def _begun(self, tokens: list[int]) -> tuple[int, ...]:
        has_begun = tokens[: len(self.begin)] == self.begin
        return tuple(tokens if has_begun else self.begin + tokens)
