"""What a helper does with what it is sent: values of items, as the process that asks would make them."""

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spark_build.contract.rules import Source
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Blobs
from spark_build.core.values import Struct
from spark_build.stages.loading import load, load_blind

_SECONDS, _BYTES = 0.2, 1 << 20  # of values before they are told

# of a step, its rule and what is given: a function of a module (or a part of one), so that another process imports it
# by its name
Run = Callable[[JobStep, Any, Sequence[Any], Blobs], Iterator[bytes]]


class Begin(Struct):
    """What is asked from now on."""

    run: Run
    family: Any
    step: JobStep
    batch: int


class Ask(Struct):
    number: int
    given: Sequence[bytes]  # pickled, each


class Finish(Struct):
    """All is to be on the disk that was made so far."""

    number: int


class Answer(Struct):
    number: int
    values: Sequence[bytes] = ()  # those that follow what was answered before
    is_last: bool = True  # fewer values than were asked for: it failed
    error: str = ""  # of Finish


class Helping:
    def __init__(self, job: Job, blobs: Blobs, note: Callable[[int], None]) -> None:
        """`note` is told of each place in a chunk that is come to: what remains of a process that crashes."""
        self._job, self._blobs, self._note = job, blobs, note
        self._work: Begin | None = None
        self._rule: Any = None

    def answers(self, message: bytes) -> Iterator[bytes]:
        told = pickle.loads(message)
        if isinstance(told, Begin):
            self._work, self._rule = told, None
        elif isinstance(told, Finish):
            yield pickle.dumps(Answer(told.number, error=self._flushed()))
        else:
            yield from map(pickle.dumps, self._chunk(told))

    def _flushed(self) -> str:
        try:
            self._blobs.flush()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def _chunk(self, asked: Ask) -> Iterator[Answer]:
        """Where one fails, no more of them: who asked does it again, and meets the failure by itself."""
        values, size, told = list[bytes](), 0, time.monotonic()
        try:
            for value in self._values(asked.given):
                values.append(value)
                size += len(value)
                if size >= _BYTES or time.monotonic() - told >= _SECONDS:
                    yield Answer(asked.number, values, is_last=False)
                    values, size, told = [], 0, time.monotonic()
        except (Exception, SystemExit) as error:
            print(
                f"({type(error).__name__} in one of several processes: the stage's own does this item again)"
            )
        yield Answer(asked.number, values)

    def _values(self, given: Sequence[bytes]) -> Iterator[bytes]:
        assert self._work is not None, "BUG: a helper is asked before it was told for what"
        work = self._work
        self._note(0)
        if self._rule is None:
            self._rule = self._loaded(work)
        for start in range(0, len(given), work.batch):
            self._note(start)
            part = [pickle.loads(one) for one in given[start : start + work.batch]]
            yield from [
                *work.run(work.step, self._rule, part, self._blobs)
            ]  # a batch is done again as a whole

    def _loaded(self, work: Begin) -> Any:
        if issubclass(work.family, Source):
            return load(self._job, work.step, work.family)
        return load_blind(self._job, work.step, work.family)[0]
