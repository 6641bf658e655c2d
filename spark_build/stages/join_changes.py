"""A gate that compares items, where few of those that came in changed: the join is done anew, on what is remembered
of the unchanged rows; those that it treats in another way than then are sent on as changed ones.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spark_build.contract.rules import JoinGate
from spark_build.core.digest import Digest
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Services
from spark_build.core.values import Struct, field
from spark_build.stages import entering
from spark_build.stages.changed_splits import MOST_CHANGED_SHARE, ChangedSplits
from spark_build.stages.entering import JOINS, UNKNOWN, Entering
from spark_build.stages.gating import Candidate, Gated, action_of, rejection
from spark_build.stages.join_gate import all_joining, finding, notes_of
from spark_build.stages.joining import Join, Joining
from spark_build.stages.loading import load_blind
from spark_build.stages.media import seen
from spark_build.stages.narrow import View
from spark_build.stages.passing import Passed, fields_read, note
from spark_build.stages.rejected import by_frequency
from spark_build.stages.similarities import Pair
from spark_build.stages.splicing import DoesNotFit

if TYPE_CHECKING:
    import numpy as np

_FINDING = ("reason", "score", "threshold", "matched", "detail")
Found = Mapping[int, Mapping[str, Any]]  # by number, of those that go: what a rejection tells

Lifted = Callable[[Sequence[int], int], list[Candidate]]  # rows by number, as they come into a gate


class PassedChanges(Struct):
    """`gone`: what the gates did then with rows that are not there any more, or have another lot; `new`: what they do
    now with rows that were not there, and with the latter ones.
    """

    gone: Passed
    new: Passed
    witness: Candidate  # in both: an item that the gates left and leave
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by gate, of all rows
    told: list[str] = field(default_factory=list)  # for the log


class JoinChanges:
    """For all gates of a filter that compare items, in order."""

    def __init__(
        self,
        job: Job,
        services: Services,
        changed: ChangedSplits,
        lifted: Lifted,
        ran_for: Callable[[set[int]], None],
    ) -> None:
        import numpy as np

        self._job, self._services, self._changed = job, services, changed
        self._lifted, self._ran_for = lifted, ran_for
        self._names = {step.label or step.rule: number for number, step in enumerate(job.steps)}
        # of unchanged rows the gate that dropped them then, or how many there are
        self._gate_of = np.zeros(changed.total, np.int64)
        # which rows are unchanged, and had the same lot so far
        self._as_it_was = np.zeros(changed.total, np.bool_)
        for split, _, first, count in changed.unchanged:
            ids = changed.ids[first : first + count]
            self._gate_of[first : first + count] = [self._gate_then(i, split.left_ids) for i in ids]
            self._as_it_was[first : first + count] = True

    def run(self, number: int, step: JobStep, passed: PassedChanges) -> dict[str, Any]:
        """What is to be noted of the gate, of all rows."""
        gate, params = load_blind(self._job, step, JoinGate)
        arrived = [c for c in passed.new.kept if c.item.id != passed.witness.item.id]
        stays = self._as_it_was & (self._gate_of >= number)
        here = stays.copy()
        here[[c.number for c in arrived]] = True
        came_in = self._entering(number, step, gate, stays, arrived, passed.witness)
        passed.new.entering[number] = came_in
        join = Join(
            self._services,
            step,
            gate,
            params,
            self._joining(came_in, here),
            self._views(number, gate, arrived),
        )
        join.expect(self._compared_then(number, came_in))
        matches = join.run()
        self._ran_for(join.handled)
        if matches and action_of(params) == "fail":
            raise DoesNotFit("an item that may not be")
        threshold = gate.threshold(params)
        found = {
            n: told
            for n in (*matches, *join.unreadable)
            if (told := finding(n, matches, join.unreadable, threshold)) is not None
        }
        self._settle(number, step, stays, passed, found)
        notes, warnings = notes_of(step, int(here.sum()), join, matches)
        passed.told += warnings
        return {**_counts(int(here.sum()), found), **notes}

    def _entering(
        self,
        number: int,
        step: JobStep,
        gate: JoinGate,
        stays: "np.ndarray[Any, Any]",
        arrived: Sequence[Candidate],
        witness: Candidate,
    ) -> Entering:
        """What is known of all rows at this gate: of `stays` and `arrived` everything."""
        import numpy as np

        came_in = self._remembered(entering.operation_of(self._job, number))
        unknown = np.flatnonzero(stays & (came_in.state == UNKNOWN)).tolist()
        if len(unknown) > MOST_CHANGED_SHARE * self._changed.total:
            raise DoesNotFit("what came into a gate that compares items is not known")
        for candidates in (self._lifted(unknown, number), arrived):
            asked = [*candidates, witness]  # one with fields to read
            read = fields_read(self._services, step, gate, asked, self._changed.fields)[:-1]
            joining = all_joining(self._services, gate, candidates, read)
            came_in.note([c.number for c in candidates], joining)
        return came_in

    def _remembered(self, operation: Digest) -> Entering:
        """Of unchanged rows, each where it stands now."""
        parts = [
            part
            for part in entering.remembered(self._services.memo, operation, self._changed.shards("was"))
            if part is not None
        ]
        if len(parts) < len(self._changed.shards("was")):
            raise DoesNotFit("what came into a gate that compares items is not remembered")
        then, now = Entering.one_behind_the_other(parts), Entering.unknown(self._changed.total)
        for _, begin, first, count in self._changed.unchanged:
            now.take_over(then, begin, first, count)
        return now

    def _joining(self, came_in: Entering, here: "np.ndarray[Any, Any]") -> list[Joining]:
        import numpy as np

        ids, sources = self._changed.ids, self._changed.sources
        numbers = np.flatnonzero(here & (came_in.state == JOINS))
        return came_in.joining(numbers, [(ids[n], sources[n]) for n in numbers.tolist()])

    def _compared_then(self, number: int, came_in: Entering) -> Iterator[Pair]:
        """Digests of unchanged items that were dropped, and of those that they were like."""
        numbers = self._number_of
        for own_id, row in self._changed.dropped.items():
            one, other = numbers.get(own_id), numbers.get(row["matched"] or "")
            if one is not None and other is not None and self._names.get(row["gate"]) == number:
                yield came_in.digests[one].tobytes(), came_in.digests[other].tobytes()

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {own_id: number for number, own_id in enumerate(self._changed.ids)}

    def _views(self, number: int, gate: JoinGate, arrived: Sequence[Candidate]) -> Callable[[Joining], View]:
        known, blobs = {c.number: c for c in arrived}, self._services.blobs

        def view(item: Joining) -> View:
            candidate = known.get(item.number) or self._lifted([item.number], number)[0]
            return View(candidate.item, tuple(gate.fields_read(seen(candidate.item, blobs))))

        return view

    def _settle(
        self, number: int, step: JobStep, stays: "np.ndarray[Any, Any]", passed: PassedChanges, found: Found
    ) -> None:
        """Each goes or stays, then and now; an unchanged row with another lot is gone as it was, and a new one."""
        import numpy as np

        ids, dropped = self._changed.ids, self._changed.dropped
        then = {n: dropped[ids[n]] for n in np.flatnonzero(stays & (self._gate_of == number)).tolist()}
        others = sorted(n for n in {*then, *found} if stays[n] and _told(then.get(n)) != _told(found.get(n)))
        if len(others) > MOST_CHANGED_SHARE * self._changed.total:
            raise DoesNotFit("most of it has another lot")
        self._as_it_was[others] = False
        if passed.witness.number in others:
            self._replace_witness(number, passed)
        in_and_out = [n for n in others if (n in then) != (n in found)]
        lifted = [*self._lifted(in_and_out, number), *self._changed.names(set(others) - {*in_and_out})]
        _part(step, passed.gone, lifted, lambda c: self._dropped_then(c.item.id, number))
        _part(step, passed.new, lifted, lambda c: found.get(c.number))

    def _replace_witness(self, number: int, passed: PassedChanges) -> None:
        import numpy as np

        left = np.flatnonzero(self._as_it_was & (self._gate_of == len(self._job.steps)))
        if not len(left):
            raise DoesNotFit("nothing that is left as it was")
        before = passed.witness.item.id
        (passed.witness,) = self._lifted([int(left[0])], number)
        for side in (passed.gone, passed.new):
            side.kept = [*(c for c in side.kept if c.item.id != before), passed.witness]

    def _dropped_then(self, own_id: str, number: int) -> Mapping[str, Any] | None:
        """What was told of the item, where this gate dropped it."""
        row = self._changed.dropped.get(own_id)
        return row if row is not None and self._names.get(row["gate"]) == number else None

    def _gate_then(self, own_id: str, left: set[str]) -> int:
        """The number of the gate that dropped an item; of none: how many there are."""
        if own_id in left:
            return len(self._job.steps)
        row = self._changed.dropped.get(own_id)
        if row is None or row["gate"] not in self._names:
            raise DoesNotFit("an item that the gates dropped, and that is not listed")
        return self._names[row["gate"]]


def _counts(came_in: int, found: Found) -> dict[str, Any]:
    reasons = by_frequency(Counter(told["reason"] for told in found.values()))
    return {**note(came_in, Gated()), "dropped": len(found), "reasons": reasons}


def _part(
    step: JobStep,
    passed: Passed,
    lifted: Sequence[Candidate],
    finding_of: Callable[[Candidate], Mapping[str, Any] | None],
) -> None:
    candidates, passed.kept = sorted([*passed.kept, *lifted], key=lambda c: c.number), []
    for candidate in candidates:
        if (told := _told(finding_of(candidate))) is None:
            passed.kept.append(candidate)
        else:
            passed.rejected.append(rejection(candidate, step, **told))


def _told(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The same of a row of `rejected/` and of what a join finds."""
    if found is None:
        return None
    return {**{name: found.get(name) for name in _FINDING}, "detail": found.get("detail") or ""}
