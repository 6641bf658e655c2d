"""The graph: nodes (stages: steps in order, named inputs) and edges; plain data that a file can hold."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from spark_build.core.address import target_of
from spark_build.core.digest import Digest
from spark_build.core.trust import Trust
from spark_build.core.values import Struct, convert, field, replace, to_builtins


class Input(Struct, frozen=True, omit_defaults=True):
    """Something that an action reads: exactly one of `path`, `stage`, `artifact`, `hub`."""

    path: str | None = None  # a project file or folder
    stage: str | None = None  # another stage's output …
    parts: tuple[str, ...] = ()  # … and the parts of it that are read; () = all
    folder: str = ""  # what the rule is given: this sub folder of what is laid out
    artifact: Digest | None = None  # a tagged result …
    artifact_parts: Mapping[str, Digest] | None = None  # … and its parts' digests, from the lock
    hub: str | None = None  # org/name …
    revision: str | None = None  # … at these 40 hex digits, from the lock
    at: str | None = None  # where the Sparkfile names it
    name: str | None = None  # what a user calls it in causes: 'datasets.tickets.source.path'


class Step(Struct, frozen=True, omit_defaults=True):
    """One rule and its params."""

    rule: str
    family: str
    impl: str  # 'module:Class', or './my_gate.py:MyGate'
    label: str = ""
    told: str = ""  # the name that the output holds: it counts, and no item is handled again for it
    revision: int | None = None  # of a built-in rule
    code: tuple[str, ...] = ()  # project files whose source counts
    params: Mapping[str, Any] = field(
        default_factory=dict
    )  # as the key sees them: references out, env as text
    values: Mapping[str, Any] = field(default_factory=dict)  # as the rule takes them
    decides: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    inputs: Mapping[str, Input] = field(default_factory=dict)
    env: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    globs: Mapping[str, Digest] = field(
        default_factory=dict
    )  # patterns that chose `inputs` and `code`, with the list of what they matched
    secrets: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # {'only': 'train'}; they count
    numerics: Mapping[str, Any] = field(default_factory=dict)  # as the use declares them; the node's count
    resources: Mapping[str, Any] = field(default_factory=dict)
    uses_model: bool = False
    reproducible: str = "bitwise"
    reproducible_why: str = ""  # of `none`
    tolerance: float = 0.0  # of `metric`
    where: Mapping[str, tuple[str, str | None]] = field(
        default_factory=dict
    )  # param -> (its name, FILE:LINE:COL)
    folder: str = ""  # of the included Sparkfile: what `code` and `impl` count from; never in a key

    def code_path(self, path: str) -> str:
        """A file of `code`, from the project's folder."""
        return f"{self.folder}/{path}" if self.folder else path


class Requirement(Struct, frozen=True, omit_defaults=True):
    """A figure's allowed range; a verdict, never in a key."""

    name: str
    text: str
    at: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def holds(self, figure: float) -> bool:
        if self.low is not None and (figure < self.low or (self.low_open and figure == self.low)):
            return False
        return not (
            self.high is not None and (figure > self.high or (self.high_open and figure == self.high))
        )


class Node(Struct, frozen=True, omit_defaults=True):
    """A stage, as the pipeline has resolved it."""

    stage: str  # 'model:llama-lora/train'
    kind: str  # ingest filter version train eval package serve
    steps: tuple[Step, ...]
    revision: int  # of the stage's own runner
    inputs: Mapping[str, Input] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    libraries_policy: str = ""  # of an included Sparkfile; '': the graph's
    options: Mapping[str, Any] = field(default_factory=dict)  # splits, card, split …; they count
    given: Mapping[str, Any] = field(
        default_factory=dict
    )  # over `options`, for the runner alone: what counts of it stands there
    numerics: Mapping[str, Any] | None = None  # None: no floating point worth pinning
    resources: Mapping[str, Any] = field(default_factory=dict)  # never count
    guards: tuple[str, ...] = ()  # stages whose requirements must hold first; not in the key
    requires: tuple[Requirement, ...] = ()
    pushes: bool = True  # whether its Artifact goes to the remote store; its Record does in any case
    at: str = ""  # where the Sparkfile declares it
    where: Mapping[str, tuple[str, str | None]] = field(
        default_factory=dict
    )  # option -> (its name, FILE:LINE:COL)

    @property
    def target(self) -> str:
        return target_of(self.stage)

    @property
    def folder(self) -> str:
        """Where its commands run, from the project's folder: of the Sparkfile that declares it."""
        return self.steps[0].folder if self.steps else ""

    def all_inputs(self) -> Iterator[tuple[str, Input]]:
        """Of the node and of its steps; a step's are named `step index.field`."""
        yield from self.inputs.items()
        for index, step in enumerate(self.steps):
            for name, given in step.inputs.items():
                yield f"{index}.{name}", given

    def upstream(self) -> set[str]:
        return {given.stage for _, given in self.all_inputs() if given.stage is not None}

    def waits_for(self) -> list[str]:
        """The stages that it reads, and those whose requirements it waits for."""
        return [*sorted(self.upstream()), *self.guards]


