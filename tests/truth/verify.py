"""One round: plan, build, a cold build in an empty store, and every claim that has to hold between them."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spark_build.app import BuildOptions
from spark_build.core.digest import digest_bytes
from spark_build.core.job import Job
from spark_build.core.tree import Tree
from spark_build.engine.explain import Reason
from spark_build.engine.plan import Plan
from spark_build.pinning import Lock
from tests.truth.facts import Fact, StageFacts, facts_of
from tests.truth.inline import Hook, fresh_process, inline_project, later, wait_for_a_tick
from tests.truth.ledger import Expected, Ledger, Outcome, differences
from tests.truth.outside import build_outside, plan_outside
from tests.truth.project import Site, State


class Contradiction(AssertionError):
    """The tool said or did what is not so. `claim`: plan, outcome, output, cause, lock."""

    def __init__(self, claim: str, text: str) -> None:
        super().__init__(f"{claim}: {text}")
        self.claim = claim


@dataclass
class Built:
    """What a build said."""

    outcomes: dict[str, str]
    outputs: dict[str, str]
    records: dict[str, Any]
    reasons: dict[str, tuple[Reason, ...]]
    errors: dict[str, str]


@dataclass
class Verifier:
    site: Site
    ledger: Ledger = field(default_factory=Ledger)
    real_keys: dict[str, str] = field(default_factory=dict)  # the Record's key -> the ledger's
    may_be_damaged: bool = False  # an object was deleted or changed at some time
    is_rotten: bool = False  # rot without a change of stat: exempt from what the plan says
    is_outside: bool = False  # asked through the real command line
    _cold: dict[str, dict[str, Outcome]] = field(default_factory=dict)

    def first_round(self, seed: int = 0) -> None:
        """The first build is a cold one itself."""
        plan, built = self.plan(), self.build(seed)
        facts = facts_of(self.site.state)
        cold = self._cold[self.site.state.fingerprint()] = _as_cold(built)
        expected = self.ledger.expect(facts, cold, {})
        self._check_plan(plan, facts, expected)
        self._check(plan, built, facts, expected, cold)

    def round(self, seed: int = 0) -> None:
        """Errors: Contradiction."""
        site = self.site
        facts, cold = facts_of(site.state), self.cold()
        missing = self._missing() if self.may_be_damaged else {}
        expected = self.ledger.expect(facts, cold, missing)
        plan = self.plan()
        self._check_plan(plan, facts, expected)
        built = self.build(seed)
        if self.is_rotten and "failed" in built.outcomes.values():  # rot is found on read, and told
            built = self.build(seed)
            expected = None
        self._check(plan, built, facts, expected, cold)
        if site.state.spec.get("deployments") and not self.is_outside:
            self._check_deployment(built)

    def _check_deployment(self, built: Built) -> None:
        """It is not started here: where its model is there it has to run, else it waits for it."""
        name, declared = next(iter(self.site.state.spec["deployments"].items()))
        with fresh_process(self.site.root, self.site.env(), self.site.packages), later():
            project = self._project(self.site.root, self.site.state)
            served = project.plan(name)[f"deployment:{name}/serve"]
            project.close()
        output = built.outputs.get(f"model:{declared['model']}/train")
        # rot that nobody read while this round's build ran is seen from now on
        is_there = output is not None and not (self.may_be_damaged and _missing(self.site.store, output))
        if (served.state, [r.kind for r in served.reasons]) != (
            ("run", ["runtime"]) if is_there else ("maybe", ["upstream"])
        ):
            raise Contradiction("plan", f"deployment:{name} is {served.state} for {served.reasons}")

    def round_with_edit(self, seed: int, change: Callable[[], str], number: int, when: str) -> None:
        """A build in which `change` comes before or after the `number`th stage that runs: nothing false is recorded."""
        facts, cold = facts_of(self.site.state), self.cold()
        expected = self.ledger.expect(facts, cold, self._missing() if self.may_be_damaged else {})
        seen, changed, ended_before = 0, "", set[str]()

        def hook(moment: str, job: Job) -> None:
            nonlocal seen, changed
            if moment == "after":
                seen += 1
            if moment == when and not changed and seen >= number:
                wait_for_a_tick()
                changed = change()
            if moment == "after" and not changed:
                ended_before.add(job.key)  # an action may have several addresses

        built = self.build(seed, hook)
        for stage, outcome in built.outcomes.items():
            reads_it = changed and changed in _own_files(facts[stage])
            if outcome == "ran" and reads_it and built.records[stage].key not in ended_before:
                raise Contradiction("outcome", f"{stage} is recorded, though {changed} changed while it ran")
            if (
                outcome == "failed"
                and stage not in expected.failed
                and not _tells_of_an_edit(built.errors[stage])
            ):
                raise Contradiction("outcome", f"{stage} failed: {built.errors[stage]}")
            if outcome == "ran" and cold[stage].output not in (None, built.outputs[stage]):
                raise Contradiction("output", f"{stage} ran beside an edit, and gave what no project gives")
        self._take(built, facts, expected)

    def plan(self) -> Plan:
        if self.is_outside:
            return plan_outside(self.site)
        with fresh_process(self.site.root, self.site.env(), self.site.packages), later():
            project = self._project(self.site.root, self.site.state)
            plan = project.plan()
            project.close()
        return plan

    def build(self, seed: int = 0, hook: Hook | None = None) -> Built:
        if self.is_outside:
            return _told_outside(*build_outside(self.site, 1 + seed % 4))
        with fresh_process(self.site.root, self.site.env(), self.site.packages), later():
            project = self._project(self.site.root, self.site.state, seed, hook)
            result = project.build(options=BuildOptions(jobs=1 + seed % 4))
            project.close()
        return _told(result, {s: p.reasons for s, p in project.said.items()})

    def cold(self) -> dict[str, Outcome]:
        """What comes out of an empty store in an empty folder; requirements are not asked: they count nowhere."""
        fingerprint = self.site.state.fingerprint()
        if fingerprint not in self._cold:
            self._cold[fingerprint] = self._build_cold()
        return self._cold[fingerprint]

    def _build_cold(self) -> dict[str, Outcome]:
        folder = self.site.place / "cold"
        self.site.copy_without_store(folder)
        state = self.site.state.copy()
        for one in (
            *state.spec.get("datasets", {}).values(),
            *(t.get("eval", {}) for t in state.spec.get("targets", {}).values()),
        ):
            one.pop("require", None)
        (folder / "Sparkfile.yaml").write_text(state.rendered().text)
        with fresh_process(folder, self.site.env(), self.site.packages), later():
            project = self._project(folder, state)
            result = project.build()
            project.close()
        shutil.rmtree(folder)
        return _as_cold(_told(result, {}))

    def _project(self, root: Path, state: State, seed: int = 0, hook: Hook | None = None) -> Any:
        return inline_project(
            root, self.site.packages, profile=state.profile, sets=state.sets, seed=seed, hook=hook
        )

    # what has to hold

    def _check_plan(self, plan: Plan, facts: Mapping[str, StageFacts], expected: Expected) -> None:
        if {s.stage for s in plan.stages} != facts.keys():
            raise Contradiction("plan", f"stages {sorted({s.stage for s in plan.stages} ^ facts.keys())}")
        if self.is_rotten:
            return
        states = {s.stage: s.state for s in plan.stages}
        for stage in plan.stages:
            if stage.state == "run":
                self._check_causes(stage.stage, stage.reasons, facts, expected)
            elif stage.state == "maybe":
                self._check_maybe(stage.stage, stage.reasons, states, facts, expected)
            elif stage.reasons:
                raise Contradiction("cause", f"{stage.stage} is {stage.state} and has {stage.reasons}")

    def _check(
        self, plan: Plan, built: Built, facts: Mapping[str, StageFacts], expected: Expected | None,
        cold: Mapping[str, Outcome],
    ) -> None:  # fmt: skip
        if expected is not None:
            for stage in plan.stages:
                self._check_outcome(stage.stage, stage.state, built, expected, facts)
        expected = expected or self.ledger.expect(facts, cold, {})
        for stage, output in built.outputs.items():
            if cold[stage].output not in (None, output) and stage not in expected.drifted:
                raise Contradiction(
                    "output",
                    f"{stage} has {output[:12]}, and a cold build gives {str(cold[stage].output)[:12]}",
                )
            if cold[stage].output is None:
                raise Contradiction(
                    "output", f"{stage} has a result, and a cold build fails: {cold[stage].error}"
                )
        if not self.is_rotten:
            for stage, outcome in built.outcomes.items():
                if outcome == "ran" and stage in built.reasons:
                    self._check_causes(stage, built.reasons[stage], facts, expected)
        self._check_artifacts(built, facts)
        self._check_lock(built)
        self._take(built, facts, expected)

    def _check_outcome(
        self, stage: str, state: str, built: Built, expected: Expected, facts: Mapping[str, StageFacts]
    ) -> None:
        outcome = built.outcomes.get(stage, "nothing")
        right = _right_outcomes(stage, expected)
        why = f" ({built.errors[stage]})" if stage in built.errors else ""
        if outcome not in right and not self.is_rotten:
            raise Contradiction(
                "outcome", f"{stage} was {outcome}{why}, and should be {' or '.join(sorted(right))}"
            )
        may = {"run": {"ran"}, "fresh": {"fresh"}, "maybe": {"ran", "fresh"}, "restore": {"restored"}}[state]
        if stage in expected.failed:
            may = {"failed"} if state != "fresh" else may
        if stage in expected.skipped and state != "fresh":
            may = {"skipped"}
        if outcome not in may and not self.is_rotten:
            raise Contradiction("plan", f"{stage} was planned {state}, and then {outcome}{why}")

    def _is(self, reason: Reason, fact: Fact) -> bool:
        if _is(reason, fact):
            return True
        # where the listing of what was read is lost, the cause is named without its files
        is_bare = not (reason.added or reason.changed or reason.removed)
        same = (reason.kind, reason.name) == (fact.kind, fact.name) and reason.at in (fact.at, None)
        return self.may_be_damaged and fact.kind == "input" and is_bare and same

    def _check_causes(
        self, stage: str, reasons: tuple[Reason, ...], facts: Mapping[str, StageFacts], expected: Expected
    ) -> None:
        allowed, groups = self.ledger.causes(facts, expected, stage)
        # a lost Artifact is planned to be built, also where a requirement that is not met will keep it from it
        is_lost = stage in expected.lost or (stage in expected.lacking and stage in expected.skipped)
        if is_lost and stage not in expected.ran:
            allowed = [Fact("missing", stage, None), Fact("corrupt", stage, None)]
            groups = [tuple(allowed)]
        if not reasons:
            raise Contradiction("cause", f"{stage} runs without a cause; true: {_names(allowed)}")
        for reason in reasons:
            if not any(self._is(reason, fact) for fact in allowed):
                raise Contradiction("cause", f"{stage} runs for {_shown(reason)}; true: {_names(allowed)}")
        for group in groups:
            if not any(self._is(reason, fact) for reason in reasons for fact in group):
                told = "; ".join(map(_shown, reasons))
                raise Contradiction("cause", f"{stage} does not name {_names(group)}, only {told}")

    def _check_maybe(
        self, stage: str, reasons: tuple[Reason, ...], states: Mapping[str, str], facts: Mapping[str, StageFacts],
        expected: Expected,
    ) -> None:  # fmt: skip
        waits = {u for u in facts[stage].upstream if states[u] in ("run", "maybe")}
        named = {r.name for r in reasons if r.kind == "upstream"}
        # whether a `maybe` that would read it comes to run, nobody knows yet
        is_lost = stage in expected.lost or (
            stage in expected.lacking and _is_read_by_maybe(stage, states, facts)
        )
        if named - waits or (not named and not is_lost):
            raise Contradiction(
                "cause", f"{stage} is maybe for {sorted(named)}, and waits for {sorted(waits)}"
            )
        before = self.ledger.settled.get(stage)
        allowed, groups = self.ledger.causes(facts, expected, stage)
        allowed = (
            [*allowed, Fact("missing", stage, None), Fact("corrupt", stage, None)] if is_lost else allowed
        )
        for reason in reasons:
            if reason.kind != "upstream" and not any(self._is(reason, fact) for fact in allowed):
                raise Contradiction("cause", f"{stage} may run for {_shown(reason)}; true: {_names(allowed)}")
        if before is not None and before.key not in self.ledger.lost_records:
            for (fact,) in (g for g in groups if len(g) == 1 and g[0] in _own(self.ledger, facts, stage)):
                if not any(self._is(reason, fact) for reason in reasons):
                    raise Contradiction("cause", f"{stage}, a maybe, does not name {_names([fact])}")

    def _check_artifacts(self, built: Built, facts: Mapping[str, StageFacts]) -> None:
        """What was asked for lies in the store, whole."""
        if not self.may_be_damaged:
            return
        for stage, output in built.outputs.items():
            if (
                facts[stage].kind not in ("ingest", "filter")
                and _missing(self.site.store, output)
                and not self.is_rotten
            ):
                raise Contradiction(
                    "output", f"{stage} is {built.outcomes[stage]}, and its Artifact is not whole"
                )
        if self.is_rotten:
            self._show_rot()
        self.is_rotten = False

    def _show_rot(self) -> None:
        """Rot that nobody has read yet gets a stat of its own: from now on the plan has to see it."""
        objects = (self.site.store / "objects").glob("??/*")
        for place in objects:
            if digest_bytes(place.read_bytes()) != place.parent.name + place.name:
                os.utime(place)

    def _check_lock(self, built: Built) -> None:
        if self.site.state.profile or self.site.state.sets:
            return
        lock = Lock.load(self.site.root / "Sparkfile.lock")
        for stage, output in built.outputs.items():
            block = lock.get("stages", stage)
            if block is None or block["output"] != output:
                raise Contradiction(
                    "lock", f"{stage}: the lock says {block and block['output'][:12]}, built {output[:12]}"
                )

    def _take(self, built: Built, facts: Mapping[str, StageFacts], expected: Expected) -> None:
        ran = {s for s, o in built.outcomes.items() if o == "ran"}
        self.ledger.take(facts, expected, built.outputs, ran)
        self.real_keys |= {built.records[s].key: expected.keys[s] for s in built.outputs}

    def _missing(self) -> dict[str, set[str]]:
        outputs = {settled.output for settled in self.ledger.known.values()}
        return {output: _missing(self.site.store, output) for output in outputs}


def _right_outcomes(stage: str, expected: Expected) -> set[str]:
    if stage in expected.failed:
        return {"failed"}
    if stage in expected.skipped:
        return {"skipped"}
    if stage in expected.lost:
        # what another stage gave may hold what this one lacks
        return {"ran", "fresh"} if expected.ran or len(expected.lost) > 1 else {"ran"}
    if stage in expected.lacking and any(expected.keys[stage] == expected.keys[s] for s in expected.lost):
        return {"ran", "fresh"}  # one action with two addresses, lost and needed under the other one
    return {"ran"} if stage in expected.ran else {"fresh"}


def _told(result: Any, reasons: dict[str, tuple[Reason, ...]]) -> Built:
    results = result.results
    return Built(
        {s: r.outcome for s, r in results.items()},
        {s: r.record.output for s, r in results.items() if r.record},
        {s: r.record for s, r in results.items() if r.record},
        reasons,
        {s: f"{r.error}\n{r.log_tail}" for s, r in results.items() if r.error},
    )


def _told_outside(events: Mapping[str, Any], records: Mapping[str, Any]) -> Built:
    return Built(
        {s: e["outcome"] for s, e in events.items()},
        {s: e["output"] for s, e in events.items() if e["output"]},
        dict(records),
        {},  # what the planner said on the way is not told
        {s: e["error"] for s, e in events.items() if e.get("error")},
    )


def _is_read_by_maybe(stage: str, states: Mapping[str, str], facts: Mapping[str, StageFacts]) -> bool:
    return any(state == "maybe" and stage in facts[reader].upstream for reader, state in states.items())


def _own_files(own: StageFacts) -> set[str]:
    found: set[str] = set()
    for fact in own.facts.values():
        if fact.kind == "input":
            found |= {fact.name, *(f"{fact.name}/{path}" for path in fact.value)}
        if fact.kind == "rule" and isinstance(fact.value, dict):
            found |= fact.value.keys()
    return found


def _as_cold(built: Built) -> dict[str, Outcome]:
    def one(stage: str) -> Outcome:
        record = built.records.get(stage)
        parts = record.parts if record else {}
        return Outcome(built.outcomes[stage], built.outputs.get(stage), parts, built.errors.get(stage))

    return {stage: one(stage) for stage in built.outcomes}


def _own(ledger: Ledger, facts: Mapping[str, StageFacts], stage: str) -> list[Fact]:
    return list(differences(ledger.settled[stage].facts, facts[stage]))


def _is(reason: Reason, fact: Fact) -> bool:
    """Whether the cause is this very change: kind, name, old and new value, files, place."""
    if fact.kind == "input" and isinstance(fact.value[1], str):
        return (reason.kind, reason.old, reason.new) == ("input", *fact.value) and fact.name in (
            "",
            reason.name,
        )
    if (reason.kind, reason.name) != (fact.kind, fact.name):
        return False
    if fact.kind in ("new", "missing", "corrupt", "upstream"):
        return fact.at is None or reason.at == fact.at
    old, new = fact.value
    if fact.kind in ("param", "library", "tool", "numerics") or isinstance(old, int):
        values = json.dumps([reason.old, reason.new], sort_keys=True) == json.dumps(
            [old, new], sort_keys=True
        )
        return values and (fact.at is None or reason.at == fact.at)
    if fact.kind == "env":
        return True
    old, new = old or {}, new or {}
    files = (
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(p for p in new.keys() & old.keys() if new[p] != old[p])),
        tuple(sorted(old.keys() - new.keys())),
    )
    return (reason.added, reason.changed, reason.removed) == files and (
        fact.at is None or reason.at == fact.at
    )


def _missing(store: Path, output: str) -> set[str]:
    listing = _sound(store, output)
    if listing is None:
        return {output}
    return {e.digest for e in Tree.parse(listing) if _sound(store, e.digest) is None}


def _sound(store: Path, digest: str) -> bytes | None:
    try:
        data = (store / "objects" / digest[:2] / digest[2:]).read_bytes()
    except OSError:
        return None
    return data if digest_bytes(data) == digest else None


def _shown(reason: Reason) -> str:
    files = {n: getattr(reason, n) for n in ("added", "changed", "removed") if getattr(reason, n)}
    return f"{reason.kind} {reason.name} {reason.old!r} → {reason.new!r} {files or ''} at {reason.at}"


def _names(facts: Any) -> str:
    def one(fact: Fact) -> str:
        values = fact.value if fact.kind in ("param", "library", "tool", "numerics") else ""
        return f"{fact.kind} {fact.name} {values} at {fact.at}"

    return "; ".join(dict.fromkeys(map(one, facts))) or "none"


def _tells_of_an_edit(error: str) -> bool:
    return " changed while " in error or " was written to while " in error
