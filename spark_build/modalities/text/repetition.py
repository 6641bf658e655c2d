"""How much of a text repeats itself: lines, paragraphs and runs of words.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", A1.1.
A duplicate is every occurrence after the first. Characters are those of words: white space counts nowhere.
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import accumulate, pairwise

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


def _of_runs(words: Sequence[str]) -> dict[str, float]:
    """Only runs that occur twice count, and a longer one can't where the shorter one at its place does not."""
    before = list(accumulate(map(len, words), initial=0))  # characters ahead of each word
    total = max(1, before[-1])
    pairs = list(pairwise(words))
    counts = Counter(pairs)
    runs: Runs = {place: pair for place, pair in enumerate(pairs) if counts[pair] > 1}
    figures = {}
    for size in range(2, DUPLICATE_SIZES[-1] + 1):
        runs = _longer_by_one(runs, words, size) if size > 2 else runs
        if size in TOP_SIZES:
            figures[f"top_{size}_gram"] = _characters_of_most_frequent(runs, before, size) / total
        if size in DUPLICATE_SIZES:
            figures[f"duplicate_{size}_grams"] = _characters_of_duplicates(runs, before, size) / total
    return figures


Runs = dict[int, Hashable]  # place -> what stands there, equal where the runs are; ascending


def _longer_by_one(runs: Runs, words: Sequence[str], size: int) -> Runs:
    """Runs of `size` words that occur more than once: known by the shorter run and the word behind it."""
    if not runs:
        return {}
    behind = words[size - 1 :]
    longer = {place: (run, behind[place]) for place, run in runs.items() if place < len(behind)}
    counts = Counter(longer.values())
    if len(counts) == len(longer):
        return {}
    numbers: dict[Hashable, int] = {}  # a short name, so that runs don't nest
    return {place: numbers.setdefault(run, len(numbers)) for place, run in longer.items() if counts[run] > 1}


def _characters_of_most_frequent(runs: Runs, before: Sequence[int], size: int) -> int:
    """Characters within the run that occurs most often (the longest such); 0 where nothing occurs twice."""
    places: dict[Hashable, list[int]] = {}
    for place, run in runs.items():
        places.setdefault(run, []).append(place)
    most = max(map(len, places.values()), default=0)
    return max((_covered(found, before, size) for found in places.values() if len(found) == most), default=0)


def _covered(places: Sequence[int], before: Sequence[int], size: int) -> int:
    covered = end = 0
    for place in places:
        covered += before[place + size] - before[max(place, end)]
        end = place + size
    return covered


def _characters_of_duplicates(runs: Runs, before: Sequence[int], size: int) -> int:
    """Characters within runs that occurred before; no character counts twice."""
    seen: set[Hashable] = set()
    characters = end = 0
    for place, run in runs.items():
        if place < end:
            continue
        if run in seen:
            characters += before[place + size] - before[place]
            end = place + size
        else:
            seen.add(run)
    return characters
