"""Drops items that are in another language."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from spark_build.contract import Decides, GateParams, Item, ItemGate, Verdict
from spark_build.gates._text import joined_text, text_and_chat_fields
from spark_build.modalities.text.languages import CODES, Code, language_of

_READ_FOR_A_CHARACTER = 4  # of the text, so that a head full of white space leaves something


class Params(GateParams):
    """The languages that stay, as ISO 639-1 codes."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "keep": "languages", "language": "languages", "lang": "languages", "threshold": "min_confidence",
        "language_threshold": "min_confidence", "candidates": "among", "max_length": "prefix",
    }  # fmt: skip

    languages: Decides[list[Code]] = Field(min_length=1, description="Languages that stay: [en, de].")
    min_confidence: Decides[float] = Field(
        0.0, ge=0, le=1, description="How sure the language has to be, compared with all that are told apart."
    )
    among: list[Code] | None = Field(
        None,
        min_length=2,
        description="Languages that are told apart, by default all 75. Fewer are quicker and surer, but a text in "
        "a language that is not among them is taken for one of them.",
    )
    prefix: int = Field(
        200, ge=20, le=100_000, description="How many characters are looked at, white space counted once."
    )
    accurate: bool = Field(
        False,
        description="Surer of texts below 120 characters, for which all models are loaded: 1 GB of memory where "
        "75 languages are told apart.",
    )
    fields: list[str] | None = Field(
        None, description="Fields that are looked at as one text; by default all text and chat messages."
    )

    @model_validator(mode="after")
    def _can_be_found(self) -> "Params":
        if self.among is not None and (lost := sorted(set(self.languages) - set(self.among))):
            raise ValueError(
                f"'{lost[0]}' of 'languages' is not in 'among', so nothing could be found to be it"
            )
        return self


class Language(ItemGate):
    """The likeliest language of the text's beginning is remembered; whether it stays is decided later."""

    Params = Params
    libraries = ("lingua_language_detector",)

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or text_and_chat_fields(item))

    def measure(self, item: Item) -> list[Any]:
        """Its code, null where there are no letters to tell it by, and the confidence."""
        text = joined_text(item, self.fields_read(item))[: self.params.prefix * _READ_FOR_A_CHARACTER]
        head = " ".join(text.split())[: self.params.prefix]
        among = sorted(self.params.among or CODES)
        code, confidence = language_of(
            head.encode("utf-8", "replace").decode(), among, is_accurate=self.params.accurate
        )
        return [code, confidence]

    def decide(self, found: list[Any], params: Any) -> Verdict:
        code, confidence = found
        if code not in params.languages:
            return Verdict.drop(f"language:{code or 'unknown'}", score=confidence)
        if confidence < params.min_confidence:
            return Verdict.drop("language:unsure", score=confidence, threshold=params.min_confidence)
        return Verdict.keep(score=confidence, counts={code: 1})
