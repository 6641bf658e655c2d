"""What is told of a field: how many rows have it, how its figures spread, its labels; of media by what `meta` knows."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract.counting import MEDIA_COUNTED, MEDIA_FIGURES, read_column
from spark_build.contract.media import facts_in
from spark_build.core.values import Struct, field

if TYPE_CHECKING:
    import numpy as np


class Spread(Struct, frozen=True):
    """Least, middle (the lower of two) and greatest."""

    least: float
    median: float
    greatest: float


class FieldFacts(Struct, frozen=True):
    kind: str
    filled: int  # rows with a value
    spreads: Mapping[str, Spread]  # by what is counted: characters, words, turns, value
    labels: Mapping[str, int] = field(default_factory=dict)  # rows by label, the most frequent first


def spread_of(counts: "np.ndarray[Any, Any]") -> Spread:
    import numpy as np

    ordered = np.sort(counts)
    return Spread(float(ordered[0]), float(ordered[(len(ordered) - 1) // 2]), float(ordered[-1]))


def media_facts(shards: Sequence[Path], name: str, kind: str) -> FieldFacts:
    """From `meta` alone: the media themselves are not read."""
    import numpy as np

    figures: dict[str, list[float]] = {}
    labels: Counter[str] = Counter()
    filled = 0
    for facts in _known(shards, name):
        filled += 1
        labels.update(f"{fact}: {facts[fact]}" for fact in MEDIA_COUNTED if fact in facts)
        for fact, unit in MEDIA_FIGURES.items():
            if fact in facts:
                figures.setdefault(unit, []).append(facts[fact])
    by_frequency = sorted(labels.items(), key=lambda counted: (-counted[1], counted[0]))
    spreads = {unit: spread_of(np.array(values, np.float64)) for unit, values in figures.items()}
    return FieldFacts(kind, filled, spreads, dict(by_frequency))


def _known(shards: Sequence[Path], name: str) -> Iterator[dict[str, Any]]:
    for column in read_column(shards, "meta"):
        metas = (json.loads(meta) for meta in column.to_pylist() if meta)
        yield from (facts for meta in metas if (facts := facts_in(meta, name)))
