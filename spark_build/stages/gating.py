"""What a gate is given and what it leaves."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.rules import digest_of_fields
from spark_build.core.job import JobStep
from spark_build.core.values import Struct, field
from spark_build.stages.rejected import Rejected


class Candidate(Struct):
    """An item before the gates, or between two of them."""

    item: Item
    number: int  # in canonical order
    _digests: dict[tuple[str, ...], bytes] = field(default_factory=dict)

    def digest(self, names: Sequence[str]) -> bytes:
        """Of the fields that an operation reads; gates that read the same ones share it."""
        key = tuple(names)
        if key not in self._digests:
            self._digests[key] = digest_of_fields(self.item, key)
        return self._digests[key]


class Gated(Struct):
    kept: list[Candidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    handled: set[int] = field(default_factory=set)  # numbers of candidates that an operation ran for
    replaced: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)


def rejection(candidate: Candidate, step: JobStep, reason: str, **rest: Any) -> Rejected:
    item = candidate.item
    place = (item.split, candidate.number, 0)  # canonical order, the split first
    return Rejected(place, item.id, item.source, item.split, step.label or step.rule, reason, **rest)
