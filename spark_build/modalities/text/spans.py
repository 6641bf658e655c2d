"""Spans: marked stretches of a text, as [start, end, kind] with character offsets."""

from bisect import bisect_right
from collections.abc import Callable, Iterable

Span = tuple[int, int, str]


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Spans that don't overlap, by start; of two that do the longer stays, then the earlier, then by kind."""
    taken: list[Span] = []
    for span in sorted(spans, key=lambda s: (s[0] - s[1], s[0], s[2])):
        place = bisect_right(taken, span)
        is_free_left = place == 0 or taken[place - 1][1] <= span[0]
        if is_free_left and (place == len(taken) or span[1] <= taken[place][0]):
            taken.insert(place, span)
    return taken


def replaced(text: str, spans: Iterable[Span], replacement: Callable[[str], str]) -> str:
    """The text with each span (sorted, none overlapping) replaced by what its kind calls for."""
    pieces, position = [], 0
    for start, end, kind in spans:
        pieces += [text[position:start], replacement(kind)]
        position = end
    return "".join([*pieces, text[position:]])
