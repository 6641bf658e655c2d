"""How much of a text repeats itself: lines, paragraphs and runs of words.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", A1.1.
A duplicate is every occurrence after the first. Characters are those of words: white space counts nowhere.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct
from spark_build.modalities.text.words import Words, mixed

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_ODD = 0x9E3779B97F4A7C15


def repeated_lines(text: str, lines: Sequence[str]) -> dict[str, float]:
    """Shares from 0 to 1. `lines` are those of the text that are not blank."""
    paragraphs = [p for p in _BLANK_LINES.split(text) if p.strip()]
    return {**_of_pieces("line", lines), **_of_pieces("paragraph", paragraphs)}


def _of_pieces(name: str, pieces: Sequence[str]) -> dict[str, float]:
    if len(pieces) < 2:
        pieces = ()  # nothing that could have come before
    seen: set[str] = set()
    duplicates = characters = all_characters = 0
    for piece in (" ".join(p.split()) for p in pieces):
        length = len(piece) - piece.count(" ")
        all_characters += length
        if piece in seen:
            duplicates += 1
            characters += length
        seen.add(piece)
    return {
        f"duplicate_{name}s": duplicates / max(1, len(pieces)),
        f"duplicate_{name}_characters": characters / max(1, all_characters),
    }


class _Runs(Struct, frozen=True):
    """Runs of as many words that occur more than once in their text, by ascending place."""

    places: "Array"  # int64, of the first word
    names: "Array"  # uint64, equal where the runs are; of one text they are of no other


def repeated_runs(words: Words) -> list[dict[str, float]]:
    """Shares from 0 to 1, by text.

    Only runs that occur twice count, and a longer one can't where the shorter one at its place does not."""
    import numpy as np

    before = np.concatenate([[0], np.cumsum(words.lengths)])  # characters ahead of each word
    totals = np.maximum(1, np.diff(before[words.firsts]))
    texts, figures = words.texts, dict[str, Any]()
    ends = words.firsts[1:][texts]  # of each word's text
    places = np.arange(len(texts))
    runs = _Runs(places, words.hashes ^ mixed(texts.astype(np.uint64)))
    for size in range(2, DUPLICATE_SIZES[-1] + 1):
        runs = _longer_by_one(runs, words.hashes, ends, size)
        if size in TOP_SIZES:
            characters = _characters_of_most_frequent(runs, before, texts, size, len(totals))
            figures[f"top_{size}_gram"] = (characters / totals).tolist()
        if size in DUPLICATE_SIZES:
            characters = _characters_of_duplicates(runs, before, texts, size, len(totals))
            figures[f"duplicate_{size}_grams"] = (characters / totals).tolist()
    return [dict(zip(figures, own, strict=True)) for own in zip(*figures.values(), strict=True)]


def _longer_by_one(runs: _Runs, hashes: "Array", ends: "Array", size: int) -> _Runs:
    """Runs of `size` words that occur more than once: known by the shorter run and the word behind it."""
    import numpy as np

    last = runs.places + size - 1
    fits = np.flatnonzero(last < ends[runs.places])
    keys = mixed(runs.names[fits] * np.uint64(_ODD) + hashes[last[fits]])
    order = np.argsort(keys)
    in_order = keys[order]
    again = np.zeros(len(order) + 1, bool)
    again[1:-1] = in_order[1:] == in_order[:-1]  # as the one before
    repeated = np.sort(order[again[1:] | again[:-1]])
    return _Runs(runs.places[fits[repeated]], keys[repeated])


def _characters_of_most_frequent(
    runs: _Runs, before: "Array", texts: "Array", size: int, count: int
) -> "Array":
    """Characters within the run that occurs most often (the longest such), by text; 0 where nothing occurs twice."""
    import numpy as np

    most = np.zeros(count, np.int64)
    if not len(runs.places):
        return most
    order = np.argsort(runs.names, kind="stable")
    places, names = runs.places[order], runs.names[order]
    is_first = np.concatenate([[True], names[1:] != names[:-1]])
    reach = np.where(is_first, 0, np.concatenate([[0], places[:-1] + size]))  # of the one before
    covered = before[places + size] - before[np.maximum(places, reach)]
    firsts = np.flatnonzero(is_first)
    counts, characters = np.diff([*firsts, len(places)]), np.add.reduceat(covered, firsts)
    by_text = np.lexsort((characters, counts, texts[places[firsts]]))
    most[texts[places[firsts]][by_text]] = characters[by_text]  # of one text the last one stays
    return most


def _characters_of_duplicates(runs: _Runs, before: "Array", texts: "Array", size: int, count: int) -> "Array":
    """Characters within runs that occurred before, by text; no character counts twice."""
    import numpy as np

    characters = np.zeros(count, np.int64)
    seen: set[int] = set()  # names of one text are of no other
    end = 0
    for place, name, text in zip(
        runs.places.tolist(), runs.names.tolist(), texts[runs.places].tolist(), strict=True
    ):
        if place < end:
            continue
        if name in seen:
            characters[text] += before[place + size] - before[place]
            end = place + size
        else:
            seen.add(name)
    return characters
