"""What a stage takes of the machine: cores, GPUs, and processes that work on its items."""

from collections.abc import Iterable

from spark_build.core.job import Job
from spark_build.engine.graph import Node

_ITEM_BY_ITEM = ("ingest", "filter")


def cores_of(node: Node) -> int:
    return int(node.resources.get("cpus") or (node.numerics or {}).get("threads") or 1)


def gpus_of(node: Node) -> int:
    return int(node.resources.get("gpus") or 0)


def processes_of(node: Node, running: Iterable[tuple[Node, Job]], starting: int, most: int) -> int:
    """What it declares; else its share of what is free of `most`, where so many stages start now.

    Nothing is left for later on purpose: a stage gets ready when another one has ended, which gives back its own.
    """
    if node.kind not in _ITEM_BY_ITEM:
        return 1
    if declared := node.resources.get("cpus"):
        return int(declared)
    taken = sum(max(cores_of(other), job.processes) for other, job in running)
    return max(1, (most - taken) // starting)
