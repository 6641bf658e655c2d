"""Included Sparkfiles: each resolved by itself, then mounted below its folder in the one graph."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from spark_build.core.values import Struct, field, replace
from spark_build.engine.graph import Graph, Input, Node, Step
from spark_build.pinning import Lock
from sparkfile_schema import Problem
from sparkfile_schema.model import Import

T = TypeVar("T")


class Below(Struct, frozen=True):
    """An included Sparkfile, seen from its own folder."""

    folder: str  # 'asr', from the Sparkfile that includes it
    graph: Graph
    problems: tuple[Problem, ...] = ()
    unpinned: tuple[tuple[str, str], ...] = ()
    hub_ids: frozenset[str] = frozenset()
    imports: Mapping[str, Import] = field(default_factory=dict)


def mounted(below: Below) -> Iterator[Node]:
    """Its nodes as the whole graph has them: same keys, names and paths below the folder."""
    for node in below.graph.nodes.values():
        yield replace(
            node,
            stage=f"{below.folder}/{node.stage}",
            steps=tuple(_step(step, below.folder) for step in node.steps),
            inputs=_inputs(node.inputs, below.folder),
            guards=tuple(f"{below.folder}/{guard}" for guard in node.guards),
            libraries_policy=node.libraries_policy or below.graph.libraries_policy,
        )


def lock_below(lock: Lock, folder: str) -> Lock:
    """The lock as the included Sparkfile sees it: its own tags and tombstones by their short names, and every pin."""
    prefix, blocks = f"{folder}/", dict[tuple[str, str], str]()
    for (group, name), text in lock.blocks.items():
        if group in ("tags", "forgotten") and name.startswith(prefix):
            blocks[group, name.removeprefix(prefix)] = text
        elif group == "pins":
            path = name.removeprefix("path:")
            is_own = path != name and path.startswith(prefix)
            blocks[group, f"path:{path.removeprefix(prefix)}" if is_own else name] = text
    return Lock(blocks)


def seen_below(told: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """What was asked of the included project, by paths of the whole one."""

    def below(path: str) -> str:
        return posixpath.join(folder, path)

    return {
        **told,
        "present": {below(path): was for path, was in told["present"].items()},
        "sources": {below(path): was for path, was in told["sources"].items()},
        "globs": {below(p): [below(path) for path in found] for p, found in told["globs"].items()},
    }


def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two views were asked."""
    return {name: {**one[name], **other[name]} for name in one}


def _step(step: Step, folder: str) -> Step:
    return replace(step, inputs=_inputs(step.inputs, folder), folder=posixpath.join(folder, step.folder))


def _inputs(inputs: Mapping[str, Input], folder: str) -> dict[str, Input]:
    return {name: _input(given, folder) for name, given in inputs.items()}


def _input(given: Input, folder: str) -> Input:
    if given.path is not None:
        return replace(given, path=posixpath.normpath(posixpath.join(folder, given.path)))
    return replace(given, stage=f"{folder}/{given.stage}") if given.stage is not None else given
