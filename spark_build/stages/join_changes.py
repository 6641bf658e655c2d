"""A gate that compares items, where few of those that came in changed: the join is done anew, on what is remembered
of the unchanged rows; those that it treats in another way than then are sent on as changed ones.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_build.contract.rules import JoinGate
from spark_build.core.digest import Digest
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Services
from spark_build.core.values import Struct
from spark_build.stages import entering
from spark_build.stages.changed_splits import MOST_CHANGED_SHARE, ChangedSplits
from spark_build.stages.entering import JOINS, UNKNOWN, Entering
from spark_build.stages.gating import Candidate, Gated, action_of, rejection
from spark_build.stages.join_gate import all_joining, finding, notes_of
from spark_build.stages.joining import Join, Joining, Match
from spark_build.stages.loading import load_blind
from spark_build.stages.media import seen
from spark_build.stages.narrow import View
from spark_build.stages.passing import Passed, fields_read, note
from spark_build.stages.rejected import by_frequency
from spark_build.stages.splicing import DoesNotFit

if TYPE_CHECKING:
    import numpy as np

_FINDING = ("reason", "score", "threshold", "matched", "detail")
Found = Mapping[int, Mapping[str, Any]]  # by number, of those that go: what a rejection tells

Lifted = Callable[[Sequence[int], int], list[Candidate]]  # rows by number, as they come into a gate


class Joined(Struct, frozen=True):
    notes: dict[str, Any]
    told: list[str]
    handled: set[int]


class JoinChanges:
    """For all gates of a filter that compare items, in order."""

    def __init__(
        self, job: Job, services: Services, changed: ChangedSplits, witness: Candidate, lifted: Lifted
    ) -> None:
        import numpy as np

        self._job, self._services, self._changed = job, services, changed
        self._witness, self._lifted = witness, lifted
        self._names = {step.label or step.rule: number for number, step in enumerate(job.steps)}
        self._gate_of = np.zeros(
            changed.total, np.int64
        )  # that dropped an unchanged row then; else how many there are
        self._as_it_was = np.zeros(
            changed.total, np.bool_
        )  # an unchanged row with the same lot, up to this gate
        for split, _, first, count in changed.unchanged:
            ids = changed.ids[first : first + count]
            self._gate_of[first : first + count] = [self._gate_then(i, split.left_ids) for i in ids]
            self._as_it_was[first : first + count] = True

    def run(self, number: int, step: JobStep, gone: Passed, new: Passed) -> Joined:
        gate, params = load_blind(self._job, step, JoinGate)
        arrived = [c for c in new.kept if c.item.id != self._witness.item.id]
        stays = self._as_it_was & (self._gate_of >= number)
        here = stays.copy()
        here[[c.number for c in arrived]] = True
        came_in = new.entering[number] = self._entering(number, step, gate, stays, arrived)
        join = Join(
            self._services,
            step,
            gate,
            params,
            self._joining(came_in, here),
            self._views(number, gate, arrived),
        )
        matches = join.run()
        if matches and action_of(params) == "fail":
            raise DoesNotFit("an item that may not be")
        threshold = gate.threshold(params)
        found = {
            n: told
            for n in (*matches, *join.unreadable)
            if (told := finding(n, matches, join.unreadable, threshold)) is not None
        }
        self._settle(number, step, stays, gone, new, found)
        return self._told(step, int(here.sum()), join, matches, found)

    def _entering(
        self,
        number: int,
        step: JobStep,
        gate: JoinGate,
        stays: "np.ndarray[Any, Any]",
        arrived: Sequence[Candidate],
    ) -> Entering:
        """What is known of all rows at this gate: of `stays` and `arrived` everything."""
        import numpy as np

        came_in = self._remembered(entering.operation_of(self._job, number))
        unknown = np.flatnonzero(stays & (came_in.state == UNKNOWN)).tolist()
        if len(unknown) > MOST_CHANGED_SHARE * self._changed.total:
            raise DoesNotFit("what came into a gate that compares items is not known")
        for candidates in (self._lifted(unknown, number), arrived):
            asked = [*candidates, self._witness]  # one with fields to read
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

    def _views(self, number: int, gate: JoinGate, arrived: Sequence[Candidate]) -> Callable[[Joining], View]:
        known, blobs = {c.number: c for c in arrived}, self._services.blobs

        def view(item: Joining) -> View:
            candidate = known.get(item.number) or self._lifted([item.number], number)[0]
            return View(candidate.item, tuple(gate.fields_read(seen(candidate.item, blobs))))

        return view

    def _settle(
        self,
        number: int,
        step: JobStep,
        stays: "np.ndarray[Any, Any]",
        gone: Passed,
        new: Passed,
        found: Found,
    ) -> None:
        """Each goes or stays, then and now; an unchanged row with another lot is gone as it was, and a new one."""
        import numpy as np

        ids, dropped = self._changed.ids, self._changed.dropped
        then = {n: dropped[ids[n]] for n in np.flatnonzero(stays & (self._gate_of == number)).tolist()}
        others = sorted(n for n in {*then, *found} if stays[n] and _told(then.get(n)) != _told(found.get(n)))
        if self._witness.number in others:
            raise DoesNotFit("an item that is not left as it was")
        self._as_it_was[others] = False
        lifted = self._lifted(others, number)
        for passed, finding_of in (
            (gone, lambda c: self._dropped_then(c.item.id, number)),
            (new, lambda c: found.get(c.number)),
        ):
            _part(step, passed, [*passed.kept, *lifted], finding_of)

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

    def _told(
        self,
        step: JobStep,
        came_in: int,
        join: Join,
        matches: Mapping[int, Match],
        found: Found,
    ) -> Joined:
        notes, warnings = notes_of(step, came_in, join, matches)
        reasons = by_frequency(Counter(told["reason"] for told in found.values()))
        told = {**note(came_in, Gated()), "dropped": len(found), "reasons": reasons}
        return Joined({**told, **notes}, warnings, join.handled)


def _part(
    step: JobStep,
    passed: Passed,
    candidates: Sequence[Candidate],
    finding_of: Callable[[Candidate], Mapping[str, Any] | None],
) -> None:
    passed.kept = []
    for candidate in sorted(candidates, key=lambda c: c.number):
        if (told := _told(finding_of(candidate))) is None:
            passed.kept.append(candidate)
        else:
            passed.rejected.append(rejection(candidate, step, **told))


def _told(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The same of a row of `rejected/` and of what a join finds."""
    if found is None:
        return None
    return {**{name: found.get(name) for name in _FINDING}, "detail": found.get("detail") or ""}
