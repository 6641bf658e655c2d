"""Runs of words that a text shares with a set of texts: found by hash, verified word by word."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct

if TYPE_CHECKING:
    import numpy as np

_PUNCTUATION = re.compile(r"[^\w\s]+|_+")
_TOKEN = re.compile(r"\S+")
_BASE = 0x9E3779B97F4A7C15  # odd, so that no power of it is 0 modulo 2**64


class Overlap(Struct, frozen=True):
    words: int  # of the text
    covered: int  # of them, in a shared run
    start: int  # of the longest stretch of shared runs, in words
    end: int
    text: int  # number of the first text that the stretch's beginning stands in


class _Table(Struct, frozen=True):
    """Runs of one length: sorted hashes, and for each the first text and position with it."""

    hashes: "np.ndarray[Any, Any]"
    texts: "np.ndarray[Any, Any]"
    places: "np.ndarray[Any, Any]"


class WordRuns:
    """All runs of `size` words of some texts; of a shorter text, down to `shortest` words, the whole."""

    def __init__(self, texts: Iterable[str], size: int, shortest: int) -> None:
        self._texts = [grams(text) for text in texts]
        self._numbers: dict[str, int] = {}  # of each word in the texts, from 1
        for word in chain.from_iterable(self._texts):
            self._numbers.setdefault(word, len(self._numbers) + 1)
        lengths = {min(size, len(words)) for words in self._texts if len(words) >= min(size, shortest)}
        self._tables = {length: self._table(length, size) for length in sorted(lengths)}

    def overlap(self, words: Sequence[str]) -> Overlap | None:
        """What of a text's grams stands in the texts; None where nothing does."""
        # where a shared run begins -> where it ends, and in which text it stands
        hits: dict[int, tuple[int, int]] = {}
        numbers = self._numbers_of(words)
        for length in self._tables:
            for position, text in self._hits(words, numbers, length):
                hits[position] = (position + length, text)  # the longest counts, and lengths ascend
        if not hits:
            return None
        stretches = list(_stretches(hits))
        start, end, text = max(stretches, key=lambda s: (s[1] - s[0], -s[0]))
        return Overlap(len(words), sum(e - s for s, e, _ in stretches), start, end, text)

    def _table(self, length: int, size: int) -> "_Table":
        import numpy as np

        chosen = [
            (number, _run_hashes(self._numbers_of(words), length))
            for number, words in enumerate(self._texts)
            if len(words) == length or (length == size and len(words) > size)
        ]
        hashes, first = np.unique(np.concatenate([found for _, found in chosen]), return_index=True)
        numbers = np.concatenate([np.full(len(found), number, np.int32) for number, found in chosen])
        places = np.concatenate([np.arange(len(found), dtype=np.int32) for _, found in chosen])
        return _Table(hashes, numbers[first], places[first])

    def _numbers_of(self, words: Sequence[str]) -> "np.ndarray[Any, Any]":
        """Of every word, 0 for those that the texts don't have."""
        import numpy as np

        return np.fromiter(map(self._numbers.get, words, repeat(0)), np.uint64, len(words))

    def _hits(
        self, words: Sequence[str], numbers: "np.ndarray[Any, Any]", length: int
    ) -> Iterator[tuple[int, int]]:
        import numpy as np

        if np.count_nonzero(numbers) < length:
            return
        table, hashes = self._tables[length], _run_hashes(numbers, length)
        found = np.minimum(np.searchsorted(table.hashes, hashes), len(table.hashes) - 1)
        for position in np.flatnonzero(table.hashes[found] == hashes).tolist():
            text, place = int(table.texts[found[position]]), int(table.places[found[position]])
            if self._texts[text][place : place + length] == list(words[position : position + length]):
                yield position, text


def grams(text: str) -> list[str]:
    """Lower-case words that white space separates, without punctuation.

    Source: Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C.
    """
    words = unicodedata.normalize("NFC", text).lower().split()
    bare = (word if word.isalnum() else _PUNCTUATION.sub("", word) for word in words)
    return [word for word in bare if word]


def stretch_of(text: str, start: int, end: int) -> str:
    """The text from its gram `start` up to gram `end`, as it was written."""
    text = unicodedata.normalize("NFC", text)
    spans = [m.span() for m in _TOKEN.finditer(text) if _PUNCTUATION.sub("", m[0].lower())]
    return text[spans[start][0] : spans[end - 1][1]]


def _stretches(hits: dict[int, tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Shared runs that overlap or touch, joined: start, end, text."""
    open_start, open_end, open_text = -1, -1, -1
    for position, (end, text) in sorted(hits.items()):
        if position > open_end:
            if open_end > 0:
                yield open_start, open_end, open_text
            open_start, open_text = position, text
        open_end = max(open_end, end)
    yield open_start, open_end, open_text


def _run_hashes(numbers: "np.ndarray[Any, Any]", length: int) -> "np.ndarray[Any, Any]":
    """Of every run of `length` words, by position; all arithmetic is modulo 2**64."""
    import numpy as np

    mixed = numbers * np.uint64(_BASE)
    mixed ^= mixed >> np.uint64(29)  # so that neighbouring numbers have nothing in common
    count = len(numbers) - length + 1
    sums = np.zeros(count, np.uint64)
    for place in range(length):
        sums = sums * np.uint64(_BASE) + mixed[place : place + count]
    return sums
