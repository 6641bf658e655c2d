"""Items: what a dataset is made of, and what may be said about one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.values import Struct, field, replace

FIELD_TYPES = ("text", "image", "audio", "video", "messages", "label", "number", "json")

FLAGS = "flagged_by"  # in an item's meta: what gates with `action: flag` found of it

# text, label: str · number: float · messages: [{'role', 'content'}] · json: anything JSON
# image, audio, video: a rule sees a `Media`; the runner keeps a reference (contract/media.py)
Value = Any


class Item(Struct, frozen=True):
    id: str
    source: str  # the file it came from, relative to the source
    split: str
    fields: Mapping[str, Value]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Value:
        return self.fields[name]

    def with_fields(self, changed: Mapping[str, Value]) -> "Item":
        return replace(self, fields={**self.fields, **changed})


class SourceFile(Struct, frozen=True):
    path: str  # relative to the source's folder, '/' between components
    location: Path  # where to read it now
    size: int  # bytes
    digest: Digest


class Raw(Struct, frozen=True):
    """One record as a reader found it."""

    fields: Mapping[str, Value]
    key: str  # what splits go by: the file for a document, the content's digest for a row
    id: str | None = None
    split: str | None = None  # of the source itself, where it has some
    meta: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None  # what it comes from, where that is not the file that was read: 'a.zip/b.md'


class Bad(Struct, frozen=True):
    """A record (or file) that could not be read."""

    reason: str  # a short slug that is counted: 'not_json', 'empty', 'binary', 'encoding' …
    detail: str = ""  # where and what: 'line 7: Expecting value'
    source: str | None = None  # as of a Raw


class Verdict(Struct, frozen=True):
    """What a gate says about an item."""

    action: str  # 'keep' | 'drop' | 'replace'
    reason: str = ""
    score: float | None = None
    threshold: float | None = None
    matched: str | None = None  # id of the item that it resembles
    fields: Mapping[str, Value] | None = None  # for 'replace': the fields that change
    counts: Mapping[str, int] = field(default_factory=dict)  # summed up per gate: {'email': 2}
    detail: str = ""  # evidence that a reader can judge: the words that were found

    @classmethod
    def keep(cls, *, score: float | None = None, counts: Mapping[str, int] | None = None) -> "Verdict":
        return cls("keep", score=score, counts=counts or {})

    @classmethod
    def drop(
        cls,
        reason: str,
        *,
        score: float | None = None,
        threshold: float | None = None,
        matched: str | None = None,
        counts: Mapping[str, int] | None = None,
        detail: str = "",
    ) -> "Verdict":
        return cls("drop", reason, score, threshold, matched, counts=counts or {}, detail=detail)

    @classmethod
    def replace(
        cls, fields: Mapping[str, Value], reason: str = "", *, counts: Mapping[str, int] | None = None
    ) -> "Verdict":
        return cls("replace", reason, fields=fields, counts=counts or {})


def flags_in(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each finding with `gate` and `reason`, and score, threshold, matched and detail where there are some."""
    told = meta.get(FLAGS)
    found = told if isinstance(told, list) else []
    return [one for one in found if isinstance(one, dict) and {"gate", "reason"} <= one.keys()]
