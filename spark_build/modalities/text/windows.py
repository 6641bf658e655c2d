"""Windows over a text: by characters, words or tokens, overlapping, never through a grapheme."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput, Unavailable

Units = Callable[[str], list[int]]  # a text's units, as the offset at which each begins; the first is 0

_WORD = r"\S+"
_TOKEN = r"\w+|[^\w\s]"


def windows(text: str, units: Sequence[int], size: int, overlap: int, shortest: int) -> list[str]:
    """Pieces of `text` of at most `size` units; neighbours share at most `overlap`."""
    return [text[start:end] for start, end in spans(text, units, size, overlap, shortest)]


def spans(text: str, units: Sequence[int], size: int, overlap: int, shortest: int) -> list[tuple[int, int]]:
    """Where each window begins and ends: together they cover the text, which is not empty.

    A border that falls into a grapheme moves to its beginning or end; a grapheme of more than `size` units is
    a window of its own. The last window is dropped where it has fewer than `shortest` units.
    """
    borders = _outside_graphemes(text, [*units, len(text)])
    position = [bisect_left(units, offset) for offset in borders]  # in units

    def reach(first: int) -> int:
        return max(first + 1, bisect_right(position, position[first] + size) - 1)

    found, first, last = [], 0, reach(0)
    while True:
        found.append((borders[first], borders[last]))
        if last == len(borders) - 1:
            is_short = max(1, position[last] - position[first]) < shortest
            return found[:-1] if is_short else found
        # the first border that is no further back than `overlap`, and from which a window gets any further
        first = max(first + 1, bisect_left(position, position[last] - overlap))
        while reach(first) <= last:
            first += 1
        last = reach(first)


def _outside_graphemes(text: str, offsets: Sequence[int]) -> list[int]:
    """The offsets; for one within a grapheme, where that begins and ends."""
    around = _graphemes_around(text)
    return sorted({border for offset in offsets for border in around.get(offset, (offset,))})


def _graphemes_around(text: str) -> dict[int, tuple[int, int]]:
    """Every offset within a grapheme of several code points, with where that begins and ends."""
    if text.isascii() and "\r\n" not in text:
        return {}
    graphemes = (found.span() for found in _regex().finditer(r"\X", text))
    return {i: span for span in graphemes if span[1] - span[0] > 1 for i in range(span[0] + 1, span[1])}


def _regex() -> Any:
    try:
        import regex
    except ImportError:
        raise Unavailable("chunk needs regex", fix="pip install 'spark-build[text]'") from None
    return regex


def characters(text: str) -> list[int]:
    """Graphemes: what a reader takes for one character."""
    inside = _graphemes_around(text)
    return [i for i in range(len(text)) if i not in inside]


def words(text: str) -> list[int]:
    """Runs of anything but white space; each with the white space behind it."""
    return _starts(_WORD, text)


def tokens(text: str) -> list[int]:
    """Runs of letters, their marks, digits and _, and single others; each with the white space behind it."""
    return _starts(_TOKEN, text)


def _starts(pattern: str, text: str) -> list[int]:
    # `re` has no marks in \w: it would cut words of Indic scripts at every vowel sign
    found = [match.start() for match in _regex().finditer(pattern, text)]
    return [0, *found[1:]]


def tokens_of(folder: Path) -> Units:
    """Tokens of the tokenizer in `folder` (its tokenizer.json), special ones left out."""
    file = folder / "tokenizer.json" if folder.is_dir() else folder
    if not file.is_file():
        raise BadInput(f"no tokenizer.json in '{folder.name}'", fix="a folder or model with a fast tokenizer")
    return _tokens_of_file(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _tokens_of_file(file: Path, changed: int) -> Units:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise Unavailable("tokenizer: needs tokenizers", fix="pip install 'spark-build[train]'") from None
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()  # files often carry that of the last training
    tokenizer.no_padding()

    def starts(text: str) -> list[int]:
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        return [0, *sorted(start for start, _ in offsets[1:])]

    return starts
