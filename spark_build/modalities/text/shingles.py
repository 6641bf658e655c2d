"""Shingles: the overlapping pieces of a text that near-duplicate detection compares."""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from spark_build.modalities.text.words import character_hashes, ranges_mixed, words_of

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Unit = Literal["words", "characters"]
_SETS_AT_ONCE = 64  # six bits say which; 58 bits of a hash tell those of one set apart


@lru_cache(maxsize=64)  # a join asks for the same kept item again and again; large texts forbid more
def shingles_of(text: str, size: int, unit: Unit) -> frozenset[str]:
    """The set of runs of `size` words (or characters) of the normalised text; never empty.

    A text shorter than one shingle is a single shingle of its own, so it equals nothing but itself.
    """
    if unit == "characters":
        line = " ".join(normalised_words(text))
        return frozenset(line[i : i + size] for i in range(max(1, len(line) - size + 1)))
    return frozenset(_runs(normalised_words(text), size))


def shingle_hashes(texts: Sequence[str], size: int, unit: Unit) -> "tuple[Array, Array]":
    """A hash (uint64) of each shingle of each text, some more than once, and where each text's begin (and the last
    one's end): as `shingles_of`, a tenth as dear for many texts at once."""
    import numpy as np

    normal = [normalised(text) for text in texts]
    units, firsts = _word_hashes(normal) if unit == "words" else _character_hashes(normal)
    counts = np.maximum(1, np.diff(firsts) - size + 1)
    first_shingles = np.append(0, np.cumsum(counts))
    starts = np.arange(first_shingles[-1]) + np.repeat(firsts[:-1] - first_shingles[:-1], counts)
    ends = np.minimum(starts + size, np.repeat(firsts[1:], counts))
    return ranges_mixed(units, starts, ends), first_shingles


def _word_hashes(texts: Sequence[str]) -> "tuple[Array, Array]":
    words = words_of(texts)
    return words.hashes, words.firsts


def _character_hashes(texts: Sequence[str]) -> "tuple[Array, Array]":
    import numpy as np

    lines = [" ".join(text.split()) for text in texts]
    firsts = np.append(0, np.cumsum([len(line) for line in lines]))
    return character_hashes("".join(lines)), firsts


def distinct_counts(hashes: "Array", firsts: "Array") -> list[int]:
    """How many different ones there are from each of `firsts` to the next."""
    import numpy as np

    counts: list[int] = []
    for begin in range(0, len(firsts) - 1, _SETS_AT_ONCE):
        own = firsts[begin : begin + _SETS_AT_ONCE + 1]
        sets = np.repeat(np.arange(len(own) - 1, dtype=np.uint64), np.diff(own))
        keys = np.sort((sets << np.uint64(58)) | (hashes[own[0] : own[-1]] >> np.uint64(6)))
        is_first = np.append(True, keys[1:] != keys[:-1])
        counts += np.bincount(
            (keys[is_first] >> np.uint64(58)).astype(np.int64), minlength=len(own) - 1
        ).tolist()
    return counts


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared shingles over all shingles, exactly; both sets hold at least one."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def normalised_words(text: str) -> list[str]:
    """The text's words with case, white space and the spelling of accents (NFC) made equal."""
    return normalised(text).split()


def normalised(text: str) -> str:
    """With case and the spelling of accents (NFC) made equal."""
    if text.isascii():
        return text.lower()
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate can't be hashed
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _runs(words: list[str], size: int) -> Iterator[str]:
    if len(words) <= size:
        return iter([" ".join(words)])
    return map(" ".join, zip(*(words[start:] for start in range(size)), strict=False))
