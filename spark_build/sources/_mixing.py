"""How much of each dataset a mix takes, and which of its items: by hash of their ids, never by their order."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

from spark_build.core.digest import canonical_json
from spark_build.core.values import Struct

Stop = Literal["first_exhausted", "all_exhausted"] | int


class Candidate(Struct, frozen=True):
    """An item that may be taken."""

    number: int
    id: str
    size: int  # in the unit of the mix: 1 for rows


def amounts(available: Mapping[str, int], weights: Mapping[str, Fraction], stop: Stop) -> dict[str, Fraction]:
    """How much is taken of each dataset in one split, in proportion to the weights of those that have it at all.

    first_exhausted: as much as there can be without taking any item twice; the scarcest dataset goes in whole.
    all_exhausted: as little as there can be with every dataset whole; the others' items come again.
    A number: so much in all; where a dataset has less than its share, its items come again.
    """
    there = {name: weights[name] for name in sorted(weights) if available.get(name)}
    whole = sum(there.values())
    totals = [available[name] * whole / weight for name, weight in there.items()]
    total = (
        Fraction(stop) if isinstance(stop, int) else min(totals) if stop == "first_exhausted" else max(totals)
    )
    return {name: total * weight / whole for name, weight in there.items()}


def rounded(shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Whole numbers with the nearest sum: what is left over goes where most was cut off, then by name."""
    counts = {name: int(share) for name, share in shares.items()}
    left = round(sum(shares.values())) - sum(counts.values())
    by_remainder = sorted(shares, key=lambda name: (counts[name] - shares[name], name))
    return {name: count + (name in by_remainder[:left]) for name, count in counts.items()}


def chosen(candidates: Sequence[Candidate], amount: int | Fraction, seed: int) -> list[int]:
    """Numbers of the items that come to the amount, as near as whole items can; beyond all of them they come again."""
    in_all = sum(one.size for one in candidates)
    again = int(amount // in_all)
    ordered = sorted(candidates, key=lambda one: (_draw(one.id, seed), one.id))
    taken, rest = [one.number for one in candidates] * again, amount - again * in_all
    for one in ordered:
        if 2 * rest < one.size or not rest:
            break
        taken.append(one.number)
        rest -= one.size
    return sorted(taken)


def spread(
    total: int, available: Mapping[str, Mapping[str, int]], weights: Mapping[str, Fraction]
) -> dict[str, int]:
    """`total` over the splits, in proportion to what each has before an item has to come twice."""
    room = {
        split: sum(amounts(found, weights, "first_exhausted").values())
        for split, found in sorted(available.items())
    }
    return rounded({split: total * Fraction(one) / sum(room.values()) for split, one in room.items()})


def _draw(item_id: str, seed: int) -> int:
    import xxhash

    return xxhash.xxh3_64_intdigest(canonical_json(["mix", seed, item_id]))