PUBLISHES = "publishes"  # option of a step that does something outside of its result


class Graph(Struct, frozen=True, dict=True, omit_defaults=True):
    """Nodes in topological order (guards count as edges there)."""

    nodes: Mapping[str, Node]
    libraries_policy: str = "compatible"  # exact | compatible | ignore
    hermetic: str = "warn"  # warn | strict | off
    ask_above_seconds: float = 3600.0
    project: str = ""
    deployments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    store: Mapping[str, str] = field(default_factory=dict)  # local, remote, endpoint
    trust: Trust = field(default_factory=Trust)  # whose signatures count in the remote store
    profiles: Sequence[str] = ()  # names, so that model:NAME@PROFILE is known from a tag

    @classmethod
    def of(cls, nodes: Iterable[Node], **rest: Any) -> "Graph":
        from spark_build.engine.order import topological

        by_stage = {node.stage: node for node in nodes}
        order = topological({stage: node.waits_for() for stage, node in by_stage.items()})
        return cls({stage: by_stage[stage] for stage in order}, **rest)

    def unpublished(self) -> "Graph":
        """The same, doing nothing outside; these results have keys of their own, so that none counts as published."""
        return replace(self, nodes={stage: _unpublished(node) for stage, node in self.nodes.items()})

    def closure(self, stages: Iterable[str]) -> list[str]:
        """`stages` and all that they read or wait for, in topological order."""
        wanted, waiting = set(), list(stages)
        while waiting:
            stage = waiting.pop()
            if stage not in wanted:
                wanted.add(stage)
                waiting += self.upstream[stage]
                waiting += self.nodes[stage].guards
        return [stage for stage in self.nodes if stage in wanted]

    @cached_property
    def upstream(self) -> Mapping[str, tuple[str, ...]]:
        """The stages that each one reads, sorted."""
        return {stage: tuple(sorted(node.upstream())) for stage, node in self.nodes.items()}

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {stage: [] for stage in self.nodes}
        for stage, before in self.upstream.items():
            for name in before:
                found[name].append(stage)
        return {stage: tuple(names) for stage, names in found.items()}

    @cached_property
    def awaited(self) -> frozenset[str]:
        """The stages that another one reads or waits for."""
        return frozenset(s for n in self.nodes.values() for s in (*self.upstream[n.stage], *n.guards))

    def of_target(self, target: str) -> list[str]:
        return [stage for stage in self.nodes if self.nodes[stage].target == target]

    def evaluations(self, target: str) -> list[str]:
        return [stage for stage in self.of_target(target) if self.nodes[stage].kind == "eval"]

    def targets(self) -> list[str]:
        return list(dict.fromkeys(node.target for node in self.nodes.values()))

    def to_bytes(self) -> bytes:
        """Without values that are the default: the cached graph is read at every start."""
        return json.dumps(to_builtins(self)).encode()

    @classmethod
    def of_bytes(cls, data: bytes) -> "Graph":
        return convert(json.loads(data), cls)  # JSON of Python's own: params may be infinite


def absolute_impl(impl: str, project: Path) -> str:
    """A rule of the user's own by its file's whole path, as a worker or a server finds it."""
    if not impl.startswith("."):
        return impl
    path, _, name = impl.rpartition(":")
    return f"{(project / path).resolve()}:{name}"


def _unpublished(node: Node) -> Node:
    if not any(step.options.get(PUBLISHES) for step in node.steps):
        return node
    steps = (
        replace(s, options={**s.options, PUBLISHES: False}) if PUBLISHES in s.options else s
        for s in node.steps
    )
    return replace(node, steps=tuple(steps))
