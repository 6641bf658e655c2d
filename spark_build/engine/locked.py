"""The plan that the lock gives: keys from graph and pins, results from the lock's blocks; no store is asked."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from spark_build.core.digest import Digest
from spark_build.core.errors import Unavailable
from spark_build.core.ports import Objects, World
from spark_build.core.tree import Tree
from spark_build.core.values import Struct, field, replace
from spark_build.engine.action import Manifest, counted_version, key_of, manifest_of
from spark_build.engine.explain import Reason, differences
from spark_build.engine.graph import Graph, Input, Node
from spark_build.engine.plan import Plan, StagePlan

NOT_INSTALLED = "not installed"


class Block(Struct, frozen=True):
    """What the lock says of one stage."""

    key: Digest
    output: Digest
    parts: Mapping[str, Digest]
    manifest: Manifest = field(default_factory=dict)  # without inputs and libraries, which stand beside it
    inputs: Mapping[str, Digest] = field(default_factory=dict)  # of the project, by the input's name
    libraries: Mapping[str, str] = field(default_factory=dict)  # full versions


class PinnedWorld(World, Protocol):
    def is_known(self, path: str) -> bool:
        """Whether the lock pins `path`, or the checkout holds it as a part of the commit."""


class LockedPlanner:
    """Asks whether the lock fits. Where Artifacts lie is not asked, and data need not be there."""

    def __init__(
        self,
        graph: Graph,
        world: PinnedWorld,
        objects: Objects,
        blocks: Mapping[str, Block],
        *,
        is_strict: bool = False,
    ) -> None:
        self.graph, self.world, self.objects, self.blocks = graph, world, objects, blocks
        self.is_strict = is_strict

    def plan(self, asked: Iterable[str]) -> Plan:
        plans: dict[str, StagePlan] = {}
        for stage in self.graph.closure(asked):
            node = self.graph.nodes[stage]
            waits_for = sorted(s for s in node.upstream() if plans[s].state != "fresh")
            plans[stage] = self._maybe(node, waits_for) if waits_for else self._known(node)
        return Plan(tuple(plans.values()))

    def _known(self, node: Node) -> StagePlan:
        block = self.blocks.get(node.stage)
        if unknown := self._unpinned(node):
            return StagePlan(node.stage, "run", reasons=(*unknown, *self._own_causes(node, block)))
        world = _StageWorld(self.world, block)
        manifest = manifest_of(node, self.graph, world, self._parts_of)
        key = key_of(manifest)
        if block is not None and key == block.key:
            return self._fresh(node, block)
        if block is not None and (drift := self._drift(node, block, world)):
            return replace(self._fresh(node, block), drift=drift)
        reasons = self._own_causes(node, block) or self._other_inputs(node)
        return StagePlan(node.stage, "run", key, reasons=reasons, manifest=manifest)

    def _fresh(self, node: Node, block: Block) -> StagePlan:
        return StagePlan(node.stage, "fresh", block.key, block.output)

    def _maybe(self, node: Node, waits_for: list[str]) -> StagePlan:
        upstream = tuple(Reason("upstream", stage) for stage in waits_for)
        own = (*self._unpinned(node), *self._own_causes(node, self.blocks.get(node.stage)))
        return StagePlan(node.stage, "maybe", reasons=(*own, *upstream))

    def _parts_of(self, stage: str) -> Mapping[str, Digest]:
        return self.blocks[stage].parts

    def _drift(self, node: Node, block: Block, world: "_StageWorld") -> tuple[str, ...]:
        """What drifted where library versions alone tell a training from the lock's."""
        if node.kind != "train" or self.is_strict:
            return ()
        then = replace(world, only_the_locks_libraries=True)
        if key_of(manifest_of(node, self.graph, then, self._parts_of)) != block.key:
            return ()
        policy = node.libraries_policy or self.graph.libraries_policy
        names = sorted({name for step in node.steps for name in step.libraries} | set(node.libraries))
        versions = [(n, *(counted_version(w.library(n), policy) for w in (then, world))) for n in names]
        return tuple(f"{name} {old} → {new}" for name, old, new in versions if old != new)

    def _unpinned(self, node: Node) -> list[Reason]:
        """Inputs of which nobody knows the content: the lock doesn't name them, the commit doesn't hold them."""
        return [
            Reason("input", given.path, new="not in the lock", at=given.at)
            for _, given in node.all_inputs()
            if given.path is not None and not self.world.is_known(given.path)
        ]

    def _own_causes(self, node: Node, block: Block | None) -> tuple[Reason, ...]:
        """What tells the stage from its block, whatever the stages before it give."""
        if block is None:
            return (Reason("new", node.stage, at=node.at or None),)
        known = _only_known(node, self.world)
        world = _StageWorld(self.world, block)
        now = manifest_of(known, self.graph, world, None)
        then = manifest_of_block(known, block, node.libraries_policy or self.graph.libraries_policy)
        found = differences(then, now, known, self.objects, self.world)
        return tuple(reason for reason in found if reason.kind != "upstream")

    def _other_inputs(self, node: Node) -> tuple[Reason, ...]:
        """Nothing of its own has changed, so one of these gave something else when the block was written."""
        return tuple(Reason("upstream", stage) for stage in sorted(node.upstream())) or (
            Reason("input", node.stage, at=node.at or None),
        )


