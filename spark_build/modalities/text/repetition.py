"""How much of a text repeats itself: lines, paragraphs and runs of words.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", A1.1.
A duplicate is every occurrence after the first. Characters are those of words: white space counts nowhere.
"""

from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct
from spark_build.modalities.text.pieces import Figures, Pieces
from spark_build.modalities.text.words import Words, mixed, ranges_mixed

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
_ODD = 0x9E3779B97F4A7C15


def repeated_pieces(name: str, pieces: Pieces, words: Words) -> Figures:
    """Shares from 0 to 1 of each text's lines, or paragraphs; of a single one nothing could have come before."""
    import numpy as np

    texts, count = pieces.texts, len(pieces.totals)
    keys = ranges_mixed(words.hashes, pieces.firsts, pieces.behind) ^ mixed(texts.astype(np.uint64))
    again = np.ones(len(keys), bool)
    again[np.unique(keys, return_index=True)[1]] = False
    characters = np.bincount(texts[again], pieces.sums(words.lengths)[again], count)
    return {
        f"duplicate_{name}s": pieces.share(again),
        f"duplicate_{name}_characters": (characters / _characters(words)).tolist(),
    }


def _characters(words: Words) -> "Array":
    """By text, 1 where there is none."""
    import numpy as np

    return np.maximum(1, np.diff(np.append(0, np.cumsum(words.lengths))[words.firsts]))


class _Runs(Struct, frozen=True):
    """Runs of as many words that occur more than once in their text, by ascending place."""

    places: "Array"  # int64, of the first word
    names: "Array"  # uint64, equal where the runs are; of one text they are of no other


def repeated_runs(words: Words) -> Figures:
    """Shares from 0 to 1.

    Only runs that occur twice count, and a longer one can't where the shorter one at its place does not."""
    import numpy as np

    before = np.concatenate([[0], np.cumsum(words.lengths)])  # characters ahead of each word
    texts, totals, figures = words.texts, _characters(words), Figures()
    ends = words.firsts[1:][texts]  # of each word's text
    places = np.arange(len(texts))
    of_texts = mixed(np.arange(len(totals), dtype=np.uint64))
    runs = _Runs(places, words.hashes ^ of_texts[texts])
    for size in range(2, DUPLICATE_SIZES[-1] + 1):
        runs = _longer_by_one(runs, words.hashes, ends, size)
        if size in TOP_SIZES:
            characters = _characters_of_most_frequent(runs, before, texts, size, len(totals))
            figures[f"top_{size}_gram"] = (characters / totals).tolist()
        if size in DUPLICATE_SIZES:
            characters = _characters_of_duplicates(runs, before, texts, size, len(totals))
            figures[f"duplicate_{size}_grams"] = (characters / totals).tolist()
    return figures


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
