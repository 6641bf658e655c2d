"""`spark diff A B`: two results beside each other, stage by stage up their lineage."""

from collections.abc import Iterable, Mapping
from typing import Any

from spark_build.app import Project
from spark_build.app.diff_pairs import pairs_of
from spark_build.app.diff_sides import Side, side_of
from spark_build.app.item_diff import items_between
from spark_build.core.address import kind_of, stage_name
from spark_build.core.values import replace
from spark_build.engine.action import Manifest
from spark_build.engine.explain import differences
from spark_build.engine.graph import Graph, Node
from spark_build.engine.told import retold
from spark_build.report.diff import Diff, Pair, Result, StageDiff, of_members, pairs

EXAMPLES = 5  # items of each kind that are named


def diff(project: Project, a: str, b: str, *, examples: int = EXAMPLES) -> Diff:
    """Errors: UsageError where a side names nothing that has results."""
    project.look_again()
    meant = pairs_of(project, a, b)
    found = tuple(_between(project, one, other, examples) for one, other in meant.pairs)
    project.state.flush()
    return found[0] if len(found) == 1 and not meant.alone else of_members(a, b, found, meant.alone)


def _between(project: Project, a: str, b: str, examples: int) -> Diff:
    left, right = side_of(project, a), side_of(project, b)
    return Diff(left.words, right.words, tuple(_stages(project, left, right, examples)))


def _stages(project: Project, a: Side, b: Side, examples: int) -> Iterable[StageDiff]:
    partner = _partners(project.graph, a, b)
    names = _meant(project.graph, a, b, partner)
    asked = {side.stage for side in (a, b) if side.stage}
    for stage in names:
        left, right = a.results.get(stage), b.results.get(partner.get(stage, stage))
        if left is not None or right is not None:
            yield _stage(project, stage, left, right, asked, examples, is_today=b.is_today)


def _partners(graph: Graph, a: Side, b: Side) -> dict[str, str]:
    """Of two targets, which stage of the second stands beside which of the first: by name, and by what reads them."""
    if a.target is None or b.target is None or a.target == b.target:
        return {}
    partner: dict[str, str] = {}
    waiting = [(f"{a.target}/{stage_name(s)}", s) for s in graph.of_target(b.target)]
    while waiting:
        mine, theirs = waiting.pop()
        if mine == theirs or mine in partner or mine not in graph.nodes or theirs not in graph.nodes:
            continue
        partner[mine] = theirs
        others = {name: given.stage for name, given in graph.nodes[theirs].all_inputs()}
        for name, given in graph.nodes[mine].all_inputs():
            if given.stage is not None and (other := others.get(name)) is not None:
                waiting.append((given.stage, other))
    return partner


def _meant(graph: Graph, a: Side, b: Side, partner: Mapping[str, str]) -> list[str]:
    """The stages to lay side by side, in the graph's order; those that it knows no more come last."""
    beside = set(partner.values())
    known = {*a.results, *(stage for stage in b.results if stage not in beside)}
    targets = [side for side in (a, b) if side.target is not None]
    if targets:
        roots = [r for s in targets for r in ([s.stage] if s.stage else graph.of_target(s.target or ""))]
        closure = set(graph.closure(root for root in roots if root in graph.nodes))
        of_no_more = {s for side in targets for s in side.results if s not in graph.nodes}
        known &= closure | of_no_more
    return [*(s for s in graph.nodes if s in known), *sorted(known - graph.nodes.keys())]


def _stage(
    project: Project,
    stage: str,
    a: Result | None,
    b: Result | None,
    asked: set[str],
    examples: int,
    *,
    is_today: bool,
) -> StageDiff:
    if a is None or b is None:
        return StageDiff(stage, a, b)
    told = StageDiff(stage, a, b, metrics=pairs(a.metrics, b.metrics), gates=_gates(a, b))
    if a.key != b.key:
        told = _with_causes(project, told, a, b, is_today=is_today)
    is_whole = kind_of(stage) == "dataset" and (stage_name(stage) == "version" or stage in asked)
    if is_whole and a.output != b.output:
        told = replace(told, items=items_between(project, a, b, examples))
    return told


def _with_causes(project: Project, told: StageDiff, a: Result, b: Result, *, is_today: bool) -> StageDiff:
    if a.manifest is None or b.manifest is None:
        return replace(told, unknown="what it was made of is not known: its record is not in this store")
    # places are those of the second side's values
    node = project.graph.nodes.get(b.stage) or _node_of(b.stage, b.manifest)
    left, right = _alike(a.manifest, b.manifest)
    found = differences(left, right, node, project.objects, project.world if is_today else None)
    found = [reason for reason in found if reason.kind != "upstream"]
    return replace(told, causes=tuple(retold(found, b.told, a.key, keeps_places=is_today)))


def _node_of(stage: str, manifest: Mapping[str, Any]) -> Node:
    """A stage that today's Sparkfile knows no more."""
    return Node(stage, str(manifest.get("kind", "")), (), 0)


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Manifest, Manifest]:
    """Both with what either side can tell: a lock leaves other stages' parts and unset params out."""

    def plain(part: Mapping[str, Any]) -> Manifest:
        params = {n: v for n, v in part.get("params", {}).items() if v is not None}
        inputs = {n: v for n, v in part.get("inputs", {}).items() if not _is_of_a_stage(v)}
        return {**part, "params": params, "inputs": inputs}

    def whole(manifest: Mapping[str, Any]) -> Manifest:
        return {**plain(manifest), "steps": [plain(step) for step in manifest.get("steps", [])]}

    return whole(a), whole(b)


def _is_of_a_stage(given: Any) -> bool:
    """The parts of another stage, which has its own place in the comparison."""
    return isinstance(given, Mapping) and "revision" not in given


def _gates(a: Result, b: Result) -> dict[str, dict[str, Pair]]:
    """Per gate how many it kept and dropped."""
    return {
        gate: {name: (_count(a, gate, name), _count(b, gate, name)) for name in ("kept", "dropped")}
        for gate in dict.fromkeys([*a.gates, *b.gates])
    }


def _count(side: Result, gate: str, name: str) -> float | None:
    note = side.gates.get(gate)
    if note is None:
        return None
    return float(note["dropped"] if name == "dropped" else note["in"] - note["dropped"])


__all__ = ["diff"]
