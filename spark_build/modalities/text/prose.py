"""What of a text looks like prose: words, lines, sentences, symbols. Of many texts at once, each figure by text."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spark_build.modalities.text import marks as mark
from spark_build.modalities.text.pieces import Figures, Pieces
from spark_build.modalities.text.words import Words

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Rae et al. 2021, A1.1
SHORT_LINE = 30  # characters; datatrove's FineWebQualityFilter, short_line_length
LONGEST_LINE = 20  # words; lines of more are counted as lines of this many

_EDGES = "\"'“”‘’.,;:!?()[]{}<>*_`"


def word_figures(words: Words, marks: "Array") -> Figures:
    """Source: Rae et al. 2021, A1.1."""
    import numpy as np

    totals = np.maximum(1, words.counts)
    lengths, alphabetic = (
        (np.diff(np.append(0, np.cumsum(of_word))[words.firsts]) / totals).tolist()
        for of_word in (words.lengths, marks & mark.LETTER)
    )
    return {
        "word_count": words.counts.tolist(),
        "mean_word_length": lengths,
        "alphabetic_words": alphabetic,
    }


def symbol_figures(texts: Sequence[str], word_counts: Sequence[int]) -> Figures:
    """Per word. Source: Rae et al. 2021, A1.1; line ends per word: Penedo et al. 2024."""
    counted = [(text, max(1, count)) for text, count in zip(texts, word_counts, strict=True)]
    return {
        "symbol_ratio": [
            max(text.count("#"), text.count("...") + text.count("…")) / count for text, count in counted
        ],
        "line_ends_per_word": [text.count("\n") / count for text, count in counted],
        "curly_brackets": [text.count("{") for text in texts],
    }


def phrase_figures(lowered: Sequence[str], stop_words: Collection[str] = STOP_WORDS) -> Figures:
    """Of texts in lower case: stop words, each counted once (Rae et al. 2021, A1.1), and what stands for no text."""
    found = _stop_words(tuple(stop_words))
    return {
        "stop_words": [_how_many(found, text) for text in lowered],
        "lorem_ipsum": [text.count("lorem ipsum") for text in lowered],
    }


@lru_cache
def _stop_words(words: tuple[str, ...]) -> Sequence[tuple[str, str]]:
    """Each as it mostly stands, and bare."""
    return [(f" {word} ", word) for word in dict.fromkeys(words) if word.split() == [word.strip(_EDGES)]]


def _how_many(stop_words: Sequence[tuple[str, str]], text: str) -> int:
    found = 0
    for spaced, word in stop_words:
        if spaced in text or (word in text and _stands_alone(word, text)):
            found += 1
    return found


def _stands_alone(word: str, text: str) -> bool:
    """As a word of its own, whatever punctuation stands at its edges."""
    place = text.find(word)
    while place >= 0:
        begin, end = place, place + len(word)
        while begin > 0 and text[begin - 1] in _EDGES:
            begin -= 1
        if begin == 0 or text[begin - 1].isspace():
            while end < len(text) and text[end] in _EDGES:
                end += 1
            if end == len(text) or text[end].isspace():
                return True
        place = text.find(word, place + 1)
    return False


def line_figures(lines: Pieces, words: Words, marks: "Array", asks_for_javascript: "Array") -> Figures:
    """Shares of lines that are not blank, without white space at their ends."""
    first, last = marks[lines.firsts], marks[lines.behind - 1]
    are = {
        "bullet_lines": ((first & mark.BULLET) > 0) | (((first & mark.DASH) > 0) & (lines.words > 1)),
        "ellipsis_lines": (last & mark.ELLIPSIS) > 0,
        "terminal_lines": (last & mark.TERMINATED) > 0,
        "punctuated_lines": (last & mark.PUNCTUATED) > 0,
        "short_lines": _lengths(lines, words) <= SHORT_LINE,
        "javascript_lines": asks_for_javascript,
    }
    return {name: lines.share(so) for name, so in are.items()}


def sentences_by_line_length(lines: Pieces, marks: "Array", asks_for_javascript: "Array") -> Figures:
    """How many sentences stand in lines of n words, n from 0 to `LONGEST_LINE` and more.

    Only lines that C4 keeps: with a terminal punctuation mark, without 'javascript'.
    Source: Raffel et al. 2020, section 2.2.
    """
    import numpy as np

    last = marks[lines.behind - 1]
    kept = ((last & mark.TERMINATED) > 0) & ~asks_for_javascript
    counts = 1 + lines.sums(_ends_of_sentences(lines, marks)) - ((last & mark.ENDS_WIDE) > 0)
    bins = lines.texts * (LONGEST_LINE + 1) + np.minimum(LONGEST_LINE, lines.words)
    size = len(lines.totals) * (LONGEST_LINE + 1)
    by_bin = np.bincount(bins[kept], counts[kept], size).astype(np.int64)
    return {"sentences": by_bin.reshape(-1, LONGEST_LINE + 1).tolist()}


def _ends_of_sentences(lines: Pieces, marks: "Array") -> "Array":
    """By word: with a space and a beginning behind it on its line, or ideographic ones, of which the line's last
    counts as well."""
    ends = marks >> mark.WIDE_SHIFT
    opens = (marks & mark.OPENS_SENTENCE) > 0
    opens[lines.firsts] = False
    ends[:-1] += ((marks[:-1] & mark.ENDS_SENTENCE) > 0) & opens[1:]
    return ends


def lines_asking_for_javascript(lines: Pieces, texts: Sequence[str], lowered: Sequence[str]) -> "Array":
    import numpy as np

    are = np.zeros(len(lines.texts), bool)
    for number, text in enumerate(lowered):
        if "javascript" in text:
            are[lines.texts == number] = ["javascript" in line.lower() for line in lines_of(texts[number])]
    return are


def lines_of(text: str) -> list[str]:
    """Those that are not blank, without white space at their ends."""
    return [line for line in map(str.strip, text.splitlines()) if line]


def _lengths(lines: Pieces, words: Words) -> "Array":
    last = lines.behind - 1
    lengths: Array = words.starts[last] + words.lengths[last] - words.starts[lines.firsts]
    return lengths
