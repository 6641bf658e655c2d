"""The plan: per stage a state and its causes. `build` asks it again after each stage, so the two can't disagree."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.ports import Acceptances, Objects, Records, World
from spark_build.core.record import Record
from spark_build.core.undeclared import is_vouched
from spark_build.core.values import replace
from spark_build.engine.action import (
    Manifest,
    counted_version,
    digests_read,
    key_of,
    loose_key_of,
    manifest_of,
    paired,
)
from spark_build.engine.explain import Reason, differences
from spark_build.engine.graph import Graph, Node
from spark_build.engine.noted import NotedWorld
from spark_build.engine.states import STATES, Plan, StagePlan
from spark_build.engine.told import retold, told_of

MAX_DEPTH = 64  # stages that a cause is followed up through


class History(Protocol):
    """Which key each stage had last; from the journal of builds."""

    most_keys: int  # that are remembered of a stage

    def last(self, stage: str) -> Digest | None: ...

    def keys(self, stage: str) -> list[Digest]:
        """All that are remembered, the newest first."""


class Remote(Protocol):
    """The store's remote tier."""

    def bytes_missing(self, output: Digest) -> int | None:
        """How much a restore would fetch; None where the remote lacks some of it."""

    def refuse(self, output: Digest) -> None:
        """It does not hold what it should: from now on it lacks this."""


