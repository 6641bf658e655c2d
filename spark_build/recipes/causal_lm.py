"""Trains a causal language model: from scratch by a configuration, or all weights of a base."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spark_build.contract import Base, Context, Recipe
from spark_build.recipes._causal import Started, train_causal
from spark_build.recipes._params import LIBRARIES, CausalParams, check_start
from spark_build.training.causal import CausalText


class TokenizerParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["bpe"] = Field("bpe", description="byte-level BPE, as in GPT-2")
    vocab_size: int = Field(4096, ge=258, description="tokens, the two special ones and 256 bytes among them")


class Params(CausalParams):
    base: Base | None = Field(None, description="model to start from: a hub id, a folder, or model:NAME")
    config: dict[str, Any] | None = Field(
        None,
        description="model to make anew: {model_type: llama, hidden_size: 256, …}, as transformers names it",
    )
    tokenizer: TokenizerParams | None = Field(
        None, description="tokenizer to train on the train split, for a model made anew"
    )

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        check_start(self.base, self.config, self.tokenizer)
        return self


class CausalLm(Recipe):
    Params = Params
    revision = 1
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    def train(self, context: Context) -> None:
        from spark_build.training.model_files import save_model

        started, text = train_causal(
            context, self.params, lambda rows, text: self._start(context, rows, text)
        )
        save_model(
            started.model,
            started.tokenizer,
            context.output / "model",
            recipe=text.to_json(),
            dtype=started.dtype,
        )

    def _start(self, context: Context, rows: Any, text: CausalText) -> Started:
        from spark_build.training import model_files

        if self.params.base is None:
            return self._make_anew(context, rows, text)
        folder = context.inputs["base"]
        model = model_files.load_causal_lm(folder)  # float32 while it learns, whatever it is kept in
        return Started(model_files.load_tokenizer(folder), model, model_files.dtype_of(folder))

    def _make_anew(self, context: Context, rows: Any, text: CausalText) -> Started:
        from transformers import AutoModelForCausalLM

        from spark_build.training import from_config
        from spark_build.training.tokenizers_from_text import train_tokenizer

        wanted = self.params.tokenizer or TokenizerParams()
        context.report.log(f"training a {wanted.kind} tokenizer of {wanted.vocab_size} tokens")
        tokenizer = train_tokenizer(wanted.kind, _texts(rows, text), wanted.vocab_size)
        config = from_config.make_config(self.params.config, tokenizer, self.params.max_length)
        tokenizer.model_max_length = config.max_position_embeddings
        return Started(tokenizer, from_config.make_model(AutoModelForCausalLM, config), "float32")


def _texts(rows: Any, text: CausalText) -> Iterator[str]:
    """What a new tokenizer learns from: every text that the model will read."""
    for row in rows:
        if text.form.kind == "messages":
            yield from (message["content"] for message in row[str(text.form.messages)] or [])
        else:
            yield from (piece for piece, _ in text.form.segments(row, None))
