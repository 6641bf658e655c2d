"""Actions: a node whose input digests are known. One manifest is both the key and the explanation."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from spark_build.core.digest import Digest, digest_bytes, digest_json
from spark_build.core.ports import World
from spark_build.engine.graph import Graph, Input, Node, Step

PartsOf = Callable[[str], Mapping[str, Digest]]  # a stage's parts, once they are known
Manifest = dict[str, Any]


def manifest_of(node: Node, graph: Graph, world: World, parts_of: PartsOf | None) -> Manifest:
    """All that can change the node's result, and nothing else, as plain JSON.

    `parts_of` None: what other stages give is not known yet; the inputs that they give are left out.
    """
    policy = node.libraries_policy or graph.libraries_policy
    manifest = {
        "kind": node.kind,
        "revision": node.revision,
        "steps": [step_manifest(step, policy, world, parts_of) for step in node.steps],
        "inputs": _inputs(node.inputs, world, parts_of),
        "options": dict(node.options),
        "libraries": _libraries(node.libraries, policy, world),
        "numerics": node.numerics,
    }
    return {name: value for name, value in manifest.items() if value}


def step_manifest(step: Step, policy: str, world: World, parts_of: PartsOf | None) -> Manifest:
    manifest: Manifest = {
        "rule": step.rule,
        "name": step.told,
        "revision": step.revision,
        "code": {path: world.file(step.code_path(path)) for path in step.code},
        "params": dict(step.params),
        "libraries": _libraries(step.libraries, policy, world),
        "inputs": _inputs(step.inputs, world, parts_of),
        "env": {name: _env_digest(world.env(name)) for name in step.env},
        "tools": {name: world.tool(name) for name in step.tools},
        "options": dict(step.options),
    }
    return {name: value for name, value in manifest.items() if value}


def key_of(manifest: Manifest) -> Digest:
    return digest_json(manifest)


def loose_key_of(manifest: Manifest) -> Digest:
    """The key without library versions: finds a training that differs by their drift alone."""
    return digest_json(_without_libraries(manifest))


def operation_of(
    step: Manifest, decides: tuple[str, ...], numerics: Mapping[str, Any] | None, *, is_strict: bool = False
) -> Digest:
    """Scopes the item memo: the step without its name, what only decides and which split it is for (`only`), with
    numerics where a model runs.

    `is_strict`: what was found while nobody looked at undeclared reads is found again.
    """
    params = {name: value for name, value in step.get("params", {}).items() if name not in decides}
    options = {name: value for name, value in step.get("options", {}).items() if name != "only"}
    measured = {name: value for name, value in step.items() if name not in ("name", "options")}
    measured |= {"options": options} if options else {}
    return digest_json([{**measured, "params": params}, numerics, *(["strict"] if is_strict else [])])


def operation_in(node: Node, step: Step, manifest: Manifest, hermetic: str) -> Digest:
    """The same of a step of a node. What an endpoint answered a rule of ours was paid for, and that rule opens no file:
    `strict` does not ask again.
    """
    is_paid = is_asked_outside(step) and step.revision is not None
    numerics = node.numerics if step.uses_model else None
    return operation_of(manifest, step.decides, numerics, is_strict=hermetic == "strict" and not is_paid)


def is_asked_outside(step: Step) -> bool:
    """Whether what the step finds of an item is answered by somebody who may answer otherwise the next time."""
    return (step.family, step.reproducible) == ("transform", "none")


def input_digests(given: Input, world: World, parts_of: PartsOf) -> Any:
    if given.path is not None:
        return world.tree(given.path).digest
    if given.hub is not None:
        return {"revision": given.revision}
    parts = given.artifact_parts if given.artifact is not None else parts_of(given.stage or "")
    return select_parts(parts or {}, given.parts)


def select_parts(parts: Mapping[str, Digest], wanted: tuple[str, ...]) -> dict[str, Digest | None]:
    """The digests of the wanted parts; None stands for a part that is not there."""
    if not wanted:
        return dict(parts)
    selected: dict[str, Digest | None] = {}
    for pattern in wanted:
        matching: dict[str, Digest | None] = {pattern: parts[pattern]} if pattern in parts else {}
        if not matching and "*" in pattern:
            matching = {name: digest for name, digest in parts.items() if fnmatchcase(name, pattern)}
        selected.update(matching or {pattern: None})
    return selected


def digests_read(node: Node, manifest: Manifest, stage: str) -> dict[str, Digest]:
    """The parts of `stage` that an action with this manifest read."""
    read: dict[str, Digest] = {}
    steps = manifest.get("steps", [])
    now = [{"rule": step.rule, "name": step.told or None} for step in node.steps]
    groups = [(node.inputs, manifest.get("inputs", {}))]
    groups += [
        (node.steps[i].inputs, steps[then].get("inputs", {})) for i, then in paired(steps, now).items()
    ]
    for declared, digests in groups:
        for name, given in declared.items():
            if given.stage == stage and isinstance(digests.get(name), dict):
                read.update(digests[name])
    return read


def paired(old: Sequence[Manifest], new: Sequence[Manifest]) -> dict[int, int]:
    """Which step was which before, by index: the very same first, so that moving a gate changes no param of another."""
    left, before = list(range(len(old))), dict[int, int]()
    for same in (
        ("rule", "name", "params", "options"),
        ("rule", "params", "options"),
        ("rule", "name"),
        ("rule",),
    ):
        for index, step in enumerate(new):
            found = [b for b in left if all(old[b].get(p) == step.get(p) for p in same)]
            if index not in before and found:
                before[index] = index if index in found else found[0]
                left.remove(before[index])
    return dict(sorted(before.items()))


def _inputs(inputs: Mapping[str, Input], world: World, parts_of: PartsOf | None) -> dict[str, Any]:
    if parts_of is None:
        inputs = {name: given for name, given in inputs.items() if given.stage is None}
        return {name: input_digests(given, world, lambda _: {}) for name, given in inputs.items()}
    return {name: input_digests(given, world, parts_of) for name, given in inputs.items()}


def _libraries(names: tuple[str, ...], policy: str, world: World) -> dict[str, str]:
    if policy == "ignore":
        return {}
    return {name: counted_version(world.library(name), policy) for name in names}


def counted_version(version: str | None, policy: str) -> str:
    if version is None:
        return "not installed"
    return version if policy == "exact" else ".".join(version.split(".")[:2])


def _env_digest(value: str | None) -> str:
    return "unset" if value is None else digest_bytes(value.encode())


def _without_libraries(manifest: Manifest) -> Manifest:
    steps = [{k: v for k, v in step.items() if k != "libraries"} for step in manifest.get("steps", [])]
    return {**{k: v for k, v in manifest.items() if k != "libraries"}, "steps": steps}
