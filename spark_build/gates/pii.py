"""Finds personal data, and redacts it, or drops or flags the item."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from spark_build.contract import Decides, GateParams, InputPath, Item, ItemGate, Verdict
from spark_build.core.errors import BadInput
from spark_build.gates._text import is_chat, text_and_chat_fields
from spark_build.modalities.text.pii_patterns import find_pii
from spark_build.modalities.text.spans import Span, replaced, without_overlaps

Kind = Literal["email", "phone", "ssn", "credit_card", "ip", "iban", "person", "location", "organization"]
NAMED_BY_A_MODEL = ("person", "location", "organization")
Found = dict[
    str, list[list[Any]]
]  # field -> [start, end, kind], for chat messages [start, end, kind, message]


class Params(GateParams):
    """Personal data in text and in chat messages."""

    synonyms: ClassVar[Mapping[str, str]] = {"entities": "kinds", "mode": "action", "mask": "replacement"}

    action: Decides[Literal["redact", "drop", "flag", "fail"]] = Field(  # type: ignore[assignment]  # one more
        "redact",
        description="redact: `replacement` is written over what was found; drop: the item is rejected; flag: it "
        "stays, and its meta tells what was found; fail: the build stops and names the first ones.",
    )
    kinds: Decides[list[Kind] | None] = Field(
        None, description="What counts; by default all that the engine finds."
    )
    replacement: Decides[str] = Field(
        "<{KIND}>", description="What a redaction writes; {KIND} and {kind} stand for the kind, in that case."
    )
    engine: Literal["patterns", "presidio"] = Field(
        "patterns",
        description="patterns: built in, quick; presidio: Microsoft Presidio, which never goes online.",
    )
    model: InputPath | None = Field(
        None,
        description="presidio: folder of a spaCy pipeline that finds names; without one only patterns count.",
    )
    language: str = Field("en", description="presidio: language of the text (of the blank spaCy pipeline).")
    score: float = Field(
        0.35, ge=0, le=1, description="presidio: findings that it scores below this are left out."
    )
    fields: list[str] | None = Field(
        None, description="Fields that are looked at; by default all text and chat messages."
    )

    @field_validator("action", mode="before")
    @classmethod
    def _renamed(cls, action: Any) -> Any:
        if action == "detect":
            raise ValueError("'detect' is called 'flag' now")
        return action

    @model_validator(mode="after")
    def _engine_can_do_it(self) -> "Params":
        if self.engine == "patterns" and self.model is not None:
            raise ValueError("'model' is for engine: presidio")
        names = [kind for kind in self.kinds or () if kind in NAMED_BY_A_MODEL]
        if names and self.model is None:
            raise ValueError(f"'{names[0]}' is found by engine: presidio with a model alone")
        return self


class Pii(ItemGate):
    """What is personal, as character offsets; which kinds count and what becomes of them comes later."""

    Params = Params
    revision = 2

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return (
            ("presidio_analyzer", "phonenumbers", "tldextract", "spacy")
            if params.engine == "presidio"
            else ()
        )

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or text_and_chat_fields(item))

    def measure(self, item: Item) -> Found:
        found = {name: self._in_field(item, name) for name in self.fields_read(item)}
        return {name: spans for name, spans in found.items() if spans}

    def decide(self, found: Found, params: Any) -> Verdict:
        """Counts and reason; the text of a redaction is written by `decide_item`."""
        counted = {field: _counted(spans, params.kinds) for field, spans in found.items()}
        kinds = [span[2] for spans in counted.values() for span in spans]
        counts = dict(sorted(Counter(kinds).items()))
        if not kinds:
            return Verdict.keep()
        if params.action == "redact":
            return Verdict.replace({}, f"pii:{kinds[0]}", counts=counts)
        return Verdict.drop(f"pii:{kinds[0]}", counts=counts)

    def decide_item(self, item: Item, found: Found, params: Any) -> Verdict:
        verdict = self.decide(found, params)
        if verdict.action != "replace":
            return verdict
        fields = {name: _redacted(item[name], spans, params) for name, spans in found.items()}
        changed = {name: value for name, value in fields.items() if value != item[name]}
        return Verdict.replace(changed, verdict.reason, counts=verdict.counts)

    def _in_field(self, item: Item, name: str) -> list[list[Any]]:
        if name not in item.fields:
            fix = f"it has {', '.join(item.fields)}"
            raise BadInput(f"the gate pii reads the field '{name}', which the dataset does not have", fix=fix)
        value = item[name]
        if value is None:
            return []
        if isinstance(value, str):
            return [list(span) for span in self._find(value)]
        if not is_chat(value):
            raise BadInput(
                f"the gate pii can't read the field '{name}'", fix="name text or messages under 'fields:'"
            )
        return [
            [*span, n] for n, message in enumerate(value) for span in self._find(message["content"] or "")
        ]

    def _find(self, text: str) -> Sequence[Span]:
        if self.params.engine == "patterns":
            return find_pii(text)
        from spark_build.gates._presidio import find_with_presidio

        model = self.inputs.get("model")
        return find_with_presidio(
            text, self.params.language, str(model) if model else None, self.params.score
        )


def _counted(spans: Sequence[Sequence[Any]], kinds: Sequence[str] | None) -> list[list[Any]]:
    """Spans of the kinds that count; where two overlap the longer one."""
    numbers = sorted({span[3] if len(span) > 3 else -1 for span in spans})
    return [
        [*span, number] for number in numbers for span in without_overlaps(_of_message(spans, number, kinds))
    ]


def _of_message(spans: Sequence[Sequence[Any]], number: int, kinds: Sequence[str] | None) -> list[Span]:
    own = (span for span in spans if (span[3] if len(span) > 3 else -1) == number)
    return [(s[0], s[1], s[2]) for s in own if kinds is None or s[2] in kinds]


def _redacted(value: Any, spans: Sequence[Sequence[Any]], params: Any) -> Any:
    def replacement(kind: str) -> str:
        return str(params.replacement).replace("{KIND}", kind.upper()).replace("{kind}", kind)

    def rewritten(text: str, number: int) -> str:
        return replaced(text, without_overlaps(_of_message(spans, number, params.kinds)), replacement)

    if isinstance(value, str):
        return rewritten(value, -1)
    return [{**m, "content": m["content"] and rewritten(m["content"], n)} for n, m in enumerate(value)]
