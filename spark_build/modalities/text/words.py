"""The words of many texts at once, as arrays: what white space separates, each known by a hash.

A Python object per word is what figures of words cost most; here a word is a few numbers.
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
_WORD_END = re.compile(r"(?<=\S)\s")
_BASE = 0x9E3779B97F4A7C15  # odd; of the polynomial that a word's hash is
_MIXERS = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)  # MurmurHash3's finaliser
# code points that a table is made for, as far as a text needs it: ASCII, what lies below Asia's, a plane; filling in
# the last takes as long as some hundred texts, and no white space lies beyond
_REACHES = (1 << 7, 0x3100, 1 << 16)
_SOME_CHARACTERS = 1 << 14


class Words(Struct, frozen=True):
    """Words of all texts, one after the other. Equal words have equal hashes; others have not, but by crafted words
    of a thousand characters."""

    hashes: "Array"  # uint64
    starts: "Array"  # int64, characters into the texts, which follow one another with one character between
    lengths: "Array"  # int64, characters
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


class Window(Struct, frozen=True):
    """Some of the texts' characters; neither a word nor the white space before it lies in two of them."""

    codes: "Array"  # int64, code points
    reach: int  # code points below which all are, or nearly all
    starts: "Array"  # int64, of words, into these characters
    ends: "Array"

    def are(self, kind: Callable[[str], bool], codes: "Array") -> "Array":
        """Whether each of these characters of the window is of a kind, such as `str.isalpha`."""
        return _are(kind, codes, self.reach)


Look = Callable[[Window], "Array"]  # one number for each word


def words_of(texts: Sequence[str]) -> Words:
    return words_seen(texts)[0]


def words_seen(texts: Sequence[str], *looks: Look) -> tuple[Words, list["Array"]]:
    """The words, and what each look says of them."""
    import numpy as np

    joined = "\n".join(["", *texts, ""])
    parts = []
    for begin, end in _windows(joined):
        window = _window(joined[begin:end])
        found = (look(window) for look in looks)
        parts.append((_hashes(window), window.starts + begin, window.ends - window.starts, *found))
    hashes, starts, lengths, *seen = map(np.concatenate, zip(*parts, strict=True))
    ends = np.cumsum([0, *(len(text) + 1 for text in texts)])  # where texts begin, and the last one ends
    return Words(hashes, starts, lengths, np.searchsorted(starts, ends + 1)), seen


def mixed(hashes: "Array") -> "Array":
    """Numbers (uint64) whose every bit depends on all bits of what they were; different ones stay different."""
    import numpy as np

    for mixer in _MIXERS:
        hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(mixer)
    done: Array = hashes ^ (hashes >> np.uint64(33))
    return done


def ranges_mixed(hashes: "Array", starts: "Array", ends: "Array") -> "Array":
    """One hash (uint64) for each range of hashes: it hangs on these alone, wherever they stand."""
    import numpy as np

    powers, inverses = _powers(len(hashes) + 1)
    sums = _sums(hashes * powers[: len(hashes)], np.uint64)
    own = (sums[ends] - sums[starts]) * inverses[starts]  # as if each began where the powers do
    return mixed(own + (ends - starts).astype(np.uint64))


def character_hashes(text: str) -> "Array":
    """One hash (uint64) for each character."""
    return _hashed(*_codes(text))


def _hashed(codes: "Array", reach: int) -> "Array":
    import numpy as np

    of_others = lambda beyond: mixed(beyond.astype(np.uint64) + np.uint64(1))  # noqa: E731
    return _looked_up(_character_table(reach), of_others, codes, reach)


def _codes(text: str) -> tuple["Array", int]:
    """Code points, int64 (the numbers that numpy takes as they are to look something up), and their reach."""
    import numpy as np

    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64), _REACHES[0]
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return codes.astype(np.int64), next((reach for reach in _REACHES if codes.max() < reach), _REACHES[-1])


def _windows(text: str) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(text):
        word_end = _WORD_END.search(text, begin + _WINDOW_CHARACTERS)
        end = word_end.start() if word_end else len(text)
        yield begin, end
        begin = end


def _window(text: str) -> Window:
    import numpy as np

    codes, reach = _codes(text)
    inside = np.zeros(len(codes) + 2, bool)
    np.logical_not(_are(str.isspace, codes, reach), out=inside[1:-1])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    return Window(codes, reach, edges[0::2], edges[1::2])


def _hashes(window: Window) -> "Array":
    return ranges_mixed(_hashed(window.codes, window.reach), window.starts, window.ends)


def _sums(values: "Array", kind: Any) -> "Array":
    """Of all values ahead of each place, modulo what the type holds."""
    import numpy as np

    sums = np.zeros(len(values) + 1, kind)
    np.cumsum(values, out=sums[1:])
    return sums


def _are(kind: Callable[[str], bool], codes: "Array", reach: int) -> "Array":
    of_others = lambda beyond: [kind(chr(code)) for code in beyond.tolist()]  # noqa: E731
    return _looked_up(_table(kind, reach), of_others, codes, reach)


def _looked_up(table: "Array", of_others: Callable[["Array"], Any], codes: "Array", reach: int) -> "Array":
    """Of each code point what stands in the table; few lie beyond its reach, and none but of the last."""
    import numpy as np

    if reach < _REACHES[-1]:
        return table.take(codes)
    found = table.take(codes, mode="clip")
    beyond = np.flatnonzero(codes >= reach)
    if len(beyond):
        found[beyond] = of_others(codes[beyond])
    return found


@lru_cache
def _table(kind: Callable[[str], bool], size: int) -> "Array":
    import numpy as np

    return np.fromiter(map(kind, map(chr, range(size))), bool, size)


@lru_cache
def _character_table(size: int) -> "Array":
    import numpy as np

    return mixed(np.arange(1, size + 1, dtype=np.uint64))


def _powers(count: int) -> tuple["Array", "Array"]:
    """At least so many powers of the base, and of its inverse modulo 2^64."""
    if count > 2 * _WINDOW_CHARACTERS:
        return _made_powers(count)  # for a word of this length, and gone with it
    return _kept_powers(_SOME_CHARACTERS if count <= _SOME_CHARACTERS else 2 * _WINDOW_CHARACTERS)


def _made_powers(count: int) -> tuple["Array", "Array"]:
    return _powers_of(_BASE, count), _powers_of(pow(_BASE, -1, 1 << 64), count)


def _powers_of(base: int, count: int) -> "Array":
    """From the power of 0 on; twice as many in each round, a tenth of what one after the other takes."""
    import numpy as np

    powers = np.ones(count, np.uint64)
    done = 1
    while done < count:
        more = powers[done : 2 * done]
        np.multiply(powers[: len(more)], np.uint64(pow(base, done, 1 << 64)), out=more)
        done *= 2
    return powers


_kept_powers = lru_cache(maxsize=2)(_made_powers)