class Planner:
    """Answers for one command: what it looked up once it keeps, `forget` drops it."""

    def __init__(
        self,
        graph: Graph,
        world: World,
        objects: Objects,
        records: Records,
        history: History,
        remote: Remote | None = None,
        *,
        again: Iterable[str] = (),
        is_strict: bool = False,
        acceptances: Acceptances | None = None,
    ) -> None:
        self.graph, self.world = graph, NotedWorld(world)
        self.objects, self.records, self.history, self.remote = objects, records, history, remote
        self.again = set(again)
        self.is_strict = is_strict
        self.acceptances = None if is_strict else acceptances  # strict takes nobody's word for a result
        self.names_causes = True  # a build that is under way has no use for them
        self._settled: dict[str, tuple[tuple[Digest, ...], StagePlan]] = {}
        self._last: dict[str, Record | None] = {}  # what each stage gave in the build before
        self._missing: dict[Digest, list[Digest]] = {}
        self._told_apart: dict[tuple[str, Digest, Digest], list[Reason]] = {}  # by the keys of two Records
        self._lost: dict[str, StagePlan] = {}  # stages called `run` for their Artifact alone: they run
        self._seen: set[str] = set()  # stages whose project files were there
        # of the question that was asked last: what was answered, and what has to be asked or looked at again
        self._asked: tuple[str, ...] = ()
        self._order: list[str] = []
        self._plans: dict[str, StagePlan] = {}
        self._stale: set[str] = set()
        self._unlooked: set[str] = set()

    def plan(self, asked: Iterable[str]) -> Plan:
        """States of `asked` and of all that they need; `asked` are wanted as Artifacts."""
        if (wanted := tuple(asked)) != self._asked:
            self._begin(wanted)
        self._ask_stale()
        if self._all_here():
            return Plan(tuple([self._plans[stage] for stage in self._order]))
        return self._with_lost()

    def forget(self, stage: str) -> None:
        """After `stage` was built: its state is asked anew, and that of those behind it which see a difference."""
        self.again.discard(stage)
        self._settled.pop(stage, None)
        self._stale.add(stage)
        if (lost := self._lost.get(stage)) is not None:  # with it all other addresses of this action
            self._lost = {s: p for s, p in self._lost.items() if p.key != lost.key}
        if any(self._missing.values()):  # it may have brought what others lacked
            self.forget_artifacts()

    def forget_artifacts(self) -> None:
        """Where objects may have come or gone: what is missing is looked up anew."""
        self._missing.clear()
        self._unlooked.update(self._order)

    def refuse(self, plan: StagePlan) -> None:
        """The remote does not hold what it should of this stage's Artifact: it runs."""
        if self.remote is not None and plan.output is not None:
            self.remote.refuse(plan.output)
        self.forget_artifacts()

    def can_have(self, output: Digest) -> bool:
        """Whether an Artifact is here, or the remote has it."""
        if not self.objects.missing(output):
            return True
        return self.remote is not None and self.remote.bytes_missing(output) is not None

    def _begin(self, asked: tuple[str, ...]) -> None:
        order = self.graph.closure(asked)
        self._look_at_all(order)
        self._asked, self._order = asked, order
        self._plans, self._stale, self._unlooked = {}, set(order), set(order)

    def _ask_stale(self) -> None:
        """States of the stale stages, and of those behind them that see another answer; no Artifact is lost here."""
        if not self._stale:
            return
        for stage in self._order:
            if stage not in self._stale:
                continue
            before = self._plans.get(stage)
            now = self._plans[stage] = self._state_of(stage, self._plans, {})
            self._unlooked.add(stage)
            self._unlooked.update(self.graph.upstream[stage])
            if before is None or _seen_behind(before) != _seen_behind(now):
                self._stale.update(self.graph.readers[stage])
        self._stale.clear()

    def _all_here(self) -> bool:
        """Whether every Artifact that is needed is in the store; only what may have changed is looked at again."""
        for stage in self._unlooked & self._plans.keys():
            plan = self._plans[stage]
            if plan.state == "fresh" and (
                self.is_lost(stage) or (self._is_needed(stage) and self._missing_of(plan))
            ):
                return False
        self._unlooked.clear()
        return True

    def is_lost(self, stage: str) -> bool:
        """Whether it was called `run` for its Artifact alone, and was not built since.

        It stays `run` though another stage brings what it lacks: a plan that was told comes true.
        """
        return stage in self._lost

    def _is_needed(self, stage: str) -> bool:
        readers = (self._plans.get(reader) for reader in self.graph.readers[stage])
        return stage in self._asked or any(r is not None and r.state in ("run", "maybe") for r in readers)

    def _with_lost(self) -> Plan:
        """The plan where Artifacts are known by Record, needed, and in no store: they make others wait."""
        lost: dict[str, StagePlan] = {}
        while True:
            plans = self._forward(lost)
            found = self._backward(plans)
            newly_lost = {stage: p for stage, p in found.items() if p.state != "restore"}
            if not newly_lost:  # a restore wakes nobody: its Record says already what it holds
                self._lost |= {stage: p for stage in lost if (p := plans[stage]).state == "run"}
                return Plan(tuple((plans | found)[stage] for stage in self._order))
            lost |= newly_lost

    def _look_at_all(self, order: Iterable[str]) -> None:
        """Errors: UsageError with everything that the Sparkfile names and nobody can read, at once."""
        problems: list[str] = []
        for node in (self.graph.nodes[s] for s in order if s not in self._seen):
            self._seen.add(node.stage)
            for at, look in self._looks(node):
                try:
                    look()
                except SparkError as error:
                    problems.append(f"{at}: {error}")
        if problems:
            raise UsageError("\n".join(dict.fromkeys(problems)))

    def _looks(self, node: Node) -> Iterator[tuple[str, Callable[[], object]]]:
        for _, given in node.all_inputs():
            if given.path is not None:
                yield given.at or node.at, partial(self.world.tree, given.path)
        for step in node.steps:
            at = step.where.get("tools", ("", None))[1] or node.at
            yield from ((at, partial(self.world.tool, name)) for name in step.tools)

    def _forward(self, lost: Mapping[str, StagePlan]) -> dict[str, StagePlan]:
        plans: dict[str, StagePlan] = {}
        for stage in self._order:
            plans[stage] = self._state_of(stage, plans, lost)
        return plans

    def _state_of(
        self, stage: str, plans: Mapping[str, StagePlan], lost: Mapping[str, StagePlan]
    ) -> StagePlan:
        waits_for = [s for s in self.graph.upstream[stage] if plans[s].state in ("run", "maybe")]
        if waits_for:
            return self._maybe(self.graph.nodes[stage], waits_for, lost.get(stage))
        return lost[stage] if stage in lost else self._known(self.graph.nodes[stage], plans)

    def _backward(self, plans: Mapping[str, StagePlan]) -> dict[str, StagePlan]:
        """The stages whose Artifact is needed and not here."""
        firmly, perhaps = {*self._asked, *self._lost}, set[str]()
        for stage in reversed(self._order):
            if (state := plans[stage].state) in ("run", "maybe"):
                (firmly if state == "run" else perhaps).update(self.graph.upstream[stage])
        found = {}
        for stage in self._order:
            if plans[stage].state == "fresh" and (stage in firmly or stage in perhaps):
                replaced = self._where_is(plans[stage], is_certain=stage in firmly)
                if replaced is not None:
                    found[stage] = replaced
        return found

    def _where_is(self, plan: StagePlan, *, is_certain: bool) -> StagePlan | None:
        """None: the Artifact is here. Else the plan to get it."""
        if plan.stage in self._lost:
            return self._lost[plan.stage]
        missing = self._missing_of(plan)
        if not missing or plan.output is None:
            return None
        size = self.remote.bytes_missing(plan.output) if self.remote is not None else None
        if size is not None:
            return replace(plan, state="restore", bytes=size)
        damaged = getattr(self.objects, "is_damaged", lambda _: False)
        kind = "corrupt" if any(damaged(digest) for digest in missing) else "missing"
        reason = Reason(kind, plan.stage, old=plan.output)
        state = "run" if is_certain else "maybe"
        # what it was taken for (an accepted result, one with other libraries) is gone: it runs under its own key
        key = key_of(plan.manifest or {}) if is_certain else None
        return replace(plan, state=state, key=key, output=None, reasons=(reason,), drift=())

    def _missing_of(self, plan: StagePlan) -> list[Digest]:
        assert plan.output is not None
        missing = self._missing.get(plan.output)
        if missing is None:
            missing = self._missing[plan.output] = self.objects.missing(plan.output)
        return missing

    def _known(self, node: Node, plans: Mapping[str, StagePlan]) -> StagePlan:
        """The state of a stage all of whose inputs are known."""
        fingerprint = tuple(_record_key(plans[s]) for s in self.graph.upstream[node.stage])
        cached = self._settled.get(node.stage)
        if cached is not None and cached[0] == fingerprint:
            return cached[1]
        manifest = manifest_of(node, self.graph, self.world, lambda s: _parts(plans[s]))
        plan = self._by_record(node, manifest, plans)
        self._settled[node.stage] = (fingerprint, plan)
        return plan

    def _by_record(self, node: Node, manifest: Manifest, plans: Mapping[str, StagePlan]) -> StagePlan:
        key = key_of(manifest)
        record, drift = self.records.get(key), tuple[str, ...]()
        if record is None and node.stage not in self.again:
            record, drift = self._accepted(key)
            if record is not None:
                return StagePlan(
                    node.stage, "fresh", key, record.output, (), record.seconds, None, drift, manifest, record
                )
        if record is None and node.kind == "train" and not self.is_strict:
            record, drift = self._drifted(node, manifest)
        is_refused = record is not None and self.is_refused(record)
        if record is not None and node.stage not in self.again and not is_refused:
            return StagePlan(
                node.stage,
                "fresh",
                record.key,
                record.output,
                (),
                record.seconds,
                None,
                drift,
                manifest,
                record,
            )
        last = self.last_record(node.stage)
        if node.stage in self.again and record is not None:
            reasons: tuple[Reason, ...] = (Reason("runtime", "--again", new=node.stage),)
        elif is_refused:
            reasons = (Reason("runtime", "environment.hermetic", new=self.graph.hermetic),)
        else:
            reasons = tuple(self._causes(node, manifest, last, plans)) if self.names_causes else ()
        goes_on = node.stage not in self.again and self.graph.hermetic != "strict"
        seconds, before = last.seconds if last else None, last if goes_on else None
        return StagePlan(node.stage, "run", key, None, reasons, seconds, None, (), manifest, last=before)

    def told(self, plan: StagePlan) -> dict[str, Any]:
        """What the Record of a stage that runs keeps of its own causes: they are not followed up."""
        last = self.last_record(plan.stage)
        if last is None or plan.manifest is None:
            return {}
        node = self.graph.nodes[plan.stage]
        return told_of(differences(last.manifest, plan.manifest, node, self.objects, self.world), last.key)

    def is_refused(self, record: Record) -> bool:
        """Under `hermetic: strict` a result counts only where the kernel was asked, and saw nothing undeclared."""
        return self.graph.hermetic == "strict" and not is_vouched(record.notes)

    def _accepted(self, key: Digest) -> tuple[Record | None, tuple[str, ...]]:
        """The Record that a user takes for this key's, and the line that says so in every plan."""
        accepted = self.acceptances.get(key) if self.acceptances is not None else None
        record = self.records.get(accepted.record) if accepted is not None else None
        return record, (accepted.note,) if accepted is not None and record is not None else ()

    def _drifted(self, node: Node, manifest: Manifest) -> tuple[Record | None, tuple[str, ...]]:
        """A training's Record that only library versions tell from this one, and what drifted."""
        like = self.records.like(loose_key_of(manifest))
        if not like:
            return None, ()
        record = like[0]
        now = {
            name: version for step in manifest["steps"] for name, version in step.get("libraries", {}).items()
        }
        then = {n: v for step in record.manifest["steps"] for n, v in step.get("libraries", {}).items()}
        policy = node.libraries_policy or self.graph.libraries_policy  # which may have been another one
        then |= {name: counted_version(version, policy) for name, version in record.libraries.items()}
        drift = [
            f"{name} {then.get(name)} → {version}"
            for name, version in sorted(now.items())
            if then.get(name) != version
        ]
        return record, tuple(drift)

    def _maybe(self, node: Node, waits_for: list[str], lost: StagePlan | None) -> StagePlan:
        last = self.last_record(node.stage)
        upstream = tuple(Reason("upstream", stage) for stage in waits_for)
        if lost is not None:
            upstream = (*lost.reasons, *upstream)
        if last is None:
            return StagePlan(node.stage, "maybe", reasons=(self._never_or_lost(node), *upstream))
        own = self._own_causes(node, last) if self.names_causes else ()
        return StagePlan(node.stage, "maybe", None, None, (*own, *upstream), last.seconds)

    def _own_causes(self, node: Node, last: Record) -> tuple[Reason, ...]:
        """What the stage itself has changed, whatever the stages before it give."""
        manifest = manifest_of(node, self.graph, self.world, None)
        found = differences(
            _without_stage_inputs(last.manifest, manifest), manifest, node, self.objects, self.world
        )
        return tuple(reason for reason in found if reason.kind != "upstream")

    def _causes(
        self, node: Node, manifest: Manifest, last: Record | None, plans: Mapping[str, StagePlan]
    ) -> list[Reason]:
        if last is None:
            return [self._never_or_lost(node)]
        found = differences(last.manifest, manifest, node, self.objects, self.world)
        leaves: list[Reason] = []
        for reason in found:
            leaves += (
                self._leaves_of(reason, node, last, plans, MAX_DEPTH)
                if reason.kind == "upstream"
                else [reason]
            )
        unique = [leaf for index, leaf in enumerate(leaves) if leaf not in leaves[:index]]
        return unique or [Reason("missing", node.stage, old=last.output)]

    def _leaves_of(
        self, reason: Reason, node: Node, last: Record, plans: Mapping[str, StagePlan], depth: int
    ) -> list[Reason]:
        """The causes of another stage's changed output, followed up through Records."""
        stage = reason.name
        now = plans[stage].record if stage in plans else None
        read = digests_read(node, last.manifest, stage)
        then = self._record_that_gave(stage, read)
        if not read or (then is None and self._is_known_whole(stage)):
            return [Reason("input", stage, "not read", "read", at=reason.at)]
        if now is None or then is None or now.key == then.key or depth == 0:
            return [reason]
        upstream_node = self.graph.nodes[stage]
        leaves: list[Reason] = []
        for found in self._between(upstream_node, then, now):
            if found.kind == "upstream":
                leaves += self._leaves_of(found, upstream_node, then, plans, depth - 1)
            else:
                leaves.append(found)
        return [replace(leaf, via=(stage, *leaf.via)) for leaf in leaves] or [reason]

    def _between(self, node: Node, then: Record, now: Record) -> list[Reason]:
        """What tells two Records of a stage apart; every stage behind it asks."""
        asked = node.stage, then.key, now.key  # two addresses of an action have their own places
        if asked not in self._told_apart:
            found = differences(then.manifest, now.manifest, node, self.objects)
            self._told_apart[asked] = retold(found, now.told, then.key, keeps_places=True)
        return self._told_apart[asked]

    def _record_that_gave(self, stage: str, read: Mapping[str, Digest]) -> Record | None:
        """The newest Record of `stage` with these parts."""
        for key in self.history.keys(stage):
            record = self.records.get(key)
            if record is not None and all(record.parts.get(p) == d for p, d in read.items()):
                return record
        return None

    def _never_or_lost(self, node: Node) -> Reason:
        """Of a stage without a last Record: it was never built, or its Record is gone."""
        is_lost = self.history.last(node.stage) is not None
        return Reason("missing", node.stage) if is_lost else Reason("new", node.stage, at=node.at or None)

    def _is_known_whole(self, stage: str) -> bool:
        """Whether every Record that `stage` ever had is still at hand."""
        keys = self.history.keys(stage)
        return len(keys) < self.history.most_keys and all(self.records.get(k) is not None for k in keys)

    def last_record(self, stage: str) -> Record | None:
        """What the stage gave in the build before."""
        if stage not in self._last:
            key = self.history.last(stage)
            self._last[stage] = self.records.get(key) if key is not None else None
        return self._last[stage]


