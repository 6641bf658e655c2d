"""Why: the chain of causes of a stage, through the stages before it down to file, line or version; from Records."""

from collections.abc import Mapping
from functools import cached_property

from spark_build.core.digest import Digest
from spark_build.core.ports import Objects, Records, World
from spark_build.core.record import Record
from spark_build.core.values import Struct, field, replace
from spark_build.engine.action import Manifest, digests_read, select_parts
from spark_build.engine.explain import Reason, differences
from spark_build.engine.graph import Graph, Node
from spark_build.engine.plan import History, Plan, StagePlan
from spark_build.engine.told import retold

MAX_DEPTH = 64  # stages that a chain is followed up through


class Cause(Struct, frozen=True):
    reason: Reason
    behind: "Link | None" = None  # of another stage's output: what changed that; None: the chain begins here


class Link(Struct, frozen=True):
    """What tells one stage's action from an earlier one of it."""

    stage: str
    state: str | None  # in the plan, where the newer action is one that is to run
    old: Record | None
    new: Record | None  # None: it has not run yet
    causes: tuple[Cause, ...] = ()

    def leaves(self) -> list[Reason]:
        """Where the chain begins, each place once."""
        found: list[Reason] = []
        for cause in self.causes:
            for leaf in cause.behind.leaves() if cause.behind is not None else [cause.reason]:
                found += [leaf] if leaf not in found else []
        return found


class Past(Struct, dict=True):
    """The Records of each stage: by the journal, and where that is gone by the Records themselves."""

    records: Records
    history: History
    _known: dict[str, list[Record]] = field(default_factory=dict)

    def of(self, stage: str) -> list[Record]:
        """The one that counted last first, the others by time."""
        if stage not in self._known:
            noted = [r for key in self.history.keys(stage) if (r := self.records.get(key)) is not None]
            noted += [r for r in self._by_stage.get(stage, []) if r not in noted] if len(noted) < 2 else []
            self._known[stage] = [*noted[:1], *sorted(noted[1:], key=_began, reverse=True)]
        return self._known[stage]

    def last(self, stage: str) -> Record | None:
        return next(iter(self.of(stage)), None)

    def before(self, stage: str, record: Record) -> Record | None:
        """The one that had run last when `record` was made."""
        earlier = [r for r in self.of(stage) if r.key != record.key and _began(r) <= _began(record)]
        return max(earlier, key=_began, default=None)

    def gave(
        self, stage: str, read: Mapping[str, Digest | None], reader: Record | None = None
    ) -> Record | None:
        """The newest Record of `stage` with these parts; of those made before `reader`, where there are such."""
        found = [r for r in self.of(stage) if all(r.parts.get(p) == digest for p, digest in read.items())]
        found.sort(key=_began, reverse=True)
        in_time = [r for r in found if reader is None or _began(r) <= _began(reader)]
        return next(iter(in_time or found), None)

    @cached_property
    def _by_stage(self) -> dict[str, list[Record]]:
        stages: dict[str, list[Record]] = {}
        for record in self.records.all():
            stages.setdefault(record.stage, []).append(record)
        return stages


