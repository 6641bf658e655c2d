"""The graph of a Sparkfile: resolved once, then taken from the state while nothing that shaped it has moved."""

from __future__ import annotations  # what they name need not be loaded

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from spark_build import __version__
from spark_build.core.digest import Digest, digest_bytes, digest_json
from spark_build.core.errors import UsageError

if TYPE_CHECKING:
    from spark_build.core.ports import World
    from spark_build.engine.graph import Graph
    from spark_build.pinning import Lock
    from spark_build.pipeline.project_view import ProjectView


class Facts(Protocol):
    def get(self, name: str) -> bytes | None: ...

    def put(self, name: str, value: bytes) -> None: ...


@dataclass(frozen=True)
class Request:
    """What is asked of a Sparkfile besides its text."""

    file: Path
    profile: str | None = None
    sets: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def root(self) -> Path:
        return self.file.parent

    @property
    def name(self) -> Digest:
        """What is asked, wherever the project lies."""
        return digest_json([self.file.name, self.profile, self.sets, self.limit])

    @property
    def is_override(self) -> bool:
        return bool(self.profile or self.sets or self.limit is not None)


class Loaded(NamedTuple):
    graph: Graph
    cached_as: Digest  # what `still_cached` answers while nothing that shaped the graph has moved


def load_graph(request: Request, lock: Lock, world: World, facts: Facts) -> Loaded:
    """The graph, from the cache where it still holds.

    Errors: UsageError with every problem of the Sparkfile, sorted by line; hub ids that are not pinned.
    """
    from spark_build.engine.graph import Graph

    text = _read(request.file)
    stamp = _stamp(text)  # as things are before they are looked at
    head = facts.get(f"graph head:{request.name}")
    if head is not None:
        known = json.loads(head)
        # first of all the tool: what another version has written may look otherwise
        if _still_holds(known, stamp, request.root, world) and known["pins"] == _pins(lock):
            nodes = facts.get(f"graph nodes:{request.name}")
            if nodes is not None and digest_bytes(nodes) == known["nodes"]:
                return Loaded(Graph.from_json(json.loads(nodes)), digest_bytes(head))
    graph, seen = _resolved(text, request, lock, world)
    nodes = json.dumps(graph.to_json()).encode()
    head = json.dumps({**seen, **stamp, "pins": _pins(lock), "nodes": digest_bytes(nodes)}).encode()
    if graph.nodes or graph.deployments:
        facts.put(f"graph nodes:{request.name}", nodes)
        facts.put(f"graph head:{request.name}", head)
    return Loaded(graph, digest_bytes(head))


def still_cached(request: Request, world: World, facts: Facts) -> Digest | None:
    """Which graph `load_graph` would take from the cache, given that the lock's pins have not moved."""
    head = facts.get(f"graph head:{request.name}")
    stamp = _stamp(_read(request.file))
    if head is None or not _still_holds(json.loads(head), stamp, request.root, world):
        return None
    return digest_bytes(head)


def check(request: Request, lock: Lock, world: World) -> list[str]:
    """Every problem of the Sparkfile as text; [] where it is good. Pins are not asked for."""
    resolved, _ = _resolve(_read(request.file), request, lock, world)
    return [str(problem) for problem in resolved.problems]


def outside(request: Request, lock: Lock, world: World) -> tuple[list[str], dict[str, str]]:
    """Every hub id, and every result of an import with its place, that the Sparkfile names, pinned or not."""
    resolved, _ = _resolve(_read(request.file), request, lock, world)
    if resolved.problems:
        raise UsageError("\n".join(str(p) for p in resolved.problems))
    return sorted(resolved.hub_ids), dict(sorted(resolved.imports.items()))


def resolved_graph(request: Request, lock: Lock, world: World, view: ProjectView) -> Graph:
    """The graph of the project as `view` shows it. Errors: as of `load_graph`."""
    return _resolved(_read(request.file), request, lock, world, view)[0]


