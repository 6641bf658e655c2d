"""What of a text looks like prose: words, lines, sentences, symbols."""

import re
from collections.abc import Collection, Sequence

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


def word_figures(text: str, stop_words: Collection[str] = STOP_WORDS) -> dict[str, float]:
    """Words are what white space separates. Source: Rae et al. 2021, A1.1; line ends per word: Penedo et al. 2024."""
    words = text.split()
    total = max(1, len(words))
    lowered = set(text.lower().split())
    bare = {word if word.isalpha() else word.strip(_EDGES) for word in lowered}
    without_letters = sum(not any(map(str.isalpha, word)) for word in words if not word.isalpha())
    return {
        "word_count": len(words),
        "mean_word_length": sum(map(len, words)) / total,
        "symbol_ratio": max(text.count("#"), text.count("...") + text.count("…")) / total,
        "alphabetic_words": (len(words) - without_letters) / total,
        "stop_words": len(bare.intersection(stop_words)),
        "line_ends_per_word": text.count("\n") / total,
    }


def line_figures(text: str) -> dict[str, float]:
    """Shares of the lines that are not blank."""
    lines = _lines(text)
    total = max(1, len(lines))
    return {
        "bullet_lines": sum(bool(_BULLET.match(line)) for line in lines) / total,
        "ellipsis_lines": sum(line.endswith(_ELLIPSIS) for line in lines) / total,
        "terminal_lines": sum(map(_is_terminated, lines)) / total,
        "punctuated_lines": sum(line.endswith(_PUNCTUATION) for line in lines) / total,
        "short_lines": sum(len(line) <= SHORT_LINE for line in lines) / total,
        "javascript_lines": sum("javascript" in line.lower() for line in lines) / total,
    }


def sentences_by_line_length(text: str) -> list[int]:
    """How many sentences stand in lines of n words, n from 0 to `LONGEST_LINE` and more.

    Only lines that C4 keeps: with a terminal punctuation mark, without 'javascript'.
    Source: Raffel et al. 2020, section 2.2.
    """
    sentences = [0] * (LONGEST_LINE + 1)
    for line in _lines(text):
        if _is_terminated(line) and "javascript" not in line.lower():
            sentences[min(LONGEST_LINE, len(line.split(None, LONGEST_LINE)))] += 1 + len(
                _SENTENCE_END.findall(line)
            )
    return sentences


def _lines(text: str) -> Sequence[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _is_terminated(line: str) -> bool:
    """Of a line without white space at its ends."""
    if line.endswith(_ELLIPSIS):
        return False
    return line.endswith(('"', "”")) or line.rstrip(_CLOSING).endswith(_TERMINAL)
