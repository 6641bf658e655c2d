"""Cuts a long text into windows that overlap."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import model_validator

from spark_build.contract import Item, ModelRef, RuleParams, Transform
from spark_build.contract.params import Field
from spark_build.modalities.text import windows as cut
from spark_build.transforms._text import text_field


class Params(RuleParams):
    """One of `tokens`, `words` and `characters` says how long a window is."""

    tokens: int | None = Field(None, ge=1, description="Tokens per window.")
    words: int | None = Field(
        None,
        ge=1,
        description="Words per window: runs of anything but white space. Scripts that put none between words "
        "are better cut by tokens or characters.",
    )
    characters: int | None = Field(
        None, ge=1, description="Characters per window, as a reader counts them (graphemes)."
    )
    stride: int = Field(
        0, ge=0, description="What neighbouring windows share, in the same unit; less than the window."
    )
    min: int = Field(
        1, ge=1, description="A last window shorter than this is dropped, also where it is the only one."
    )
    tokenizer: ModelRef | None = Field(
        None,
        description="Whose tokens: model:NAME, a folder or a hub id. Without it a token is a run of letters "
        "and digits, or one other character.",
    )
    field: str | None = Field(
        None, description="The text that is cut; by default 'text', or the item's only text."
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        "max_length": "tokens", "max_seq_length": "tokens", "chunk_size": "tokens", "window": "tokens",
        "size": "tokens", "max_tokens": "tokens", "chars": "characters", "overlap": "stride",
        "chunk_overlap": "stride",
        "min_length": "min", "column": "field", "text_field": "field", "model": "tokenizer",
    }  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> "Params":
        given = [name for name in ("tokens", "words", "characters") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of tokens, words, characters, not {', '.join(given) or 'none'}"
            )
        if self.stride >= self.window:
            raise ValueError(
                f"stride is what neighbours share: {self.stride} must be less than {given[0]}: {self.window}"
            )
        if self.min > self.window:
            raise ValueError(f"min: {self.min} is more than {given[0]}: {self.window}")
        if self.tokenizer is not None and self.tokens is None:
            raise ValueError(f"tokenizer goes with tokens, not with {given[0]}")
        return self

    @property
    def window(self) -> int:
        return self.tokens or self.words or self.characters or 0


class Chunk(Transform):
    """Every window keeps the item's other fields, and is cut out as it stands: no text is lost or changed."""

    Params = Params
    revision = 2

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return ("regex",) if params.tokenizer is None else ("regex", "tokenizers")

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(item.fields)  # all of them: they come out again

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        name = text_field(item, self.params.field)
        text = item[name]
        if not text:
            return [dict(item.fields)]
        params: Any = self.params
        pieces = cut.windows(text, self._units()(text), params.window, params.stride, params.min)
        return [{**item.fields, name: piece} for piece in pieces]

    def _units(self) -> cut.Units:
        if self.params.tokens is None:
            return cut.words if self.params.words else cut.characters
        return cut.tokens_of(self.inputs["tokenizer"]) if self.params.tokenizer else cut.tokens