class _StageWorld(Struct, frozen=True):
    """The world as one stage's block completes it: what is not installed counts at the lock's version."""

    world: World
    block: Block | None
    only_the_locks_libraries: bool = False

    def tree(self, path: str, ignore: Iterable[str] = ()) -> Tree:
        return self.world.tree(path, ignore)

    def file(self, path: str) -> Digest | None:
        return self.world.file(path)

    def env(self, name: str) -> str | None:
        return self.world.env(name)

    def library(self, name: str) -> str | None:
        locked = self.block.libraries.get(name) if self.block is not None else None
        return locked if self.only_the_locks_libraries else self.world.library(name) or locked

    def tool(self, name: str) -> str:
        try:
            return self.world.tool(name)
        except Unavailable:
            steps = self.block.manifest.get("steps", []) if self.block is not None else []
            return next((str(s["tools"][name]) for s in steps if name in s.get("tools", {})), NOT_INSTALLED)


def _only_known(node: Node, world: PinnedWorld) -> Node:
    """`node` without the inputs that nobody knows."""

    def known(inputs: Mapping[str, Input]) -> dict[str, Input]:
        return {n: given for n, given in inputs.items() if given.path is None or world.is_known(given.path)}

    steps = tuple(replace(step, inputs=known(step.inputs)) for step in node.steps)
    return replace(node, inputs=known(node.inputs), steps=steps)


def manifest_of_block(node: Node, block: Block, policy: str) -> Manifest:
    """The block's manifest with its project inputs and counted libraries back in their places."""

    def libraries(names: Iterable[str]) -> dict[str, str]:
        if policy == "ignore":
            return {}
        return {name: counted_version(block.libraries.get(name), policy) for name in names}

    def completed(told: Manifest, inputs: Mapping[str, Input], prefix: str, names: Iterable[str]) -> Manifest:
        own = dict(told.get("inputs", {}))
        for name in inputs:
            if (digest := block.inputs.get(f"{prefix}{name}")) is not None:
                own[name] = digest
        return {**told, "inputs": own, "libraries": libraries(names)}

    steps: list[dict[str, Any]] = []
    for index, told in enumerate(block.manifest.get("steps", [])):
        step = node.steps[index] if index < len(node.steps) else None
        steps.append(
            completed(told, step.inputs if step else {}, f"{index}.", step.libraries if step else ())
        )
    return {**completed(block.manifest, node.inputs, "", node.libraries), "steps": steps}


__all__ = ["Block", "LockedPlanner", "PinnedWorld", "manifest_of_block"]
