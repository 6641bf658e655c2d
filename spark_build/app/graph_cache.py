"""The graph of a Sparkfile: resolved once, then taken from the state while nothing that shaped it has moved."""

from __future__ import annotations  # what they name need not be loaded

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.errors import UsageError
from spark_build.core.trust import SCOPE_VARIABLE
from spark_build.core.values import Struct, field, replace
from spark_build.graph_stamp import digest_of_variable, name_of_request, read_sparkfile, stamp, still_shapes

if TYPE_CHECKING:
    from spark_build.core.ports import World
    from spark_build.engine.graph import Graph
    from spark_build.pinning import Lock
    from spark_build.pipeline.project_view import ProjectView
    from sparkfile_schema.model import Import


class Facts(Protocol):
    def get(self, name: str) -> bytes | None: ...

    def put(self, name: str, value: bytes) -> None: ...


class Request(Struct, frozen=True):
    """What is asked of a Sparkfile besides its text."""

    file: Path
    profile: str | None = None
    sets: tuple[str, ...] = ()
    limit: int | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def root(self) -> Path:
        return self.file.parent

    @property
    def name(self) -> Digest:
        """What is asked, wherever the project lies."""
        return name_of_request(str(self.file), self.profile, self.sets, self.limit)

    @property
    def is_override(self) -> bool:
        return bool(self.profile or self.sets or self.limit is not None)


class Loaded(NamedTuple):
    graph: Graph
    shaped_by: Mapping[str, Any]  # while none of this has moved, it is the same graph again


def load_graph(request: Request, lock: Lock, world: World, facts: Facts) -> Loaded:
    """The graph, from the cache where it still holds.

    Errors: UsageError with every problem of the Sparkfile, sorted by line; hub ids that are not pinned.
    """
    from spark_build.engine.graph import Graph

    text = read_sparkfile(str(request.file))
    now = stamp(text)  # as things are before they are looked at
    head = facts.get(f"graph head:{request.name}")
    if head is not None:
        known = json.loads(head)
        # first of all the tool: what another version has written may look otherwise
        if _still_holds(known, now, request.root, world) and known["pins"] == _pins(lock):
            nodes = facts.get(f"graph nodes:{request.name}")
            if nodes is not None and digest_bytes(nodes) == known["nodes"]:
                return Loaded(Graph.of_bytes(nodes), known)
    graph, seen = _resolved(text, request, lock, world)
    nodes = graph.to_bytes()
    shaped_by = {**seen, **now, "pins": _pins(lock), "nodes": digest_bytes(nodes)}
    if graph.nodes or graph.deployments:
        facts.put(f"graph nodes:{request.name}", nodes)
        facts.put(f"graph head:{request.name}", json.dumps(shaped_by).encode())
    return Loaded(graph, shaped_by)


def check(request: Request, lock: Lock, world: World) -> list[str]:
    """Every problem of the Sparkfile as text; [] where it is good. Pins are not asked for."""
    resolved, _ = _resolve(read_sparkfile(str(request.file)), request, lock, world)
    return [str(problem) for problem in resolved.problems]


def outside(request: Request, lock: Lock, world: World) -> tuple[list[str], dict[str, Import], Graph]:
    """Hub ids, and results of imports with whose they are, that the Sparkfile names, pinned or not; and its graph."""
    resolved, _ = _resolve(read_sparkfile(str(request.file)), request, lock, world)
    if resolved.problems:
        raise UsageError("\n".join(str(p) for p in resolved.problems))
    return sorted(resolved.hub_ids), dict(sorted(resolved.imports.items())), resolved.graph


def resolved_graph(request: Request, lock: Lock, world: World, view: ProjectView) -> Graph:
    """The graph of the project as `view` shows it. Errors: as of `load_graph`."""
    return _resolved(read_sparkfile(str(request.file)), request, lock, world, view)[0]


def _resolved(
    text: bytes, request: Request, lock: Lock, world: World, view: ProjectView | None = None
) -> tuple[Graph, dict[str, Any]]:
    resolved, seen = _resolve(text, request, lock, world, view)
    if resolved.problems:
        raise UsageError("\n".join(str(problem) for problem in resolved.problems))
    if resolved.unpinned:
        raise _unpinned(resolved)
    return resolved.graph, seen


def _unpinned(resolved: Any) -> UsageError:
    from spark_build.pinning import SOURCE_PIN

    lines, may_be_paths = dict[str, None](), False
    for name, at in resolved.unpinned:
        if name in resolved.imports:
            told = f"'{name}': another project's result that is not pinned"
        elif name.startswith(SOURCE_PIN):
            rule = name.removeprefix(SOURCE_PIN).split()[0]
            told = f"what '{rule}' reads from outside is not pinned as it stands here"
        else:
            told, may_be_paths = f"'{name}': no folder here, and no hub id that is pinned", True
        lines[f"{at}: {told}"] = None
    fix = "hub ids, imports and outside sources are pinned by: spark update"
    if may_be_paths:
        fix = "check the path; a hub id is pinned by: spark update"
    return UsageError("\n".join(lines), fix=fix)


def _resolve(
    text: bytes, request: Request, lock: Lock, world: World, view: ProjectView | None = None
) -> tuple[Any, dict[str, Any]]:
    from spark_build.app.resolving import resolve_all
    from spark_build.pipeline.project_view import ProjectView
    from sparkfile_schema import parse

    parsed = parse(
        text, file=request.file.name, profile=request.profile, overrides=request.sets, env=request.env
    )
    resolved, seen = resolve_all(parsed, view or ProjectView(request.root), lock, request.limit, request.env)
    if request.is_override:
        resolved = replace(resolved, graph=resolved.graph.unpublished())
    return resolved, {
        **seen,
        "env": {name: digest_of_variable(world.env(name)) for name in sorted({*seen["env"], SCOPE_VARIABLE})},
    }


def _still_holds(known: Mapping[str, Any], now: Mapping[str, Digest], root: Path, world: World) -> bool:
    """Whether text and tool are the same, and all that was asked of the project would be answered alike."""
    return still_shapes(known, now, str(root), world.env) and all(
        world.file(path) == was for path, was in known["sources"].items()
    )


def _pins(lock: Lock) -> Digest:
    return digest_bytes(lock.pins_and_tags().encode())


__all__ = ["Request", "check", "load_graph", "outside", "resolved_graph"]
