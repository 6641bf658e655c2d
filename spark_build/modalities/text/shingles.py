"""Shingles: the overlapping pieces of a text that near-duplicate detection compares."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

Unit = Literal["words", "characters"]


@lru_cache(maxsize=64)  # a join asks for the same kept item again and again; large texts forbid more
def shingles_of(text: str, size: int, unit: Unit) -> frozenset[str]:
    """The set of runs of `size` words (or characters) of the normalised text; never empty.

    A text shorter than one shingle is a single shingle of its own, so it equals nothing but itself.
    """
    if unit == "characters":
        line = " ".join(normalised_words(text))
        return frozenset(line[i : i + size] for i in range(max(1, len(line) - size + 1)))
    return frozenset(_runs(normalised_words(text), size))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared shingles over all shingles, exactly; both sets hold at least one."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def normalised_words(text: str) -> list[str]:
    """The text's words with case, white space and the spelling of accents (NFC) made equal."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # a lone surrogate can't be hashed
        text = unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFC", text.casefold()).split()


def _runs(words: list[str], size: int) -> Iterator[str]:
    if len(words) <= size:
        return iter([" ".join(words)])
    return map(" ".join, zip(*(words[start:] for start in range(size)), strict=False))
