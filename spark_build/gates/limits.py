"""Drops items that are too small or too large."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from spark_build.contract import Decides, GateParams, Item, ItemGate, Verdict
from spark_build.gates._text import joined_text, text_and_chat_fields


def _least(what: str) -> Any:
    return Field(None, ge=0, description=f"Fewest {what} that an item may have.")


def _most(what: str) -> Any:
    return Field(None, ge=0, description=f"Most {what} that an item may have.")


class Params(GateParams):
    """Bounds, themselves allowed; each is `min_` or `max_` and the name of a figure that `measure` gives."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "min_length": "min_characters", "max_length": "max_characters", "min_chars": "min_characters",
        "max_chars": "max_characters", "min_len": "min_characters", "max_len": "max_characters",
        "min_num_words": "min_words", "max_num_words": "max_words", "min_size": "min_bytes",
        "max_size": "max_bytes",
    }  # fmt: skip

    fields: list[str] | None = Field(
        None, description="Fields that are measured as one text; by default all text and chat messages."
    )
    min_characters: Decides[int | None] = _least("characters")
    max_characters: Decides[int | None] = _most("characters")
    min_words: Decides[int | None] = _least("words (what white space separates)")
    max_words: Decides[int | None] = _most("words (what white space separates)")
    min_lines: Decides[int | None] = _least("lines with anything but white space")
    max_lines: Decides[int | None] = _most("lines with anything but white space")
    min_bytes: Decides[int | None] = _least("bytes, as UTF-8")
    max_bytes: Decides[int | None] = _most("bytes, as UTF-8")

    @model_validator(mode="after")
    def _leave_something(self) -> "Params":
        for figure in dict.fromkeys(name[4:] for name in self.bounds()):
            least, most = getattr(self, f"min_{figure}"), getattr(self, f"max_{figure}")
            if least is not None and most is not None and least > most:
                raise ValueError(
                    f"min_{figure}: {least} is more than max_{figure}: {most}; nothing would pass"
                )
        return self

    @classmethod
    def bounds(cls) -> list[str]:
        """Names of the params that are bounds, in the order in which they are asked."""
        return [name for name in cls.model_fields if name[:4] in ("min_", "max_")]


class Limits(ItemGate):
    """The first bound that an item breaks is the reason."""

    Params = Params

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or text_and_chat_fields(item))

    def measure(self, item: Item) -> dict[str, float]:
        text = joined_text(item, self.fields_read(item))
        return {
            "characters": len(text),
            "words": len(text.split()),
            "lines": sum(bool(line.strip()) for line in text.splitlines()),
            "bytes": len(text.encode("utf-8", "replace")),
        }

    def decide(self, found: dict[str, float], params: Any) -> Verdict:
        for name in params.bounds():
            value, bound = found.get(name[4:]), getattr(params, name)
            if value is None or bound is None:
                continue  # a figure that this item does not have breaks nothing
            if value < bound if name.startswith("min_") else value > bound:
                side = "below" if name.startswith("min_") else "above"
                return Verdict.drop(f"{side}_{name}", score=float(value), threshold=float(bound))
        return Verdict.keep()
