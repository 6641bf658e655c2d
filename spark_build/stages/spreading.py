"""Item by item over several processes: what is given out in chunks comes back as if one process had done it all.

This process works as well, and hands chunks to helpers between its own items. Which process did what shows nowhere: a
value hangs on its item alone, and of several failures the first one in the order of the items is told.
"""

import itertools
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spark_build.core.errors import StageFailed
from spark_build.core.job import JobStep
from spark_build.core.ports import Blobs, Helpers
from spark_build.core.values import Struct
from spark_build.stages.helping import Answer, Ask, Begin, Finish, Run
from spark_build.stages.loading import called
from spark_build.stages.narrow import View

_TURN_SECONDS = 0.005  # of own work between two looks at the helpers
_CHUNK_SECONDS, _CHUNK_BYTES = 0.2, 4 << 20
_AHEAD = 2  # chunks of one helper: it has the next one when it is done with one
# a helper starts in about 0.25 s: that is to be at most a twentieth of what the stage has to do
_LEAST_SECONDS, _LEAST_LEFT_SECONDS = 5.0, 1.0

_numbers = itertools.count(1)


class Work(Struct, frozen=True):
    """One step's operation, by positions of what it is asked for."""

    run: Run
    family: Any  # class of rules, by which a helper loads the step's
    step: JobStep
    rule: Any
    given: Callable[[int], Any]  # what `run` is given of a position
    blobs: Blobs
    is_pure: bool  # False: it needs this very process

    def __call__(self, positions: Sequence[int]) -> Iterator[bytes]:
        return self.run(self.step, self.rule, [self.given(p) for p in positions], self.blobs)

    def alone(self, position: int) -> Any:
        """What is given to another process."""
        given = self.given(position)
        return given.alone() if isinstance(given, View) else given


def spread(helpers: Helpers, work: Work, positions: Sequence[int], batch: int) -> Iterator[tuple[int, bytes]]:
    """Each position with its value, in no order. Errors: what one process alone would raise."""
    return _Spread(helpers, work, positions, batch).found()


class _Chunk(Struct):
    helper: int
    start: int  # of the positions
    stop: int
    answered: int = 0


