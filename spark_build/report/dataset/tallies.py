"""Figures counted in fixed memory: how many values there are of each four leading digits, and histograms of that."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct

if TYPE_CHECKING:
    import numpy as np

_DIGITS = 4  # every edge of a histogram has at most so many, so that counting by them loses nothing
_BARS = 24  # about so many in a histogram of even steps
_HEAVY_TAIL = 10  # times the median: from there on steps grow with the values
_GROWING = (1, 1.5, 2, 3, 5, 7)  # times a power of ten
_COARSE, _MANY = (1,), 10  # steps where the values lie so many powers of ten apart
_LEAST, _MOST = 1e-12, 1e300  # what is nearer to zero counts as zero


class Histogram(Struct, frozen=True):
    """How the values of a field spread. `counts[i]` of them lie from `edges[i]` up to below `edges[i + 1]`."""

    field: str
    unit: str  # characters, words, seconds, pixels wide …
    values: int
    least: float
    median: float  # the lower of two, cut off after four digits
    greatest: float
    total: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    is_growing: bool = False  # whether steps grow with the values


class Tally:
    """Takes arrays of numbers one after the other. What is not finite is left out."""

    def __init__(self) -> None:
        self.values, self.total = 0, 0.0
        self._least, self._greatest, self._is_whole = math.inf, -math.inf, True
        self._counts: dict[float, int] = {}  # by the number cut off after four digits, towards minus infinity

    def add(self, numbers: "np.ndarray[Any, Any]") -> None:
        import numpy as np

        numbers = np.asarray(numbers, np.float64)
        numbers = numbers[np.isfinite(numbers) & (np.abs(numbers) < _MOST)]
        if not len(numbers):
            return
        self.values += len(numbers)
        self.total += float(numbers.sum())
        self._least, self._greatest = min(self._least, numbers.min()), max(self._greatest, numbers.max())
        self._is_whole = self._is_whole and bool((numbers == np.floor(numbers)).all())
        cut, counts = np.unique(_cut(numbers), return_counts=True)
        for number, count in zip(cut.tolist(), counts.tolist(), strict=True):
            self._counts[number] = self._counts.get(number, 0) + count

    def histogram(self, field: str, unit: str) -> Histogram | None:
        """None where nothing was counted."""
        if not self.values:
            return None
        least, median, greatest = float(self._least), self._median(), float(self._greatest)
        is_growing = least >= 0 and greatest > _HEAVY_TAIL * max(median, _LEAST)
        growing = _growing_edges(least, greatest, self._is_whole)
        edges = growing if is_growing else _even_edges(least, greatest, self._is_whole)
        counts = self._between(edges)
        return Histogram(
            field, unit, self.values, least, median, greatest, self.total, tuple(edges), counts, is_growing
        )

    def _median(self) -> float:
        seen = 0
        for number, count in sorted(self._counts.items()):
            seen += count
            if seen > (self.values - 1) // 2:
                return number
        raise ValueError("BUG: the median of nothing")

    def _between(self, edges: list[float]) -> tuple[int, ...]:
        import numpy as np

        places = np.searchsorted(edges, list(self._counts), side="right") - 1
        counts = np.bincount(places, weights=list(self._counts.values()), minlength=len(edges) - 1)
        return tuple(int(count) for count in counts)


def _cut(numbers: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Each with four digits, the greatest such number that is not above it."""
    import numpy as np

    sizes = np.where(np.abs(numbers) < _LEAST, 0.0, np.abs(numbers))
    there = sizes > 0
    shifts = np.zeros(len(sizes), np.int64)
    shifts[there] = _DIGITS - 1 - np.floor(np.log10(sizes[there])).astype(np.int64)
    up, down = 10.0 ** np.maximum(shifts, 0), 10.0 ** np.maximum(-shifts, 0)
    whole = np.floor(np.sign(numbers) * sizes * up / down)
    cut: np.ndarray[Any, Any] = whole * down / up + 0.0  # no minus zero
    return cut


def _growing_edges(least: float, greatest: float, is_whole: bool) -> list[float]:
    """From the last step that is not above `least` to the first above `greatest`; whole numbers have whole edges."""
    if greatest <= 0:
        return [0.0, 1.0]
    first = math.floor(math.log10(least)) if least > 0 else (0 if is_whole else -2)
    edges = [0.0] if least <= 0 else []
    steps = _GROWING if math.log10(greatest) - first <= _MANY else _COARSE
    for step in _steps(first - 1, steps):
        if is_whole and step != int(step):
            continue
        edges = [step] if len(edges) == 1 and edges[0] < step <= least else [*edges, step]
        if step > greatest:
            return edges
    raise ValueError("BUG: there is always a larger step")


def _steps(power: int, steps: Sequence[float]) -> Iterator[float]:
    while True:
        yield from (_decimal(step * 10, power - 1) for step in steps)
        power += 1


def _even_edges(least: float, greatest: float, is_whole: bool) -> list[float]:
    size = max(abs(least), abs(greatest), _LEAST)
    finest = math.floor(math.log10(size)) - (_DIGITS - 1)
    step, power = _nice((greatest - least) / _BARS, max(finest, 0) if is_whole else finest)
    begin = math.floor(least / _decimal(step, power))
    edges = [_decimal(step * begin, power)]
    while edges[-1] <= greatest:
        begin += 1
        edges.append(_decimal(step * begin, power))
    return edges


def _nice(width: float, finest: int) -> tuple[int, int]:
    """1, 2 or 5 and a power of ten, at least as wide as that; the power is at least `finest`."""
    if width <= 10.0**finest:
        return 1, finest
    power = math.floor(math.log10(width))
    return next((step, power) for step in (1, 2, 5, 10) if _decimal(step, power) >= width)


def _decimal(number: float, power: int) -> float:
    """number × 10^power, rounded once."""
    return float(number * 10**power if power >= 0 else number / 10**-power)
