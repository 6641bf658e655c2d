"""Candidate pairs by the Hamming distance of 64-bit hashes, of which each item has several."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Two hashes that differ in at most 11 bits differ in at most 2 within one of 4 bands: none of them is missed.
MOST_BITS = 11
_BANDS, _BAND_BITS, _BAND_FLIPS = 4, 16, 2


def near_pairs(
    hashes: "np.ndarray[Any, Any]", is_kept: Callable[[int], bool], leading: int = 1
) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, where a leading hash of one is near to any hash of the other; by ascending j, then i.

    Shape of `hashes`: (items, hashes of each), uint64. Of items that are not kept none is named as i.
    """
    import numpy as np

    first, all_of_them = _Bands(hashes[:, :leading]), _Bands(hashes)
    gone = np.zeros(len(hashes), np.bool_)
    for j in range(1, len(hashes)):
        found = np.concatenate([all_of_them.near(hashes[j, :leading]), first.near(hashes[j])])
        found = np.unique(found[found < j])
        for i in found[~gone[found]].tolist():
            yield i, j
            if not is_kept(j):
                break
        gone[j] = not is_kept(j)


class _Bands:
    """Hashes by the value of each of their bands."""

    def __init__(self, hashes: "np.ndarray[Any, Any]") -> None:
        import numpy as np

        self._hashes, self._per_item = hashes.ravel(), hashes.shape[1]
        self._order, self._starts = [], []
        for keys in _band_keys(self._hashes):
            self._order.append(np.argsort(keys, kind="stable"))
            counts = np.bincount(keys, minlength=1 << _BAND_BITS)
            self._starts.append(np.concatenate([[0], np.cumsum(counts)]))
        self._flips = _flips()

    def near(self, wanted: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Items of which a hash is near to one of `wanted`, some of them several times."""
        import numpy as np

        found = [np.zeros(0, np.int64)]
        for band, keys in enumerate(_band_keys(wanted)):
            probes = (keys[:, None] ^ self._flips).ravel()
            starts = self._starts[band][probes]
            counts = self._starts[band][probes + 1] - starts
            owners = np.repeat(np.arange(len(wanted)).repeat(len(self._flips)), counts)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            places = self._order[band][np.repeat(starts, counts) + within]
            distances = np.bitwise_count(self._hashes[places] ^ wanted[owners])
            found.append(places[distances <= MOST_BITS] // self._per_item)
        return np.concatenate(found)


def _band_keys(hashes: "np.ndarray[Any, Any]") -> Iterator["np.ndarray[Any, Any]"]:
    import numpy as np

    for band in range(_BANDS):
        yield ((hashes >> np.uint64(band * _BAND_BITS)) & np.uint64((1 << _BAND_BITS) - 1)).astype(np.int64)


def _flips() -> "np.ndarray[Any, Any]":
    """Every way to change at most two bits of a band."""
    import numpy as np

    bits = [1 << bit for bit in range(_BAND_BITS)]
    masks = [sum(chosen) for count in range(_BAND_FLIPS + 1) for chosen in combinations(bits, count)]
    return np.array(masks, np.int64)
