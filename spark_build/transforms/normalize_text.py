"""Writes text one way: Unicode form, white space, line ends, control characters."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from spark_build.contract import Item, RuleParams, Transform
from spark_build.contract.params import Field
from spark_build.modalities.text import spelling
from spark_build.modalities.text.whitespace import normalize
from spark_build.transforms._text import check_there, there


class Params(RuleParams):
    """What is brought to one form; quotes and dashes only where that is asked."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "unicode_form": "unicode", "form": "unicode", "columns": "fields", "field": "fields", "newlines": "line_ends",
        "strip_control": "control_characters",
    }  # fmt: skip

    fields: list[str] | None = Field(
        None, description="Fields that are written anew; by default all text and chat messages."
    )
    unicode: Literal["NFC", "NFKC", "NFD", "NFKD"] | None = Field(
        "NFC", description="Unicode's normalization form; NFKC also takes ligatures and full width apart."
    )
    line_ends: bool = Field(True, description="Every kind of line end becomes LF.")
    control_characters: bool = Field(
        True, description="Control characters, soft hyphens, zero width spaces and byte order marks go."
    )
    whitespace: Literal["keep", "trim", "collapse"] = Field(
        "trim",
        description="trim: none at ends of lines and of the text, one empty line at most; collapse: every run of "
        "it is one space; keep: as it is.",
    )
    quotes: bool = Field(False, description="Typographic quotes become \" and '.")
    dashes: bool = Field(False, description="Dashes, hyphens of all kinds and the minus sign become -.")


class NormalizeText(Transform):
    """A second time changes nothing."""

    Params = Params

    def fields_read(self, item: Item) -> tuple[str, ...]:
        if self.params.fields:
            return there(item, self.params.fields)
        return tuple(
            sorted(name for name, value in item.fields.items() if isinstance(value, str) or _is_chat(value))
        )

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        check_there(item, self.params.fields or ())
        return [{name: self._written(item[name]) for name in self.fields_read(item)}]

    def _written(self, value: Any) -> Any:
        """Text and chat messages; what is neither stays."""
        if isinstance(value, str):
            return self._text(value)
        if _is_chat(value):
            return [{**message, "content": self._text(message["content"])} for message in value]
        return value

    def _text(self, text: str) -> str:
        params = self.params
        if params.line_ends:
            text = spelling.one_kind_of_line_end(text)
        if params.control_characters:
            text = spelling.without_invisible(text)
        if params.unicode is not None:
            text = unicodedata.normalize(params.unicode, text)
        if params.quotes:
            text = spelling.plain_quotes(text)
        if params.dashes:
            text = spelling.plain_dashes(text)
        if params.whitespace == "trim":
            return normalize(text)
        return " ".join(text.split()) if params.whitespace == "collapse" else text


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in value)
    )
