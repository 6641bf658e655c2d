"""Candidate pairs of a join: items that agree in a band of their sketches, against those that were kept."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Plausible = Callable[[int, "np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]


def candidate_pairs(
    band_keys: Iterable["np.ndarray[Any, Any]"], plausible: Plausible, is_kept: Callable[[int], bool]
) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, that share a bucket; by ascending j, then i.

    Only kept items stay in the buckets, so a cluster of n near-copies gives n pairs, not n².
    """
    buckets = Buckets(band_keys)
    for j in buckets.shared:
        near = buckets.neighbours(j)
        for i in plausible(j, near).tolist() if len(near) else ():
            yield i, j
            if not is_kept(j):
                break
        if is_kept(j):
            buckets.add(j)


class Buckets:
    """Items by band key. Buckets of a single item are left out, and so are items that share none."""

    def __init__(self, band_keys: Iterable["np.ndarray[Any, Any]"]) -> None:
        import numpy as np

        sizes, of_band = [np.zeros(0, np.int64)], []
        for keys in band_keys:
            _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
            is_shared = counts > 1
            first = sum(len(s) for s in sizes)
            numbers = np.where(is_shared, np.cumsum(is_shared) - 1 + first, -1).astype(np.int32)
            of_band.append(numbers[inverse])
            sizes.append(counts[is_shared])
        size = np.concatenate(sizes)
        self._of = np.stack(of_band, axis=1)  # (items, bands): the bucket's number, -1 where alone
        self._start = np.cumsum(size) - size
        self._filled = np.zeros(len(size), np.int64)
        self._members = np.zeros(int(size.sum()), np.int32)  # bucket after bucket
        self.shared: list[int] = np.flatnonzero((self._of >= 0).any(axis=1)).tolist()

    def neighbours(self, position: int) -> "np.ndarray[Any, Any]":
        """The items added so far that share a bucket with this one, ascending."""
        import numpy as np

        found = [self._members[s : s + n] for s, n in self._ranges(position) if n]
        if not found:
            return np.zeros(0, np.int32)
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found))

    def add(self, position: int) -> None:
        of = self._of[position]
        own = of[of >= 0]
        self._members[self._start[own] + self._filled[own]] = position
        self._filled[own] += 1

    def _ranges(self, position: int) -> Iterator[tuple[int, int]]:
        of = self._of[position]
        own = of[of >= 0]
        return zip(self._start[own].tolist(), self._filled[own].tolist(), strict=True)
