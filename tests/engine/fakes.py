"""Ports of our own, in memory: the engine is tested without files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.record import Record
from spark_build.core.tree import Entry, Tree
from spark_build.engine.action import Manifest, key_of, loose_key_of
from spark_build.engine.graph import Graph, Input, Node, Step
from spark_build.engine.plan import Plan, Planner


def tree(**files: str) -> Tree:
    """`tree(a='text')`: names stand for paths, '__' for '/'."""
    return Tree.of(
        Entry(name.replace("__", "/"), len(text), digest_bytes(text.encode())) for name, text in files.items()
    )


@dataclass
class FakeWorld:
    folders: dict[str, Tree] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)

    def tree(self, path: str, ignore: Iterable[str] = ()) -> Tree:
        return self.folders[path]

    def file(self, path: str) -> Digest | None:
        return self.folders[path].digest if path in self.folders else None

    def env(self, name: str) -> str | None:
        return self.variables.get(name)

    def tool(self, name: str) -> str:
        return self.tools[name]

    def library(self, name: str) -> str | None:
        return self.versions.get(name)


@dataclass
class FakeStore:
    """Objects, Records and History at once."""

    trees: dict[Digest, Tree] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    records: dict[Digest, Record] = field(default_factory=dict)
    last_keys: dict[str, list[Digest]] = field(default_factory=dict)
    absent: set[Digest] = field(default_factory=set)
    most_keys: int = 20

    def missing(self, digest: Digest) -> list[Digest]:
        return [digest] if digest in self.absent else []

    def read(self, digest: Digest) -> bytes:
        return self.blobs[digest]

    def get(self, key: Digest) -> Record | None:
        return self.records.get(key)

    def like(self, loose_key: Digest) -> list[Record]:
        return [r for r in reversed(self.records.values()) if r.loose_key == loose_key]

    def all(self) -> Iterator[Record]:
        yield from self.records.values()

    def last(self, stage: str) -> Digest | None:
        return next(iter(self.last_keys.get(stage, [])), None)

    def keys(self, stage: str) -> list[Digest]:
        return self.last_keys.get(stage, [])


class Bench:
    """A small project: edit `world` and `nodes`, ask for a plan, or pretend to build."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = {node.stage: node for node in nodes}
        self.world, self.store = FakeWorld(), FakeStore()

    def graph(self) -> Graph:
        return Graph.of(self.nodes.values())

    def plan(self, *asked: str, strict: bool = False, again: Iterable[str] = ()) -> Plan:
        graph = self.graph()
        planner = Planner(
            graph,
            self.world,
            self.store,
            self.store,
            self.store,
            is_strict=strict,
            again=again,  # type: ignore[arg-type]
        )
        return planner.plan(asked or list(graph.nodes))

    def states(self, *asked: str) -> dict[str, str]:
        return {s.stage: s.state for s in self.plan(*asked).stages}

    def reasons(self, stage: str) -> list[tuple[str, str]]:
        return [(r.kind, r.name) for r in self.plan()[stage].reasons]

    def built(self, stage: str, output: Tree) -> Record:
        """As if `stage` had run just now and given `output`."""
        plan = self.plan(stage)[stage]
        assert plan.state == "run", plan
        assert plan.manifest is not None
        return self.recorded(stage, plan.manifest, output)

    def recorded(self, stage: str, manifest: Manifest, output: Tree) -> Record:
        """What a build leaves of one stage."""
        key = key_of(manifest)
        record = Record(
            key,
            loose_key_of(manifest),
            stage,
            manifest,
            output.digest,
            output.parts(),
            output.size,
            1.0,
            "2026-01-01T00:00:00+00:00",
        )
        self.store.records[key] = record
        self.store.trees[output.digest] = output
        self.store.absent.discard(output.digest)
        self.store.last_keys.setdefault(stage, []).insert(0, key)
        for folder in self.world.folders.values():
            self.store.blobs[folder.digest] = folder.listing
        return record


def step(rule: str = "rule", **more: object) -> Step:
    return Step(rule, "gate", f"module:{rule}", **{"revision": 1, **more})  # type: ignore[arg-type]


def node(
    stage: str,
    *steps: Step,
    kind: str = "filter",
    reads: dict[str, tuple[str, ...]] | None = None,
    **more: object,
) -> Node:
    """A node that reads the given parts of other stages."""
    inputs = {
        other.replace("/", "."): Input(stage=other, parts=parts) for other, parts in (reads or {}).items()
    }
    return Node(stage, kind, steps or (step(),), 1, inputs=inputs, **more)  # type: ignore[arg-type]
