"""Synthetic texts whose true similarity is known, and a join as the filter stage does it."""

import random
from collections.abc import Sequence

from spark_build.contract import Item, JoinGate


def words(rnd: random.Random, count: int) -> list[str]:
    return [f"w{rnd.randrange(20_000)}" for _ in range(count)]


def text_and_near_copy(rnd: random.Random, similarity: float, shingles: int = 400) -> tuple[str, str]:
    """Two texts whose sets of single words have this Jaccard similarity, as near as whole words allow."""
    own = round(shingles * (1 - similarity) / (1 + similarity))
    pool = rnd.sample(range(1_000_000), shingles + own)
    first = [f"w{n}" for n in pool[:shingles]]
    second = [f"w{n}" for n in pool[own:]]
    return " ".join(first), " ".join(second)


def item(text: object, number: int = 0, **more: object) -> Item:
    return Item(str(number), "source.txt", "train", {"text": text, **more})


def kept_after_join(gate: JoinGate, items: Sequence[Item]) -> tuple[list[int], int]:
    """Positions that stay when items are taken in this order, and how many pairs were compared."""
    signatures = [gate.signature(i) for i in items]
    kept = bytearray(b"\1" * len(items))
    compared = 0
    for i, j in gate.candidates(signatures, gate.params, lambda position: bool(kept[position])):
        if kept[i] and kept[j]:
            compared += 1
            kept[j] = not gate.is_similar(gate.similarity(items[i], items[j]), gate.params)
    return [n for n, is_kept in enumerate(kept) if is_kept], compared
