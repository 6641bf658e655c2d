"""What the members of a matrix came to, side by side."""

import json
from collections.abc import Sequence

from spark_build.app import Project
from spark_build.core.address import Address, stage_name
from spark_build.report.matrix import Group, Spread

SEED = "seed"  # members that differ in nothing else are one group


def compared(project: Project, members: Sequence[Address]) -> list[Group]:
    """The members' figures as the Sparkfile stands, grouped by all their values but the seed."""
    groups: dict[str, list[Address]] = {}
    for member in members:
        groups.setdefault(json.dumps([pair for pair in member.matrix if pair[0] != SEED]), []).append(member)
    figures = _figures(project, members)
    return [_group(own, figures) for own in groups.values()]


def _group(members: list[Address], figures: dict[str, dict[str, float]]) -> Group:
    built = [figures[m.target] for m in members if m.target in figures]
    names = dict.fromkeys(name for own in built for name in own)
    return Group(
        {name: json.loads(value) for name, value in members[0].matrix if name != SEED},
        tuple(member.target for member in members),
        len(built),
        {name: Spread.of([own[name] for own in built if name in own]) for name in names},
    )


def _figures(project: Project, members: Sequence[Address]) -> dict[str, dict[str, float]]:
    """Of each member that is built: its figures; those of a named evaluation as `clean.wer`."""
    graph = project.graph
    targets = {member.target for member in members}
    stages = [s for s, node in graph.nodes.items() if node.target in targets and node.kind != "ingest"]
    plan = project.planner().plan(stages)
    found: dict[str, dict[str, float]] = {}
    for planned in plan.stages:
        if planned.record is None or planned.stage not in stages:
            continue
        node = graph.nodes[planned.stage]
        own = found.setdefault(node.target, {})
        if node.kind in ("eval", "version"):
            label = stage_name(planned.stage).partition(".")[2]
            prefix = f"{label}." if label else ""
            own |= {f"{prefix}{name}": value for name, value in planned.record.metrics.items()}
    return found
