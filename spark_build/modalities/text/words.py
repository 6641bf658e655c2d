"""The words of many texts at once, as arrays: what white space separates, each known by a hash.

A Python object per word is what figures of words cost most; here a word is four numbers.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WINDOW_CHARACTERS = 1 << 18  # looked at in one go: arrays of eight bytes a character
_SPACE = re.compile(r"\s")
_BASE = 0x9E3779B97F4A7C15  # odd; of the polynomial that a word's hash is
_MIXERS = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)  # MurmurHash3's finaliser
_PLANE = 1 << 16  # code points; no white space lies beyond
_SOME_CHARACTERS = 1 << 14


class Words(Struct, frozen=True):
    """Words of all texts, one after the other. Equal words have equal hashes; others have not, but by crafted words
    of a thousand characters."""

    hashes: "Array"  # uint64
    lengths: "Array"  # int64, characters
    with_letter: "Array"  # bool
    firsts: "Array"  # int64, one more than there are texts: where each text's words begin

    @property
    def counts(self) -> "Array":
        """By text."""
        import numpy as np

        return np.diff(self.firsts)

    @property
    def texts(self) -> "Array":
        """The number of each word's text."""
        import numpy as np

        return np.repeat(np.arange(len(self.firsts) - 1), self.counts)


def words_of(texts: Sequence[str]) -> Words:
    import numpy as np

    joined = "\n".join(["", *texts, ""])
    starts, parts = [], []
    for begin, end in _windows(joined):
        found, *part = _words_in(joined[begin:end])
        starts.append(found + begin)
        parts.append(part)
    hashes, lengths, with_letter = map(np.concatenate, zip(*parts, strict=True))
    ends = np.cumsum(
        [0, *(len(text) + 1 for text in texts)]
    )  # where texts begin, and where the last one ends
    return Words(hashes, lengths, with_letter, np.searchsorted(np.concatenate(starts), ends + 1))


def mixed(hashes: "Array") -> "Array":
    """Numbers (uint64) whose every bit depends on all bits of what they were; different ones stay different."""
    import numpy as np

    for mixer in _MIXERS:
        hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(mixer)
    done: Array = hashes ^ (hashes >> np.uint64(33))
    return done


def runs_of(hashes: "Array", size: int) -> "Array":
    """One hash (uint64) for each run of `size` hashes; the last `size - 1` places begin none."""
    import numpy as np

    runs = np.zeros(max(0, len(hashes) - size + 1), np.uint64)
    for place in range(size):
        runs = mixed(runs + hashes[place : place + len(runs)])
    return runs


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Parts that no word crosses."""
    begin = 0
    while begin < len(text):
        space = _SPACE.search(text, begin + _WINDOW_CHARACTERS)
        end = space.start() if space else len(text)
        yield begin, end
        begin = end


def _words_in(text: str) -> tuple["Array", "Array", "Array", "Array"]:
    """Starts, hashes, lengths, and which hold a letter."""
    import numpy as np

    characters = _characters(text)
    inside = np.zeros(len(characters) + 2, bool)
    inside[1:-1] = ~_are(str.isspace, characters)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[0::2], edges[1::2]
    letters = _sums(_are(str.isalpha, characters), np.int32)
    powers, inverses = _powers(len(characters))
    sums = _sums(_mixed_characters(characters) * powers[: len(characters)], np.uint64)
    hashes = (sums[ends] - sums[starts]) * inverses[starts]  # as if each word began where the powers do
    lengths = ends - starts
    return starts, mixed(hashes + lengths.astype(np.uint64)), lengths, letters[ends] > letters[starts]


def _sums(values: "Array", kind: Any) -> "Array":
    """Of all values ahead of each place, modulo what the type holds."""
    import numpy as np

    sums = np.zeros(len(values) + 1, kind)
    np.cumsum(values, out=sums[1:])
    return sums


def _characters(text: str) -> "Array":
    """Code points: uint8 where all are ASCII, else uint32."""
    import numpy as np

    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _are(kind: Callable[[str], bool], characters: "Array") -> "Array":
    import numpy as np

    if characters.dtype == np.uint8:
        are: Array = _table(kind, 128)[characters]
        return are
    are = _table(kind, _PLANE)[np.minimum(characters, _PLANE - 1)]
    beyond = characters >= _PLANE
    if beyond.any():
        are[beyond] = [kind(chr(code)) for code in characters[beyond].tolist()]
    return are


@lru_cache
def _table(kind: Callable[[str], bool], size: int) -> "Array":
    import numpy as np

    return np.fromiter(map(kind, map(chr, range(size))), bool, size)


def _mixed_characters(characters: "Array") -> "Array":
    import numpy as np

    if characters.dtype == np.uint8:
        mixed_ones: Array = _ascii_mixed()[characters]
        return mixed_ones
    return mixed(characters.astype(np.uint64) + np.uint64(1))


@lru_cache
def _ascii_mixed() -> "Array":
    import numpy as np

    return mixed(np.arange(1, 129, dtype=np.uint64))


def _powers(count: int) -> tuple["Array", "Array"]:
    """At least so many powers of the base, and of its inverse modulo 2^64."""
    if count > 2 * _WINDOW_CHARACTERS:
        return _made_powers(count)  # for a word of this length, and gone with it
    return _kept_powers(_SOME_CHARACTERS if count <= _SOME_CHARACTERS else 2 * _WINDOW_CHARACTERS)


def _made_powers(count: int) -> tuple["Array", "Array"]:
    import numpy as np

    one, inverse = (
        np.multiply.accumulate(np.full(count, base, np.uint64)) for base in (_BASE, pow(_BASE, -1, 1 << 64))
    )
    return one, inverse


_kept_powers = lru_cache(maxsize=2)(_made_powers)
