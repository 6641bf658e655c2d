"""Drops text that reads like no prose, by the rules that Gopher, C4 and FineWeb were filtered with.

Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", A1.1, table A1.
Raffel et al. 2020, "Exploring the Limits of Transfer Learning …", JMLR 21(140), section 2.2.
Penedo et al. 2024, "The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale"; the figures are
those of `FineWebQualityFilter` in huggingface/datatrove, which the datasets were made with.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field

from spark_build.contract import Decides, GateParams, Item, ItemGate, Verdict
from spark_build.core.values import Struct
from spark_build.gates._text import joined_text, text_and_chat_fields
from spark_build.modalities.text.marks import BEGINS_LINE, BEGINS_PARAGRAPH, marks_of
from spark_build.modalities.text.pieces import Figures, Pieces
from spark_build.modalities.text.prose import (
    LONGEST_LINE,
    STOP_WORDS,
    line_figures,
    lines_asking_for_javascript,
    phrase_figures,
    sentences_by_line_length,
    symbol_figures,
    word_figures,
)
from spark_build.modalities.text.repetition import repeated_pieces, repeated_runs
from spark_build.modalities.text.words import words_seen

Group = Literal["gopher", "c4", "fineweb"]
Rule = Literal[
    "word_count", "mean_word_length", "symbol_ratio", "bullet_lines", "ellipsis_lines", "alphabetic_words",
    "stop_words", "duplicate_lines", "duplicate_paragraphs", "duplicate_line_characters",
    "duplicate_paragraph_characters", "top_2_gram", "top_3_gram", "top_4_gram", "duplicate_5_grams",
    "duplicate_6_grams", "duplicate_7_grams", "duplicate_8_grams", "duplicate_9_grams", "duplicate_10_grams",
    "sentences", "lorem_ipsum", "curly_brackets", "terminal_lines", "javascript_lines",
    "punctuated_lines", "short_lines", "repeated_line_characters", "line_ends_per_word",
]  # fmt: skip


_TOP = "share of characters in the most frequent {}-gram (Rae et al. 2021, table A1)"
_DUPLICATE = "share of characters in repeated {}-grams (Rae et al. 2021, table A1)"


def _least(default: float | None, description: str) -> Any:
    return Field(default, ge=0, description=f"At least this: {description}; null turns it off.")


def _most(default: float | None, description: str) -> Any:
    return Field(default, ge=0, description=f"At most this: {description}; null turns it off.")


class Params(GateParams):
    """Thresholds of the rules, with the values of the papers; `rules` says which are asked."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "min_doc_words": "min_words",
        "max_doc_words": "max_words",
        "min_avg_word_length": "min_mean_word_length",
        "max_avg_word_length": "max_mean_word_length",
        "max_symbol_word_ratio": "max_symbol_ratio",
        "max_bullet_lines_ratio": "max_bullet_lines",
        "max_ellipsis_lines_ratio": "max_ellipsis_lines",
        "min_num_sentences": "min_sentences",
        "min_words_per_line": "min_line_words",
        "dup_line_frac": "max_duplicate_lines",
        "dup_para_frac": "max_duplicate_paragraphs",
        "line_punct_thr": "min_punctuated_lines",
        "short_line_thr": "max_short_lines",
        "char_duplicates_ratio": "max_repeated_line_characters",
        "new_line_ratio": "max_line_ends_per_word",
    }

    rules: Decides[Group | list[Group | Rule]] = Field(
        "gopher",
        description="Which rules are asked: gopher, c4, fineweb, or a list of these and of single rules.",
    )
    fields: list[str] | None = Field(
        None, description="Fields that are judged as one text; by default all text and chat messages."
    )
    stop_words: list[str] = Field(
        list(STOP_WORDS), description="Words of which prose holds some (lower case)."
    )

    # Gopher, A1.1, quality filtering
    min_words: Decides[int | None] = _least(50, "words (Rae et al. 2021, A1.1)")
    max_words: Decides[int | None] = _most(100_000, "words (Rae et al. 2021, A1.1)")
    min_mean_word_length: Decides[float | None] = _least(
        3, "characters of the mean word (Rae et al. 2021, A1.1)"
    )
    max_mean_word_length: Decides[float | None] = _most(
        10, "characters of the mean word (Rae et al. 2021, A1.1)"
    )
    max_symbol_ratio: Decides[float | None] = _most(
        0.1, "'#' per word, likewise ellipses (Rae et al. 2021, A1.1)"
    )
    max_bullet_lines: Decides[float | None] = _most(
        0.9, "share of lines that begin with a bullet (Rae et al. 2021, A1.1)"
    )
    max_ellipsis_lines: Decides[float | None] = _most(
        0.3, "share of lines that end in an ellipsis (Rae et al. 2021, A1.1)"
    )
    min_alphabetic_words: Decides[float | None] = _least(
        0.8, "share of words that hold a letter (Rae et al. 2021, A1.1)"
    )
    min_stop_words: Decides[int | None] = _least(2, "different stop words (Rae et al. 2021, A1.1)")

    # Gopher, table A1, repetition removal: shares of lines, paragraphs or characters
    max_duplicate_lines: Decides[float | None] = _most(
        0.30, "share of repeated lines (Rae et al. 2021, table A1)"
    )
    max_duplicate_paragraphs: Decides[float | None] = _most(
        0.30, "share of repeated paragraphs (Rae et al. 2021, table A1)"
    )
    max_duplicate_line_characters: Decides[float | None] = _most(
        0.20, "share of characters in repeated lines (Rae et al. 2021, table A1)"
    )
    max_duplicate_paragraph_characters: Decides[float | None] = _most(
        0.20, "share of characters in repeated paragraphs (Rae et al. 2021, table A1)"
    )
    max_top_2_gram: Decides[float | None] = _most(0.20, _TOP.format(2))
    max_top_3_gram: Decides[float | None] = _most(0.18, _TOP.format(3))
    max_top_4_gram: Decides[float | None] = _most(0.16, _TOP.format(4))
    max_duplicate_5_grams: Decides[float | None] = _most(0.15, _DUPLICATE.format(5))
    max_duplicate_6_grams: Decides[float | None] = _most(0.14, _DUPLICATE.format(6))
    max_duplicate_7_grams: Decides[float | None] = _most(0.13, _DUPLICATE.format(7))
    max_duplicate_8_grams: Decides[float | None] = _most(0.12, _DUPLICATE.format(8))
    max_duplicate_9_grams: Decides[float | None] = _most(0.11, _DUPLICATE.format(9))
    max_duplicate_10_grams: Decides[float | None] = _most(0.10, _DUPLICATE.format(10))

    # C4, section 2.2; C4 cuts lines, a gate judges the whole item by the lines that would stay
    min_sentences: Decides[int | None] = _least(
        3, "sentences in lines that end in punctuation (Raffel et al. 2020, section 2.2)"
    )
    min_line_words: Decides[int] = Field(
        5,
        ge=0,
        le=LONGEST_LINE,
        description="Words of a line whose sentences count (Raffel et al. 2020, section 2.2).",
    )
    max_lorem_ipsum: Decides[int | None] = _most(0, "'lorem ipsum' (Raffel et al. 2020, section 2.2)")
    max_curly_brackets: Decides[int | None] = _most(0, "'{' (Raffel et al. 2020, section 2.2)")
    min_terminal_lines: Decides[float | None] = _least(
        None,
        "share of lines that end in punctuation (Raffel et al. 2020 cut the others; no figure for a text)",
    )
    max_javascript_lines: Decides[float | None] = _most(
        None, "share of lines that say 'javascript' (Raffel et al. 2020 cut them; no figure for a text)"
    )

    # FineWeb, as datatrove has it
    min_punctuated_lines: Decides[float | None] = _least(
        0.12,
        "share of lines that end in punctuation or a quotation mark (Penedo et al. 2024, line_punct_thr)",
    )
    max_short_lines: Decides[float | None] = _most(
        0.67, "share of lines of at most 30 characters (Penedo et al. 2024, short_line_thr)"
    )
    max_repeated_line_characters: Decides[float | None] = _most(
        0.01,
        "share of characters in repeated lines (Penedo et al. 2024, char_duplicates_ratio; its text has 0.1)",
    )
    max_line_ends_per_word: Decides[float | None] = _most(
        0.3, "line ends per word, which lists have many of (Penedo et al. 2024, new_line_ratio)"
    )


