"""How much of a text repeats itself: lines, paragraphs and runs of words.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", A1.1.
A duplicate is every occurrence after the first. Characters are those of words: white space counts nowhere.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)


def repetition_figures(text: str) -> dict[str, float]:
    """Shares from 0 to 1."""
    lines = [line for line in text.splitlines() if line.strip()]
    paragraphs = [p for p in re.split(r"\n[^\S\n]*\n\s*", text) if p.strip()]
    return {
        **_of_pieces("line", lines),
        **_of_pieces("paragraph", paragraphs),
        **_of_runs(text.split()),
    }


def _of_pieces(name: str, pieces: Sequence[str]) -> dict[str, float]:
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


def _of_runs(words: Sequence[str]) -> dict[str, float]:
    before = list(accumulate(map(len, words), initial=0))  # characters ahead of each word
    total = max(1, before[-1])
    numbers: dict[object, int] = {}
    single = [numbers.setdefault(word, len(numbers)) for word in words]
    runs, figures = single, {}
    for size in range(2, DUPLICATE_SIZES[-1] + 1):
        runs = _longer_by_one(runs, single[size - 1 :])
        if size in TOP_SIZES:
            figures[f"top_{size}_gram"] = _characters_of_most_frequent(runs, before, size) / total
        if size in DUPLICATE_SIZES:
            figures[f"duplicate_{size}_grams"] = _characters_of_duplicates(runs, before, size) / total
    return figures


def _longer_by_one(runs: Sequence[int], next_words: Sequence[int]) -> list[int]:
    """Equal numbers for equal runs of one word more: known by the shorter run and the word behind it."""
    numbers: dict[tuple[int, int], int] = {}
    pairs = zip(runs, next_words, strict=False)
    return [numbers.setdefault(pair, len(numbers)) for pair in pairs]


def _characters_of_most_frequent(runs: Sequence[int], before: Sequence[int], size: int) -> int:
    """Characters within the run that occurs most often (the longest such); 0 where nothing occurs twice."""
    counts = Counter(runs)
    most = max(counts.values(), default=0)
    if most < 2:
        return 0
    places: dict[int, list[int]] = {}
    for place, run in enumerate(runs):
        if counts[run] == most:
            places.setdefault(run, []).append(place)
    return max(_covered(found, before, size) for found in places.values())


def _covered(places: Sequence[int], before: Sequence[int], size: int) -> int:
    covered = end = 0
    for place in places:
        covered += before[place + size] - before[max(place, end)]
        end = place + size
    return covered


def _characters_of_duplicates(runs: Sequence[int], before: Sequence[int], size: int) -> int:
    """Characters within runs that occurred before; no character counts twice."""
    seen: set[int] = set()
    characters = place = 0
    while place < len(runs):
        if runs[place] in seen:
            characters += before[place + size] - before[place]
            place += size
        else:
            seen.add(runs[place])
            place += 1
    return characters
