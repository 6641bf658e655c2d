"""An order in which stages can run, and the cycle where there is none."""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

Befores = Mapping[str, Iterable[str]]  # stage -> those that it waits for


def topological(befores: Befores) -> list[str]:
    """All stages, each behind those that it waits for; of those that are ready the one given first comes first."""
    stages = list(befores)
    position = {stage: index for index, stage in enumerate(stages)}
    waits_for = [{position[before] for before in befores[stage]} for stage in stages]
    readers: list[list[int]] = [[] for _ in stages]
    for index, before in enumerate(waits_for):
        for other in before:
            readers[other].append(index)
    open_count = [len(before) for before in waits_for]
    ready = [index for index, count in enumerate(open_count) if count == 0]
    heapify(ready)
    order = []
    while ready:
        index = heappop(ready)
        order.append(stages[index])
        for reader in readers[index]:
            open_count[reader] -= 1
            if open_count[reader] == 0:
                heappush(ready, reader)
    if len(order) < len(stages):
        raise ValueError(f"BUG: a cycle: {cycle_in(befores)}")
    return order


def cycle_in(befores: Befores) -> list[str]:
    """A cycle's stages, each in front of one that waits for it; [] where there is none.

    A stage that is waited for and not there is passed over.
    """
    done: set[str] = set()
    for start in befores:
        path: dict[str, None] = {}  # from `start` on, each waits for the next
        todo = [iter([start])]
        while todo:
            stage = next(todo[-1], None)
            if stage is None:
                todo.pop()
                if path:
                    done.add(path.popitem()[0])
            elif stage in path:
                on_the_way = list(path)
                return on_the_way[on_the_way.index(stage) :][::-1]
            elif stage in befores and stage not in done:
                path[stage] = None
                todo.append(iter(befores[stage]))
    return []
