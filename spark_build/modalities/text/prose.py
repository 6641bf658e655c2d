"""What of a text looks like prose: words, lines, sentences, symbols."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from spark_build.modalities.text.words import Words

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Rae et al. 2021, A1.1
SHORT_LINE = 30  # characters; datatrove's FineWebQualityFilter, short_line_length
LONGEST_LINE = 20  # words; lines of more are counted as lines of this many

_BULLET = re.compile(r"\s*(?:[•‣◦●▪·]|[-*–]\s)")
_ELLIPSIS = ("...", "…")
_TERMINAL, _CLOSING = tuple(".!?。！？؟"), "\"'”’»)]"
# what ends a sentence stands first and alone, so that the search can leap from one to the next
_SENTENCE_END = re.compile(
    r"[.!?。！？](?:(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])(?=.))"
)
_PUNCTUATION = (*".!?'\"", "…", "。", "！", "？", "؟", "”", "’", "।")
_EDGES = "\"'“”‘’.,;:!?()[]{}<>*_`"


def word_figures(
    texts: Sequence[str], words: Words, stop_words: Collection[str] = STOP_WORDS
) -> list[dict[str, float]]:
    """By text; `words` are those of the texts.

    Source: Rae et al. 2021, A1.1; line ends per word: Penedo et al. 2024.
    """
    import numpy as np

    totals = np.maximum(1, words.counts)
    lengths, alphabetic = (
        (np.diff(np.concatenate([[0], np.cumsum(of_word)])[words.firsts]) / totals).tolist()
        for of_word in (words.lengths, words.with_letter)
    )
    found = _stop_words(tuple(stop_words))
    return [
        {
            "word_count": count,
            "mean_word_length": lengths[number],
            "symbol_ratio": max(text.count("#"), text.count("...") + text.count("…")) / max(1, count),
            "alphabetic_words": alphabetic[number],
            "stop_words": _how_many(found, text.lower()),
            "line_ends_per_word": text.count("\n") / max(1, count),
        }
        for number, (text, count) in enumerate(zip(texts, words.counts.tolist(), strict=True))
    ]


@lru_cache
def _stop_words(words: tuple[str, ...]) -> Mapping[str, re.Pattern[str]]:
    """Each as a word of its own, whatever punctuation stands at its edges."""
    edges = f"[{re.escape(_EDGES)}]*"
    return {
        word: re.compile(rf"(?<!\S){edges}{re.escape(word)}{edges}(?!\S)")
        for word in words
        if word.split() == [word.strip(_EDGES)]
    }


def _how_many(stop_words: Mapping[str, re.Pattern[str]], text: str) -> int:
    return sum(
        f" {word} " in text or (word in text and pattern.search(text) is not None)
        for word, pattern in stop_words.items()
    )


def line_figures(lines: Sequence[str]) -> dict[str, float]:
    """Shares of lines that are not blank, without white space at their ends."""
    total = max(1, len(lines))
    return {
        "bullet_lines": sum(bool(_BULLET.match(line)) for line in lines) / total,
        "ellipsis_lines": sum(line.endswith(_ELLIPSIS) for line in lines) / total,
        "terminal_lines": sum(map(_is_terminated, lines)) / total,
        "punctuated_lines": sum(line.endswith(_PUNCTUATION) for line in lines) / total,
        "short_lines": sum(len(line) <= SHORT_LINE for line in lines) / total,
        "javascript_lines": sum("javascript" in line.lower() for line in lines) / total,
    }


def sentences_by_line_length(lines: Sequence[str]) -> list[int]:
    """How many sentences stand in lines of n words, n from 0 to `LONGEST_LINE` and more.

    Only lines that C4 keeps: with a terminal punctuation mark, without 'javascript'.
    Source: Raffel et al. 2020, section 2.2.
    """
    sentences = [0] * (LONGEST_LINE + 1)
    for line in lines:
        if _is_terminated(line) and "javascript" not in line.lower():
            sentences[min(LONGEST_LINE, len(line.split(None, LONGEST_LINE)))] += 1 + len(
                _SENTENCE_END.findall(line)
            )
    return sentences


def lines_of(text: str) -> list[str]:
    """Those that are not blank, without white space at their ends."""
    return [line for line in map(str.strip, text.splitlines()) if line]


def _is_terminated(line: str) -> bool:
    """Of a line without white space at its ends."""
    if line.endswith(_ELLIPSIS):
        return False
    return line.endswith(('"', "”")) or line.rstrip(_CLOSING).endswith(_TERMINAL)