def _parts(plan: StagePlan) -> Mapping[str, Digest]:
    return plan.record.parts if plan.record is not None else {}


def _seen_behind(plan: StagePlan) -> tuple[bool, Digest]:
    """What of a stage's state decides the state of those that read it."""
    return plan.state in ("run", "maybe"), _record_key(plan)


def _record_key(plan: StagePlan) -> Digest:
    return plan.record.output if plan.record is not None else ""


def _without_stage_inputs(old: Manifest, new: Manifest) -> Manifest:
    """`old` with only those inputs that `new`, which knows no other stage's output, has as well."""

    def kept(before: Manifest, now: Manifest) -> Manifest:
        inputs = {
            n: d
            for n, d in before.get("inputs", {}).items()
            if n in now.get("inputs", {}) or isinstance(d, str)
        }
        return {
            **{k: v for k, v in before.items() if k != "inputs"},
            **({"inputs": inputs} if inputs else {}),
        }

    steps, new_steps = old.get("steps", []), new.get("steps", [])
    became = {then: new_steps[now] for now, then in paired(steps, new_steps).items()}
    return {**kept(old, new), "steps": [kept(step, became.get(i, {})) for i, step in enumerate(steps)]}


__all__ = ["STATES", "History", "Plan", "Planner", "Remote", "StagePlan"]
