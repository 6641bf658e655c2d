"""Sketches: a short signature of a set of shingles, and which sketches may belong to similar sets.

Neither sketch follows the threshold; how sketches are cut into bands does, at the time of the join.
"""

import math
import struct
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from spark_build.core.values import Struct

if TYPE_CHECKING:
    import numpy as np

RECALL = 0.999  # share of the pairs exactly at the threshold that become candidates
_MISS_EACH = (1 - RECALL) / 2  # the bands may miss this share, the agreement filter as much again
SIMHASH_BITS = 128
_SIMHASH_TABLES = 64


class Sketches(Protocol):
    """The sketches of all items, in the join's order."""

    def band_keys(self, threshold: float) -> Iterator["np.ndarray[Any, Any]"]:
        """One array of uint64 per band; two items that agree in any band are candidates."""

    def agree(self, one: int, others: "np.ndarray[Any, Any]", threshold: float) -> "np.ndarray[Any, Any]":
        """Which of `others` agree with `one` in as much of the sketch as similar items do."""


def minhashes(
    hashes: "np.ndarray[Any, Any]", firsts: "np.ndarray[Any, Any]", slots: int, seed: int
) -> list[bytes]:
    """Of each set of hashed shingles (uint64; set n from `firsts[n]` on) `slots` bytes.

    The share of equal slots estimates Jaccard similarity: a byte of a slot is enough, since the chance that others
    have the same one is known (`byte_agreement`).
    Source: Li and König 2010, "b-Bit Minwise Hashing", section 3.
    """
    import numpy as np
    import rensa

    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, firsts.astype(np.uint64), slots, seed
    )
    as_bytes = struct.Struct(f"<{slots}I")
    return [np.frombuffer(as_bytes.pack(*row), np.uint8)[::4].tobytes() for row in matrix.to_rows()]


def byte_agreement(similarity: float) -> float:
    """The chance that a byte of a slot is the same in two sets of this Jaccard similarity."""
    return similarity + (1 - similarity) / 256


class MinHashes(Struct, frozen=True):
    """Source: Broder 1997, "On the resemblance and containment of documents"; bands after Leskovec, Rajaraman
    and Ullman, "Mining of Massive Datasets", section 3.4."""

    rows: "np.ndarray[Any, Any]"  # (items, slots) uint8

    def band_keys(self, threshold: float) -> Iterator["np.ndarray[Any, Any]"]:
        bands, width = minhash_banding(threshold, self.rows.shape[1])
        for band in range(bands):
            yield _mixed(self.rows[:, band * width : (band + 1) * width])

    def agree(self, one: int, others: "np.ndarray[Any, Any]", threshold: float) -> "np.ndarray[Any, Any]":
        slots = self.rows.shape[1]
        equal = (self.rows[others] == self.rows[one]).sum(axis=1)
        least = least_agreement(slots, byte_agreement(threshold))
        agreeing: np.ndarray[Any, Any] = others[equal >= least]
        return agreeing


@lru_cache(maxsize=64)
def minhash_banding(threshold: float, slots: int) -> tuple[int, int]:
    """(bands, slots per band): the widest bands that still find a pair at the threshold often enough."""
    chance = byte_agreement(threshold)
    for width in range(slots, 1, -1):
        bands = slots // width
        if (1 - chance**width) ** bands <= _MISS_EACH:
            return bands, width
    return slots, 1


def simhash(shingles: Collection[str], seed: int) -> bytes:
    """`SIMHASH_BITS` bits; the share of equal bits estimates the angle between the two sets.

    Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms", section 3.
    """
    import numpy as np
    import xxhash

    hashes = b"".join(xxhash.xxh3_128_digest(shingle.encode(), seed) for shingle in shingles)
    bits = np.unpackbits(np.frombuffer(hashes, np.uint8).reshape(-1, SIMHASH_BITS // 8), axis=1)
    votes = bits.sum(axis=0, dtype=np.int64)
    return np.packbits(votes * 2 > len(bits)).tobytes()


class SimHashes(Struct, frozen=True):
    """Candidates agree in every bit of one of many fixed choices of bits.

    Blocks by the pigeonhole principle (Manku et al. 2007) don't help here: at a threshold of 0.9 similar
    items differ in up to 25 of 128 bits, which leaves blocks of 4 bits.
    """

    rows: "np.ndarray[Any, Any]"  # (items, 2) uint64

    def band_keys(self, threshold: float) -> Iterator["np.ndarray[Any, Any]"]:
        import numpy as np

        width = simhash_width(threshold)
        if 2**width < 4 * _SIMHASH_TABLES:  # tables this narrow hold everything: one bucket, all compared
            yield np.zeros(len(self.rows), np.uint64)
            return
        for table in range(_SIMHASH_TABLES):
            yield _mixed(self.rows & np.array(_bits_of_table(table, width), np.uint64))

    def agree(self, one: int, others: "np.ndarray[Any, Any]", threshold: float) -> "np.ndarray[Any, Any]":
        import numpy as np

        differing = np.bitwise_count(self.rows[others] ^ self.rows[one]).sum(axis=1, dtype=np.int64)
        least = least_agreement(SIMHASH_BITS, bit_agreement(threshold))
        agreeing: np.ndarray[Any, Any] = others[SIMHASH_BITS - differing >= least]
        return agreeing


def bit_agreement(threshold: float) -> float:
    """The chance that two sets of this Jaccard similarity agree in a bit (equal sizes; others agree more)."""
    return 1 - math.acos(min(1.0, 2 * threshold / (1 + threshold))) / math.pi


@lru_cache(maxsize=64)
def simhash_width(threshold: float) -> int:
    """Bits per table: the most that still find a pair at the threshold often enough."""
    return next((w for w in range(SIMHASH_BITS // 2, 0, -1) if _simhash_miss(threshold, w) <= _MISS_EACH), 0)


def _simhash_miss(threshold: float, width: int) -> float:
    chance = bit_agreement(threshold)
    missed = 0.0
    for agreeing in range(SIMHASH_BITS + 1):
        hit = math.comb(agreeing, width) / math.comb(SIMHASH_BITS, width)  # one table, all its bits agree
        missed += _binomial(SIMHASH_BITS, chance, agreeing) * (1 - hit) ** _SIMHASH_TABLES
    return missed


@lru_cache(maxsize=256)
def _bits_of_table(table: int, width: int) -> tuple[int, int]:
    import xxhash

    order = sorted(range(SIMHASH_BITS), key=lambda bit: xxhash.xxh3_64_intdigest(b"%d:%d" % (table, bit)))
    low, high = (sum(1 << (b % 64) for b in order[:width] if b // 64 == half) for half in (0, 1))
    return low, high


@lru_cache(maxsize=64)
def least_agreement(slots: int, chance: float) -> int:
    """How many slots must agree, so that a pair whose slots agree with this chance is hardly ever missed."""
    missed = 0.0
    for agreeing in range(slots + 1):
        missed += _binomial(slots, chance, agreeing)
        if missed > _MISS_EACH:
            return agreeing
    return slots


def _binomial(n: int, p: float, k: int) -> float:
    if p in (0.0, 1.0):
        return float(k == n * p)
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))


def _mixed(columns: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """One uint64 per row; rows that are equal get equal ones, and others hardly ever."""
    import numpy as np

    mixed = np.full(len(columns), 0x9E3779B97F4A7C15, np.uint64)
    for column in columns.T:
        mixed = (mixed ^ column.astype(np.uint64)) * np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's finaliser
        mixed ^= mixed >> np.uint64(32)
    return mixed
