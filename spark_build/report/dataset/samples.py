"""Samples that hang on nothing but ids: those with the smallest hashes."""

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class Sample(Generic[T]):
    """At most `most` of what is offered, whatever the order that it comes in."""

    def __init__(self, most: int) -> None:
        self._most, self._offered = most, 0
        self._kept: list[tuple[int, str, T]] = []  # the largest hash first

    def offer(self, item: str, value: T) -> None:
        import xxhash

        self._offered += 1
        rank = -xxhash.xxh3_64_intdigest(item.encode("utf-8", "replace"))
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, (rank, item, value))
        elif self._kept and rank > self._kept[0][0]:
            heapq.heapreplace(self._kept, (rank, item, value))

    @property
    def values(self) -> list[T]:
        return [value for _, _, value in sorted(self._kept, key=lambda kept: (-kept[0], kept[1]))]

    @property
    def left_out(self) -> int:
        return self._offered - len(self._kept)


class Counted:
    """How often each name came; beyond `most` different ones only how many more there were."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self.counts: dict[str, int] = {}
        self.others = 0  # values whose name came too late to be counted by itself

    def add(self, name: str, count: int = 1) -> None:
        if name in self.counts or len(self.counts) < self._most:
            self.counts[name] = self.counts.get(name, 0) + count
        else:
            self.others += count

    def by_frequency(self) -> dict[str, int]:
        return dict(sorted(self.counts.items(), key=lambda counted: (-counted[1], counted[0])))
