"""`spark plan --locked`: the lock against Sparkfile, code and pins; asks neither for data nor for Artifacts."""

from collections.abc import Mapping, Sequence

from spark_build.app import Project
from spark_build.app.graph_cache import resolved_graph
from spark_build.core.errors import UsageError
from spark_build.core.values import Struct
from spark_build.engine.graph import Graph
from spark_build.engine.locked import LockedPlanner
from spark_build.engine.plan import Plan
from spark_build.pinning import LOCK_NAME
from spark_build.pipeline.project_view import PinnedView
from spark_build.storage.pinned_world import LockWorld


class LockedPlan(Struct, frozen=True):
    plan: Plan
    left_over: tuple[str, ...]  # blocks of stages that are no more
    differing: tuple[str, ...]  # data of this checkout that are not those of the lock
    accepted: Mapping[str, str]  # stages that don't fit because their results were accepted, not built
    is_of_conflict: bool = False

    @property
    def fits(self) -> bool:
        return self.plan.is_done and not self.left_over and not self.is_of_conflict

    def notes(self) -> list[str]:
        notes = (
            [f"{LOCK_NAME} holds a merge conflict: spark build resolves it"] if self.is_of_conflict else []
        )
        notes += [
            f"{LOCK_NAME} holds {stage}, which is no more: spark build takes it out"
            for stage in self.left_over
        ]
        notes += [
            f"{stage}: {note} (spark accept; only what was built fits a lock)"
            for stage, note in self.accepted.items()
        ]
        return notes + [
            f"{path} here is not what {LOCK_NAME} pins; the lock's counts here, spark plan looks at what is here"
            for path in self.differing
        ]


def locked_plan(project: Project, addresses: Sequence[str], *, is_strict: bool = False) -> LockedPlan:
    """Errors: UsageError with an override: the lock knows the Sparkfile alone."""
    if project.request.is_override:
        raise UsageError(
            "--locked goes with neither --profile, --set nor --limit", fix="leave one of them out"
        )
    project.look_again()
    graph = graph_by_lock(project)
    project.__dict__["graph"] = graph
    world = LockWorld(project.root, project.world, project.lock.digest_of)
    asked = project.stages_of(addresses)
    blocks = {s: block for s in graph.closure(asked) if (block := project.lock.stage(s)) is not None}
    plan = LockedPlanner(graph, world, project.objects, blocks, is_strict=is_strict).plan(asked)
    left_over = () if addresses else tuple(sorted(set(project.lock.names("stages")) - graph.nodes.keys()))
    project.state.flush()
    accepted = _accepted(project, plan)
    return LockedPlan(plan, left_over, tuple(world.differing), accepted, project.lock.is_of_conflict)


def _accepted(project: Project, plan: Plan) -> dict[str, str]:
    blocks = {s.stage: project.lock.get("stages", s.stage) for s in plan.stages if s.state != "fresh"}
    return {stage: str(block["accepted"]) for stage, block in blocks.items() if block and "accepted" in block}


def graph_by_lock(project: Project) -> Graph:
    """Resolved as if all that the lock pins lay in the checkout; never from the cache, which knows only what does."""
    view = PinnedView(project.root, pinned=tuple(project.lock.paths()))
    return resolved_graph(project.request, project.lock, project.world, view)


__all__ = ["LockedPlan", "graph_by_lock", "locked_plan"]
