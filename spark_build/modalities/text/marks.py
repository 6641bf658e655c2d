"""What a word tells of its line and its sentence: where it stands, how it begins and ends. Of many texts at once."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spark_build.modalities.text.words import Window

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# bits of a mark
LETTER = 1  # one at least is in it
BEGINS_LINE, BEGINS_PARAGRAPH = 1 << 1, 1 << 2  # behind white space with a line's end, with two
BULLET, DASH = 1 << 3, 1 << 4  # a line's first word; DASH: a bullet where another follows on the line
ELLIPSIS, TERMINATED, PUNCTUATED = 1 << 5, 1 << 6, 1 << 7  # how a line's last word ends
ENDS_SENTENCE = 1 << 8  # where the next word on the line opens one
OPENS_SENTENCE = 1 << 9
ENDS_WIDE = 1 << 10
WIDE_SHIFT = (
    11  # above: how many ideographic ends of sentences are in it, each one where anything follows on the line
)

_BULLETS, _DASHES = "•‣◦●▪·", "-*–"
_ENDS, _WIDE_ENDS = ".!?", "。！？"
_TERMINAL, _CLOSING = ".!?。！？؟", "\"'”’»)]"
_PUNCTUATION, _QUOTES = ".!?'\"…。！？؟”’।", '"”'
_BEHIND_END, _BEFORE_OPENING = "\"'”’)]", "\"'“‘(["
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # those of str.splitlines
_ROUNDS = 8  # of a look at one character further on; then all are looked at


def marks_of(window: Window) -> "Array":
    """By word, int64."""
    import numpy as np

    marks = np.zeros(len(window.starts), np.int64)
    if len(marks):
        for mark in (_letters, _gaps, _beginnings, _endings, _sentences, _wide_ends):
            mark(window, marks)
    return marks


def _letters(window: Window, marks: "Array") -> None:
    import numpy as np

    before = np.zeros(len(window.codes) + 1, np.int32)
    np.cumsum(window.are(str.isalpha, window.codes), out=before[1:], dtype=np.int32)
    marks[before[window.ends] > before[window.starts]] |= LETTER


def _gaps(window: Window, marks: "Array") -> None:
    """Of the white space before each word."""
    import numpy as np

    ends = np.flatnonzero(_are_of(_LINE_ENDS, window.codes))
    following = np.searchsorted(window.starts, ends)
    newlines = following[window.codes[ends] == ord("\n")]
    twice = newlines[1:][newlines[1:] == newlines[:-1]]
    for mark, of in ((BEGINS_LINE, following), (BEGINS_PARAGRAPH, twice)):
        marks[of[of < len(marks)]] |= mark


def _beginnings(window: Window, marks: "Array") -> None:
    """Of lines: what begins a window may begin one, too."""
    import numpy as np

    begins = (marks & BEGINS_LINE) > 0
    begins[0] = True
    of = np.flatnonzero(begins)
    first = window.codes[window.starts[of]]
    is_dash = _are_of(_DASHES, first) & (window.ends[of] - window.starts[of] == 1)
    marks[of] |= _are_of(_BULLETS, first) * BULLET | is_dash * DASH


def _endings(window: Window, marks: "Array") -> None:
    """Of lines: what ends a window may end one, too."""
    import numpy as np

    of = np.flatnonzero(np.append(marks[1:] & BEGINS_LINE, BEGINS_LINE))
    codes, last = window.codes, window.ends[of] - 1
    is_ellipsis = codes[last] == ord("…")
    dots = np.flatnonzero(codes[last] == ord("."))
    is_ellipsis[dots] = _are_of(".", codes[last[dots] - 1]) & _are_of(".", codes[last[dots] - 2])
    is_terminal = _are_of(_TERMINAL, codes[_beyond(_CLOSING, codes, last, -1)])
    is_terminated = ~is_ellipsis & (is_terminal | _are_of(_QUOTES, codes[last]))
    is_punctuated = _are_of(_PUNCTUATION, codes[last])
    marks[of] |= is_ellipsis * ELLIPSIS | is_terminated * TERMINATED | is_punctuated * PUNCTUATED


def _sentences(window: Window, marks: "Array") -> None:
    """OPENS_SENTENCE is told of a window's first word, and of those behind one that may end a sentence."""
    import numpy as np

    codes = window.codes
    last = _beyond(_BEHIND_END, codes, window.ends - 1, -1)
    may_end = np.flatnonzero(_are_of(_ENDS, codes[last]))
    marks[may_end] |= ENDS_SENTENCE
    following = np.append(0, may_end[may_end < len(marks) - 1] + 1)
    opening = _beyond(_BEFORE_OPENING, codes, window.starts[following], 1)
    marks[following[_open_sentences(codes[opening])]] |= OPENS_SENTENCE


def _open_sentences(codes: "Array") -> "Array":
    """Whether each is a letter or digit, and none of a to z."""
    import numpy as np

    opening = (ord("0") <= codes) & (codes <= ord("9")) | (ord("A") <= codes) & (codes <= ord("Z"))
    others = np.flatnonzero(codes > ord("z"))
    opening[others] = [chr(code).isalnum() for code in codes[others].tolist()]
    return opening


def _wide_ends(window: Window, marks: "Array") -> None:
    import numpy as np

    wide = () if window.reach <= ord(min(_WIDE_ENDS)) else np.flatnonzero(_are_of(_WIDE_ENDS, window.codes))
    if len(wide):
        words = np.searchsorted(window.starts, wide, side="right") - 1
        marks += np.bincount(words, minlength=len(marks)) << WIDE_SHIFT
        marks[_are_of(_WIDE_ENDS, window.codes[window.ends - 1])] |= ENDS_WIDE


def _beyond(characters: str, codes: "Array", places: "Array", step: int) -> "Array":
    """From each place on the first one with another character; a window begins with white space.

    Where there is none before the window's end, its last place."""
    import numpy as np

    places = places.copy()
    within = np.arange(len(places))
    for _ in range(_ROUNDS):
        within = within[_are_of(characters, codes[places[within]])]
        within = within[(places[within] < len(codes) - 1) | (step < 0)]
        if not len(within):
            return places
        places[within] += step
    others = np.append(np.flatnonzero(~_are_of(characters, codes)), len(codes) - 1)
    found = np.searchsorted(others, places[within], side="left" if step > 0 else "right")
    places[within] = others[found - (step < 0)]
    return places


def _are_of(characters: str, codes: "Array") -> "Array":
    """Whether each is one of these characters."""
    are: Array = _table(characters).take(codes, mode="clip")
    return are


@lru_cache
def _table(characters: str) -> "Array":
    """By code point; the last one stands for all above."""
    import numpy as np

    table = np.zeros(max(map(ord, characters)) + 2, bool)
    table[[*map(ord, characters)]] = True
    return table
