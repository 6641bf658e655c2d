"""A few changed rows on their way through the gates; of a gate that compares items, also rows whose lot it changes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spark_build.contract.rules import Gate, JoinGate
from spark_build.core.digest import Digest
from spark_build.core.errors import BadInput
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Memo, Services
from spark_build.core.values import replace
from spark_build.stages import entering
from spark_build.stages.changed_splits import ChangedSplits
from spark_build.stages.entering import Entering
from spark_build.stages.gating import Candidate, action_of, check_none_fails
from spark_build.stages.join_changes import JoinChanges, PassedChanges
from spark_build.stages.loading import load_blind, rule_class
from spark_build.stages.passing import Passed, free_name, note, run_gate
from spark_build.stages.rejected import by_frequency
from spark_build.stages.splicing import DoesNotFit


def through_changed_gates(
    job: Job, services: Services, changed: ChangedSplits, handled: set[str]
) -> PassedChanges:
    """Errors: DoesNotFit; `handled` then holds the ids of items that a gate ran for all the same."""
    check_goes_on(job)
    old = job.previous["notes"].get("gates") or {}
    gates = _Gates(job, services, changed, handled)
    for number, step in enumerate(job.steps):
        name = free_name(_name(step), gates.passed.notes)
        if name not in old:
            raise DoesNotFit("notes of other gates")
        try:
            gates.passed.notes[name] = gates.run(number, step, old[name])
        except BadInput as why:  # the whole says it better
            raise DoesNotFit(why.message) from None
    if old.keys() != gates.passed.notes.keys():
        raise DoesNotFit("notes of other gates")
    return gates.finished()


def check_goes_on(job: Job) -> None:
    """Errors: DoesNotFit where it can't be told what a gate did with one item, and what in the light of others."""
    joins = [step for step in job.steps if issubclass(rule_class(job, step, Gate), JoinGate)]
    if any(action_of(load_blind(job, step, Gate)[1]) == "flag" for step in joins):
        raise DoesNotFit("a gate that compares items and flags them")
    if joins and len({*map(_name, job.steps)}) < len(job.steps):
        raise DoesNotFit("two gates of one name")


def keep_entering(
    job: Job,
    memo: Memo,
    found: Mapping[int, Entering],
    shards: Sequence[entering.Shard],
    known: Iterable[entering.Shard] = (),
) -> None:
    """So that the next result can go on from this one; of `known` shards it is remembered already."""
    for number, came_in in found.items():
        entering.keep(memo, entering.operation_of(job, number), came_in, shards, known)


class _Gates:
    def __init__(self, job: Job, services: Services, changed: ChangedSplits, handled: set[str]) -> None:
        self._job, self._services, self._changed, self._handled = job, services, changed, handled
        self._known = replace(services, memo=_KnownAlone(services.memo))
        witness = changed.witness()
        gone, new = (Passed([*changed.candidates(which), witness]) for which in ("gone", "new"))
        self.passed = PassedChanges(gone, new, witness)
        self._joins: JoinChanges | None = None

    def run(self, number: int, step: JobStep, old: Mapping[str, Any]) -> dict[str, Any]:
        """What is to be noted of the gate, of all rows."""
        if issubclass(rule_class(self._job, step, Gate), JoinGate):
            return self._join_gate(number, step)
        gone = self._item_gate(step, self.passed.gone, self._known)
        new = self._item_gate(step, self.passed.new, self._services)
        return _merged_note(old, gone, new)

    def _item_gate(self, step: JobStep, passed: Passed, services: Services) -> dict[str, Any]:
        gated = run_gate(self._job, services, step, passed.kept, self._changed.fields)
        self._ran_for(gated.handled)
        check_none_fails(gated, step)
        told = note(len(passed.kept), gated)
        passed.kept = gated.kept
        passed.rejected += gated.rejected
        return told

    def _join_gate(self, number: int, step: JobStep) -> dict[str, Any]:
        if self._joins is None:
            self._joins = JoinChanges(self._job, self._services, self._changed, self._lifted, self._ran_for)
        return self._joins.run(number, step, self.passed)

    def finished(self) -> PassedChanges:
        found, changed = self.passed.new.entering, self._changed
        if found:
            keep_entering(self._job, self._services.memo, found, changed.shards("now"), changed.shards("was"))
        for passed in (self.passed.gone, self.passed.new):
            passed.kept = [c for c in passed.kept if c.item.id != self.passed.witness.item.id]
        return self.passed

    def _ran_for(self, numbers: set[int]) -> None:
        self.passed.new.handled |= numbers
        self._handled |= {self._changed.ids[number] for number in numbers}

    def _lifted(self, numbers: Sequence[int], gate: int) -> list[Candidate]:
        """Rows as they come into that gate, and came; none before it drops one of them."""
        candidates = self._changed.rows(numbers)
        for step in self._job.steps[:gate]:
            if not issubclass(rule_class(self._job, step, Gate), JoinGate):
                candidates = run_gate(self._job, self._known, step, candidates, self._changed.fields).kept
        if [c.number for c in candidates] != list(numbers):
            raise DoesNotFit("an item that was dropped before")
        return candidates


class _KnownAlone:
    """A memo that has to know everything: no operation runs for an item that is gone."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo

    def get(self, operation: Digest, keys: Sequence[bytes]) -> list[bytes | None]:
        values = self._memo.get(operation, keys)
        if None in values:
            raise DoesNotFit("what the gates found of an item that is gone")
        return values

    def put(self, operation: Digest, entries: Mapping[bytes, bytes]) -> None:
        """Nothing is new."""

    def jot(self, operation: Digest, key: bytes, value: bytes) -> None:
        """Nothing is new."""


def _name(step: JobStep) -> str:
    return step.label or step.rule


def _merged_note(old: Mapping[str, Any], gone: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    if old.keys() != new.keys():
        raise DoesNotFit("other notes")
    merged = {name: old[name] - gone[name] + new[name] for name in ("in", "dropped", "replaced")}
    reasons, flagged = (
        by_frequency({name: count for name, count in _merged(old, gone, new, which).items() if count})
        for which in ("reasons", "flagged")
    )
    counts = _merged(old, gone, new, "counts")
    if any(not count and name in gone["counts"] for name, count in counts.items()):
        raise DoesNotFit("a count that may have gone")
    return {**merged, "reasons": reasons, "flagged": flagged, "counts": dict(sorted(counts.items()))}


def _merged(
    old: Mapping[str, Any], gone: Mapping[str, Any], new: Mapping[str, Any], name: str
) -> dict[str, int]:
    names = {*old[name], *new[name]}
    return {n: old[name].get(n, 0) - gone[name].get(n, 0) + new[name].get(n, 0) for n in names}