class Check(Struct, frozen=True):
    rule: str
    group: str
    least: str | None = None  # names of the params that hold the thresholds
    most: str | None = None
    figure: str | None = None  # what is judged, where another rule has the same figure


CHECKS = (
    Check("word_count", "gopher", least="min_words", most="max_words"),
    Check("mean_word_length", "gopher", least="min_mean_word_length", most="max_mean_word_length"),
    Check("symbol_ratio", "gopher", most="max_symbol_ratio"),
    Check("bullet_lines", "gopher", most="max_bullet_lines"),
    Check("ellipsis_lines", "gopher", most="max_ellipsis_lines"),
    Check("alphabetic_words", "gopher", least="min_alphabetic_words"),
    Check("stop_words", "gopher", least="min_stop_words"),
    *(Check(name, "gopher", most=f"max_{name}") for name in get_args(Rule)[7:20]),
    Check("sentences", "c4", least="min_sentences"),
    Check("lorem_ipsum", "c4", most="max_lorem_ipsum"),
    Check("curly_brackets", "c4", most="max_curly_brackets"),
    Check("terminal_lines", "c4", least="min_terminal_lines"),
    Check("javascript_lines", "c4", most="max_javascript_lines"),
    Check("punctuated_lines", "fineweb", least="min_punctuated_lines"),
    Check("short_lines", "fineweb", most="max_short_lines"),
    Check(
        "repeated_line_characters",
        "fineweb",
        most="max_repeated_line_characters",
        figure="duplicate_line_characters",
    ),
    Check("line_ends_per_word", "fineweb", most="max_line_ends_per_word"),
)


