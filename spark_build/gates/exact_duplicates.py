"""Drops items that are the same as one that is kept."""

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from spark_build.contract import GateParams, Item, JoinGate, Media
from spark_build.core.digest import digest_bytes


class Params(GateParams):
    """What has to be equal."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "columns": "fields", "keys": "fields", "normalize": "ignore", "normalise": "ignore",
    }  # fmt: skip

    fields: list[str] | None = Field(
        None, description="Fields that have to be equal; by default all that the item has."
    )
    ignore: list[Literal["case", "whitespace", "unicode"]] = Field(
        [],
        description="Differences of text that don't count: case; whitespace: how much of it, and which; unicode: "
        "spellings of one character (NFKC: composed or not, full width, ligatures). By default every byte counts.",
    )


class ExactDuplicates(JoinGate):
    """A join on digests: of equal items the smallest by digest, source and id stays, in whatever order they came."""

    Params = Params
    reason = "duplicate"
    verifies = False

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or sorted(item.fields))

    def signature(self, item: Item) -> bytes:
        """The digest of what counts."""
        ignored = frozenset(self.params.ignore)
        compared = [[name, _plain(item.fields.get(name), ignored)] for name in self.fields_read(item)]
        return bytes.fromhex(digest_bytes(json.dumps(compared, sort_keys=True).encode()))

    def candidates(
        self,
        signatures: Sequence[bytes],
        params: Any,
        is_kept: Callable[[int], bool] = lambda position: True,
    ) -> Iterable[tuple[int, int]]:
        """Each with the first one like it, which nothing before it can have dropped."""
        first: dict[bytes, int] = {}
        for position, signature in enumerate(signatures):
            if (smallest := first.setdefault(signature, position)) != position:
                yield smallest, position

    def similarity(self, first: Item, second: Item) -> float:
        return float(self.signature(first) == self.signature(second))

    def is_similar(self, similarity: float, params: Any) -> bool:
        return similarity == 1.0


def _plain(value: Any, ignored: frozenset[str]) -> Any:
    """The value with every text in it brought to one spelling, media as their content; names of keys stay."""
    if isinstance(value, Media):
        return value.digest
    if isinstance(value, str):
        return _plain_text(value, ignored)
    if isinstance(value, list):
        return [_plain(inner, ignored) for inner in value]
    if isinstance(value, dict):
        return {name: _plain(inner, ignored) for name, inner in value.items()}
    return value


def _plain_text(text: str, ignored: frozenset[str]) -> str:
    if "unicode" in ignored:
        text = unicodedata.normalize("NFKC", text)
    if "case" in ignored:
        text = text.casefold()
        if "unicode" in ignored:
            text = unicodedata.normalize("NFKC", text)  # folding takes some characters apart
    return " ".join(text.split()) if "whitespace" in ignored else text