class Chains(Struct, dict=True):
    """Links of one project as it stands; `plan` and `world` are None where its sources can't be looked at."""

    graph: Graph
    objects: Objects
    past: Past
    plan: Plan | None = None
    world: World | None = None
    _told: dict[tuple[str, ...], Link] = field(default_factory=dict)  # stages share what is before them

    def of_plan(self, stage: str) -> Link:
        """Why a stage is not fresh: from its last action to the one that is to run."""
        if (stage,) not in self._told:
            self._told[stage,] = self._of_plan(stage)
        return self._told[stage,]

    def of_accepted(self, planned: StagePlan, record: Record) -> Link:
        """What an acceptance passed over: from the action that gave the result to the one that counts as done."""
        causes = self._causes(self.graph.nodes[planned.stage], record.manifest, planned.manifest or {}, None)
        return Link(planned.stage, planned.state, record, None, tuple(causes))

    def _of_plan(self, stage: str) -> Link:
        planned = self._planned(stage)
        assert planned is not None
        last = self.past.last(stage)
        causes: list[Cause] = []
        if planned.state == "run" and _is_changed(planned) and last is not None:
            causes = self._causes(self.graph.nodes[stage], last.manifest, planned.manifest or {}, None)
        elif planned.state == "maybe":
            causes = [*self._own(planned), *self._settled(planned, last), *self._waiting(planned)]
        return Link(stage, planned.state, last, None, tuple(causes or map(Cause, planned.reasons)))

    def of_record(self, stage: str, record: Record) -> Link:
        """Why a stage ran last: from the action before to the one that made `record`."""
        before = self.past.before(stage, record)
        if before is None:
            return Link(stage, None, None, record, (Cause(Reason("new", stage)),))
        return self._between(stage, before, record, 0)

    def _own(self, planned: StagePlan) -> list[Cause]:
        return [Cause(reason) for reason in planned.reasons if reason.kind != "upstream"]

    def _waiting(self, planned: StagePlan) -> list[Cause]:
        """The stages that are to run first, each with its own chain."""
        upstream = [r for r in planned.reasons if r.kind == "upstream"]
        return [Cause(r, self.of_plan(r.name) if self._planned(r.name) else None) for r in upstream]

    def _settled(self, planned: StagePlan, last: Record | None) -> list[Cause]:
        """The stages that have given something else already, beside those that a `maybe` waits for."""
        node, waits_for = self.graph.nodes[planned.stage], {r.name for r in planned.reasons}
        causes = []
        for stage in sorted(node.upstream() - waits_for) if last is not None else ():
            now, read = self._planned(stage), digests_read(node, last.manifest, stage) if last else {}
            if now is None or now.record is None or not _gave_other(now.record, read):
                continue
            then = self.past.gave(stage, read)
            behind = self._between(stage, then, now.record, 1) if then is not None else None
            causes.append(Cause(Reason("upstream", stage), behind))
        return causes

    def _between(self, stage: str, old: Record, new: Record, depth: int) -> Link:
        name = (stage, old.key, new.key)
        if name not in self._told:
            self._told[name] = self._told_between(stage, old, new, depth)
        return self._told[name]

    def _told_between(self, stage: str, old: Record, new: Record, depth: int) -> Link:
        causes = self._causes(self.graph.nodes[stage], old.manifest, new.manifest, new, depth)
        is_todays = self._is_todays(stage, new)
        told = retold([cause.reason for cause in causes], new.told, old.key, keeps_places=is_todays)
        causes = [replace(cause, reason=reason) for cause, reason in zip(causes, told, strict=True)]
        return Link(stage, None, old, new, tuple(causes))

    def _causes(
        self, node: Node, old: Manifest, new: Manifest, made: Record | None, depth: int = 0
    ) -> list[Cause]:
        found = differences(old, new, node, self.objects, self.world)
        return [
            Cause(r, self._behind(node, r.name, old, new, made, depth) if r.kind == "upstream" else None)
            for r in found
        ]

    def _behind(
        self, node: Node, stage: str, old: Manifest, new: Manifest, made: Record | None, depth: int
    ) -> Link | None:
        """From the Record whose parts the old action read to the one whose parts the new one reads."""
        then = self.past.gave(stage, digests_read(node, old, stage), made)
        now = self.past.gave(stage, digests_read(node, new, stage), made)
        if then is None or now is None or then.key == now.key or depth >= MAX_DEPTH:
            return None
        return self._between(stage, then, now, depth + 1)

    def _is_todays(self, stage: str, record: Record) -> bool:
        planned = self._planned(stage)
        last = planned.record if planned is not None else self.past.last(stage)
        return last is not None and last.key == record.key

    def _planned(self, stage: str) -> StagePlan | None:
        return self._by_stage.get(stage)

    @cached_property
    def _by_stage(self) -> dict[str, StagePlan]:
        return {s.stage: s for s in self.plan.stages} if self.plan is not None else {}


def _began(record: Record) -> str:
    """When it began, as digits that sort: its log's name knows microseconds, `started` only seconds."""
    stamp = (record.events or "").removesuffix(".events.jsonl").rpartition("-")[2]
    return stamp if len(stamp) == 20 else "".join(filter(str.isdigit, record.started[:19])).ljust(20, "0")


def _is_changed(planned: StagePlan) -> bool:
    """Whether it runs for what it is made of, and not because its result is gone or it was asked for."""
    return not any(r.kind in ("missing", "corrupt", "runtime", "new") for r in planned.reasons)


def _gave_other(record: Record, read: Mapping[str, Digest | None]) -> bool:
    return bool(read) and select_parts(record.parts, tuple(read)) != dict(read)