def _resolved(
    text: bytes, request: Request, lock: Lock, world: World, view: ProjectView | None = None
) -> tuple[Graph, dict[str, Any]]:
    resolved, seen = _resolve(text, request, lock, world, view)
    if resolved.problems:
        raise UsageError("\n".join(str(problem) for problem in resolved.problems))
    if resolved.unpinned:
        lines = [
            f"{at}: '{name}': another project's result that is not pinned"
            if name in resolved.imports
            else f"{at}: '{name}': no folder here, and no hub id that is pinned"
            for name, at in resolved.unpinned
        ]
        fix = "hub ids and imports are pinned by: spark update"
        if not all(name in resolved.imports for name, _ in resolved.unpinned):
            fix = "check the path; a hub id is pinned by: spark update"
        raise UsageError("\n".join(dict.fromkeys(lines)), fix=fix)
    return resolved.graph, seen


def _resolve(
    text: bytes, request: Request, lock: Lock, world: World, view: ProjectView | None = None
) -> tuple[Any, dict[str, Any]]:
    from spark_build.app.resolving import resolve_all
    from spark_build.pipeline.project_view import ProjectView
    from sparkfile_schema import parse

    parsed = parse(
        text, file=request.file.name, profile=request.profile, overrides=request.sets, env=os.environ
    )
    resolved, seen = resolve_all(parsed, view or ProjectView(request.root), lock, request.limit)
    return resolved, {**seen, "env": {name: _env(world, name) for name in sorted(seen["env"])}}


def _still_holds(known: Mapping[str, Any], stamp: Mapping[str, Digest], root: Path, world: World) -> bool:
    """Whether text and tool are the same, and all that was asked of the project would be answered alike."""
    prefix = f"{root}{os.sep}"
    return (
        all(known.get(name) == now for name, now in stamp.items())
        and all(os.path.exists(prefix + path) == was for path, was in known["present"].items())
        and all(_env(world, name) == was for name, was in known["env"].items())
        and all(world.file(path) == was for path, was in known["sources"].items())
        and all(_mtime(path) == was for path, was in known["installed"].items())
        and _globs_hold(known["globs"], root)
    )


def _globs_hold(globs: Mapping[str, Sequence[str]], root: Path) -> bool:
    if not globs:
        return True
    from spark_build.pipeline.project_view import glob_in

    return all(list(glob_in(root, pattern)) == list(found) for pattern, found in globs.items())


def _mtime(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _env(world: World, name: str) -> str:
    value = world.env(name)
    return "unset" if value is None else digest_bytes(value.encode())


def _stamp(text: bytes) -> dict[str, Digest]:
    """Of the Sparkfile, and of the tool with all that is installed beside it."""
    return {"text": digest_bytes(text), "tool": digest_json([__version__, sys.version, _installation()])}


def _pins(lock: Lock) -> Digest:
    return digest_bytes(lock.pins_and_tags().encode())


def _installation() -> list[Any]:
    """Stats that move when a package comes or goes, or a rule of ours is edited."""
    seen: list[Any] = []
    for folder in sys.path:
        if folder.endswith("-packages"):
            try:
                seen.append([folder, os.stat(folder).st_mtime_ns])
            except OSError:
                continue
    ours = os.path.dirname(os.path.dirname(__file__))
    for folder in (ours, os.path.join(os.path.dirname(ours), "sparkfile_schema")):
        seen += sorted(_sources_below(folder))
    return seen


def _sources_below(folder: str) -> Iterator[list[Any]]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _sources_below(entry.path)
        elif entry.name.endswith(".py"):
            yield [entry.path, entry.stat().st_mtime_ns]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"no {file.name} in {file.parent}",
            fix="spark init makes one; -C DIR or -f FILE name another place",
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{file.name} is a folder", fix="-f FILE names another Sparkfile") from None
    except OSError as error:
        raise UsageError(f"{file.name}: {error.strerror}", fix="make it readable") from None


__all__ = ["Request", "check", "load_graph", "outside", "resolved_graph", "still_cached"]