Bounds = tuple[str, str, float, float]  # a rule, its figure, and the least and the most that this may be


class Quality(ItemGate):
    """All figures of a text are measured; the first rule that it fails is the reason."""

    Params = Params
    revision = 2

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or text_and_chat_fields(item))

    def measure(self, item: Item) -> dict[str, Any]:
        return self.measure_many([item])[0]

    def measure_many(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        texts = [joined_text(item, self.fields_read(item)) for item in items]
        figures = _figures(texts, self.params.stop_words)
        return [dict(zip(figures, own, strict=True)) for own in zip(*figures.values(), strict=True)]

    def decide(self, found: dict[str, Any], params: Any) -> Verdict:
        for rule, figure, least, most in self._bounds_of(params):
            value = found[figure]
            score = float(sum(value[params.min_line_words :]) if figure == "sentences" else value)
            if not least <= score <= most:
                threshold = least if score < least else most
                return Verdict.drop(f"quality:{rule}", score=score, threshold=threshold)
        return Verdict.keep()

    _bounds: tuple[Any, Sequence[Bounds]] = (None, ())

    def _bounds_of(self, params: Any) -> Sequence[Bounds]:
        """Worked out once for all items: they are judged by the same params."""
        if self._bounds[0] is not params:
            self._bounds = params, [*_bounds(params)]
        return self._bounds[1]


def _figures(texts: Sequence[str], stop_words: Sequence[str]) -> Figures:
    """By name, of each text."""
    words, (marks,) = words_seen(texts, marks_of)
    lines, paragraphs = (Pieces.of(words, marks & begins) for begins in (BEGINS_LINE, BEGINS_PARAGRAPH))
    lowered = [text.lower() for text in texts]
    of_javascript = lines_asking_for_javascript(lines, texts, lowered)
    return {
        **word_figures(words, marks),
        **symbol_figures(texts, words.counts.tolist()),
        **phrase_figures(lowered, stop_words),
        **line_figures(lines, words, marks, of_javascript),
        **sentences_by_line_length(lines, marks, of_javascript),
        **repeated_pieces("line", lines, words),
        **repeated_pieces("paragraph", paragraphs, words),
        **repeated_runs(words),
    }


def _bounds(params: Any) -> Iterator[Bounds]:
    """Of the rules that are asked."""
    asked = {params.rules} if isinstance(params.rules, str) else {*params.rules}
    for check in CHECKS:
        if asked & {check.rule, check.group}:
            least, most = (getattr(params, name) if name else None for name in (check.least, check.most))
            yield (
                check.rule,
                check.figure or check.rule,
                -math.inf if least is None else float(least),
                math.inf if most is None else float(most),
            )