class _Spread:
    def __init__(self, helpers: Helpers, work: Work, positions: Sequence[int], batch: int) -> None:
        self._helpers, self._work, self._positions, self._batch = helpers, work, positions, batch
        self._told: set[int] = set()  # helpers that know the work
        self._next = 0  # the first that nobody has
        self._done, self._began = 0, time.monotonic()  # here, by this process
        self._worked_before = helpers.worked_seconds
        self._chunks: dict[int, _Chunk] = {}  # by number, those that helpers have
        # what a helper failed at: start -> stop, and the error where it can't be tried again
        self._aside: dict[int, tuple[int, StageFailed | None]] = {}

    def found(self) -> Iterator[tuple[int, bytes]]:
        while self._next < len(self._positions):
            yield from self._turn()
            self._consider_helpers()
            self._hand_out()
            if self._chunks:
                yield from self._heard(0.0)
                yield from self._settled(len(self._positions) if self._aside else 0)
        yield from self._settled(len(self._positions))
        self._finish()

    def _turn(self) -> Iterator[tuple[int, bytes]]:
        until = time.monotonic() + _TURN_SECONDS
        while self._next < len(self._positions):
            start = self._next
            self._next = min(start + self._batch, len(self._positions))
            yield from self._here(start, self._next)
            self._done += self._next - start
            if time.monotonic() >= until:
                return

    def _here(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """By this process. What fails before `start` is told instead of what fails here."""
        try:
            for begin in range(start, stop, self._batch):
                positions = self._positions[begin : min(begin + self._batch, stop)]
                yield from zip(positions, self._work(positions), strict=True)
            return
        except (Exception, SystemExit) as error:
            failure = error
        yield from self._settled(start)
        raise failure

    def _settled(self, stop: int) -> Iterator[tuple[int, bytes]]:
        """All before `stop` that helpers have; where one failed, this process meets the same failure by itself."""
        while True:
            while any(chunk.start < stop for chunk in self._chunks.values()):
                yield from self._heard(None)
            start = min(self._aside, default=stop)
            if start >= stop:
                return
            until, error = self._aside.pop(start)
            if error is not None:
                raise error
            yield from self._here(start, until)

    # helpers

    def _consider_helpers(self) -> None:
        helpers, seconds = self._helpers, time.monotonic() - self._began
        helpers.worked_seconds = self._worked_before + seconds
        if helpers.started >= helpers.most or seconds < helpers.after_seconds:
            return
        if helpers.after_seconds == 0:
            self._start(helpers.most)
            helpers.wait()
            return
        left = (len(self._positions) - self._next) * seconds / self._done
        all_seconds = helpers.worked_seconds + left
        worth = min(int(all_seconds / _LEAST_SECONDS), int(left / _LEAST_LEFT_SECONDS), helpers.most)
        if worth > helpers.started:
            self._start(worth)

    def _start(self, count: int) -> None:
        before = self._helpers.started
        self._helpers.start(count)
        if (now := self._helpers.started) > before:
            print(f"{now + 1} processes work on its items from here on")  # for the log

    def _hand_out(self) -> None:
        ready = self._helpers.ready()
        for helper in ready:
            busy = sum(chunk.helper == helper for chunk in self._chunks.values())
            for _ in range(busy, _AHEAD):
                if len(self._positions) - self._next <= self._batch:
                    return
                self._send(helper, self._count(len(ready) + 1))

    def _count(self, workers: int) -> int:
        """Of items in the next chunk: what takes a moment, and less towards the end, so that all end together."""
        left = len(self._positions) - self._next
        seconds = max(time.monotonic() - self._began, 1e-6) / self._done
        count = min(int(_CHUNK_SECONDS / seconds), left // (2 * workers))
        return max(count - count % self._batch, self._batch)

    def _send(self, helper: int, count: int) -> None:
        """Whole batches: which items are measured together is the same with any number of processes."""
        start, size, given = self._next, 0, list[bytes]()
        while len(given) < count and size < _CHUNK_BYTES:
            for position in self._positions[start + len(given) : start + len(given) + self._batch]:
                given.append(pickle.dumps(self._work.alone(position)))
                size += len(given[-1])
        self._next += len(given)
        if helper not in self._told:
            self._told.add(helper)
            work = self._work
            self._tell(helper, Begin(work.run, work.family, work.step, self._batch))
        number = next(_numbers)
        self._chunks[number] = _Chunk(helper, start, self._next)
        self._tell(helper, Ask(number, given))

    def _tell(self, helper: int, what: Begin | Ask | Finish) -> None:
        self._helpers.send(helper, pickle.dumps(what))

    def _heard(self, seconds: float | None) -> Iterator[tuple[int, bytes]]:
        for helper, message in self._helpers.hear(seconds):
            if message is None:
                self._lost(helper)
            else:
                yield from self._answered(pickle.loads(message))

    def _answered(self, answer: Answer) -> Iterator[tuple[int, bytes]]:
        chunk = self._chunks.get(answer.number)
        if chunk is None:  # of work that was given up
            return
        start = chunk.start + chunk.answered
        chunk.answered += len(answer.values)
        stop = chunk.start + chunk.answered
        if answer.is_last:
            del self._chunks[answer.number]
            if stop < chunk.stop:  # it failed
                self._aside[stop] = chunk.stop, None
        yield from zip(self._positions[start:stop], answer.values, strict=True)

    def _lost(self, helper: int) -> None:
        how, place = self._helpers.last_words(helper)
        for number in sorted(n for n, chunk in self._chunks.items() if chunk.helper == helper):
            chunk = self._chunks.pop(number)
            error = self._loss(how, chunk, place) if how else None
            self._aside[chunk.start + chunk.answered] = chunk.stop, error
            how = ""  # the others, it had not begun

    def _loss(self, how: str, chunk: _Chunk, place: int) -> StageFailed:
        start = min(chunk.start + max(place, chunk.answered), chunk.stop - 1)
        last = min(start + self._batch, chunk.stop) - 1
        names = [_named(self._work.given(self._positions[at])) for at in sorted({start, last})]
        count = f"one of {last + 1 - start}, from " if len(names) > 1 else ""
        return StageFailed(
            f"{called(self._work.step)}: a process {how} at {count}{' to '.join(names)}",
            fix="its log may say more; where memory ran out, `resources: {cpus: 1}` takes one process alone",
        )

    def _finish(self) -> None:
        """What helpers made is on the disk, as what this process made will be."""
        waiting = {helper: next(_numbers) for helper in self._told & {*self._helpers.ready()}}
        for helper, number in waiting.items():
            self._tell(helper, Finish(number))
        while waiting:
            for helper, message in self._helpers.hear(None):
                answer: Answer | None = None if message is None else pickle.loads(message)
                if helper not in waiting or (answer and answer.number != waiting[helper]):
                    continue  # one that nobody asked, or an answer to what was given up
                del waiting[helper]
                why = answer.error if answer else f"it {self._helpers.last_words(helper)[0]}"
                if why:
                    raise StageFailed(f"{called(self._work.step)}: what a process made was not kept: {why}")


def _named(given: Any) -> str:
    return f"item '{given.item.id}' of {given.item.source}" if isinstance(given, View) else given.path
