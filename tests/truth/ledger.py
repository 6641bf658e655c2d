"""What must happen next, by all that happened so far: which stages run, and which causes are true."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.truth.facts import Fact, Id, Parts, StageFacts, selected

Facts = Mapping[str, StageFacts]


@dataclass(frozen=True)
class Outcome:
    """Of one stage in a cold build."""

    outcome: str
    output: str | None
    parts: Parts
    error: str | None = None


@dataclass(frozen=True)
class Settled:
    """A stage as a build left it."""

    facts: StageFacts
    parts: Parts  # its own
    upstream: Mapping[str, Parts]
    key: str
    output: str


@dataclass
class Expected:
    ran: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    drifted: set[str] = field(default_factory=set)  # trainings that stay, though a library moved
    lacking: dict[str, set[str]] = field(default_factory=dict)  # stages whose Artifact lacks these objects
    lost: dict[str, set[str]] = field(default_factory=dict)  # … and is needed
    keys: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Parts] = field(default_factory=dict)  # as this store has them


@dataclass
class Ledger:
    known: dict[str, Settled] = field(default_factory=dict)  # key -> what its Record says
    loose: dict[str, list[str]] = field(default_factory=dict)  # a training's key without libraries -> keys
    settled: dict[str, Settled] = field(default_factory=dict)  # stage -> how the journal knows it
    history: dict[str, list[Settled]] = field(default_factory=dict)
    lost_records: set[str] = field(default_factory=set)  # keys whose Record was deleted

    def expect(self, facts: Facts, cold: Mapping[str, Outcome], missing: Mapping[str, set[str]]) -> Expected:
        """`missing`: output -> objects of it that are not, or not soundly, in the store."""
        found = self._expect(facts, cold, missing, {})
        rebuilt: dict[str, set[str]] = {}
        # of a training that a library's drift left alone, and whose Artifact is lost, the result is today's
        while drifted := found.lost.keys() & found.drifted:
            rebuilt |= {stage: found.lost[stage] for stage in drifted}
            found = self._expect(facts, cold, missing, rebuilt)
        return found

    def _expect(
        self,
        facts: Facts,
        cold: Mapping[str, Outcome],
        missing: Mapping[str, set[str]],
        rebuilt: Mapping[str, set[str]],
    ) -> Expected:
        """`rebuilt`: stages that do not drift, with what their Artifacts lack."""
        found = Expected()
        for stage, own in facts.items():
            if any(s not in found.parts for s in own.upstream):
                found.skipped.add(stage)
                continue
            key = found.keys[stage] = own.key(found.parts)
            settled = self.known.get(key) or (None if stage in rebuilt else self._drifted(own, found))
            if settled is not None:
                found.parts[stage] = settled.parts
                if settled.key != key:
                    found.drifted.add(stage)
                    found.keys[stage] = settled.key
            elif cold[stage].outcome == "failed":
                found.failed.add(stage)
            elif cold[stage].outcome == "ran":
                found.ran.add(stage)
                found.parts[stage] = cold[stage].parts
            else:
                found.skipped.add(stage)
        self._lose(facts, found, missing)
        for stage in rebuilt.keys() & found.ran:  # and the cause is the loss
            found.ran.discard(stage)
            found.lost[stage] = found.lacking[stage] = rebuilt[stage]
        self._block(facts, found)
        return found

    def take(self, facts: Facts, expected: Expected, outputs: Mapping[str, str], ran: Iterable[str]) -> None:
        """After a build: what its Records and its journal say."""
        ran = set(ran)
        for stage, output in outputs.items():
            own, key = facts[stage], expected.keys[stage]
            if stage in ran or key not in self.known:
                upstream = {s: expected.parts[s] for s in own.upstream}
                self.known[key] = Settled(own, expected.parts[stage], upstream, key, output)
                self.lost_records.discard(key)
                if own.kind == "train":
                    others = self.loose.setdefault(own.key(expected.parts, with_libraries=False), [])
                    others[:] = [*(k for k in others if k != key), key]
        for stage in outputs:
            settled = self.known[expected.keys[stage]]
            upstream = {s: expected.parts[s] for s in facts[stage].upstream}
            now = (
                facts[stage]
                if stage not in expected.drifted
                else _with_libraries(facts[stage], settled.facts)
            )
            self.settled[stage] = Settled(now, settled.parts, upstream, settled.key, settled.output)
            self.history.setdefault(stage, []).append(self.settled[stage])

    # losses

    def forget_store(self) -> None:
        self.known.clear()
        self.loose.clear()
        self.lost_records.clear()
        self.forget_journal()

    def forget_journal(self) -> None:
        self.settled.clear()
        self.history.clear()

    def forget_record(self, key: str) -> None:
        self.known.pop(key, None)
        self.lost_records.add(key)

    # causes

    def causes(
        self, facts: Facts, expected: Expected, stage: str
    ) -> tuple[list[Fact], list[tuple[Fact, ...]]]:
        """(all that may be named, groups of which each has to be named by one)."""
        before = self.settled.get(stage)
        if before is None:
            new = Fact("new", stage, None, facts[stage].at)
            return [new], [(new,)]
        if before.key in self.lost_records:
            missing = Fact("missing", stage, None)
            return [missing], [(missing,)]
        own = list(differences(before.facts, facts[stage]))
        groups = [(fact,) for fact in own if fact.name]
        allowed = own
        behind: list[Fact] = []
        allowed += _wiring(before.facts, facts[stage])
        for upstream, wanted in facts[stage].reads:
            then = selected(before.upstream.get(upstream, {}), wanted)
            if then != selected(expected.parts.get(upstream, {}), wanted):
                behind += self._behind(facts, expected, upstream, then, wanted, 12)
        behind += _wiring(before.facts, facts[stage]) if behind else []
        if behind:
            groups.append(tuple(behind))
        return [*allowed, *behind], groups

    def _behind(
        self, facts: Facts, expected: Expected, stage: str, then: Any, wanted: tuple[str, ...], depth: int
    ) -> list[Fact]:
        """Every leaf that may have changed what `stage` gave, by all Records that gave the same then."""
        found: list[Fact] = []
        for past in self.history.get(stage, []):
            if selected(past.parts, wanted) != then:
                continue
            if past.key in self.lost_records:
                found.append(Fact("upstream", stage, None))
            found += [*differences(past.facts, facts[stage]), *_wiring(past.facts, facts[stage])]
            for upstream, parts in facts[stage].reads:
                before = selected(past.upstream.get(upstream, {}), parts)
                if depth and before != selected(expected.parts.get(upstream, {}), parts):
                    found += self._behind(facts, expected, upstream, before, parts, depth - 1)
        return found or [Fact("upstream", stage, None)]

    # what is expected

    def _drifted(self, own: StageFacts, found: Expected) -> Settled | None:
        if own.kind != "train":
            return None
        keys = self.loose.get(own.key(found.parts, with_libraries=False), [])
        return next((self.known[k] for k in reversed(keys) if k in self.known), None)

    def _lose(self, facts: Facts, found: Expected, missing: Mapping[str, set[str]]) -> None:
        """Artifacts that are needed and not here are built again."""
        lacking = found.lacking = {
            s: missing[self.known[k].output]
            for s, k in found.keys.items()
            if k in self.known and missing.get(self.known[k].output)
        }
        needed = {s for s, f in facts.items() if f.kind not in ("ingest", "filter")}
        changed = True
        while changed:
            changed = False
            running = found.ran | found.failed | found.lost.keys()
            needed |= {u for s in running for u in facts[s].upstream}
            for stage in lacking.keys() & needed - found.lost.keys():
                found.lost[stage] = lacking[stage]
                changed = True

    def _block(self, facts: Facts, found: Expected) -> None:
        """Nothing is built behind a failure, or a requirement that is not met; what reads of it, nobody can know."""
        unknown, ended_badly = set[str](), set[str]()
        for stage, own in facts.items():
            would_run = stage in found.ran | found.failed | found.lost.keys()
            if own.upstream & unknown or (would_run and (own.upstream | own.guards) & ended_badly):
                found.ran.discard(stage)
                found.failed.discard(stage)
                found.lost.pop(stage, None)
                found.skipped.add(stage)
            if stage in found.failed | found.skipped:
                unknown.add(stage)
            if stage in unknown or not own.is_met:
                ended_badly.add(stage)


def differences(old: StageFacts, new: StageFacts) -> Iterator[Fact]:
    """Facts that are another now; `value` is (old, new)."""
    if [s for s, _ in old.steps] != [s for s, _ in new.steps]:
        yield Fact("param", new.steps_at[0], (old.called, new.called), new.steps_at[1])
    both = {s for s, _ in old.steps} & {s for s, _ in new.steps} | {""}
    for place in {**old.facts, **new.facts}:
        if place[0] in both and (change := _difference(place, old, new)) is not None:
            yield change


def _wiring(old: StageFacts, new: StageFacts) -> Iterator[Fact]:
    """What is read now and was not, and the other way round."""
    for stage, _ in set(new.reads) - set(old.reads):
        yield Fact("input", stage, ("not read", "read"))
    if set(old.reads) - set(new.reads):
        yield Fact("input", "", ("read", "not read"))


def _difference(place: Id, old: StageFacts, new: StageFacts) -> Fact | None:
    before, now = old.facts.get(place), new.facts.get(place)
    values = (before.value if before else None, now.value if now else None)
    if values[0] == values[1]:
        return None
    known = now or before
    assert known is not None
    return Fact(known.kind, known.name, values, now.at if now else None)


def _with_libraries(own: StageFacts, old: StageFacts) -> StageFacts:
    libraries = {i: f for i, f in old.facts.items() if f.kind == "library"}
    kept = {i: f for i, f in own.facts.items() if f.kind != "library"}
    return replace(own, facts={**kept, **libraries})
