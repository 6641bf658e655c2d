"""Runs sequences: each a hypothesis run of its own, from a seed and an agenda, shrunk where it fails."""

import random
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.truth.coverage import EDITS_PER_SEQUENCE, Coverage
from tests.truth.machine import machine

OUTSIDE_EVERY = 75  # this share goes through the real command line and its processes
AHEAD = 8  # sequences are drawn before what those before them brought is known
_SEQUENCES_PER_PROCESS = 150  # each brings rules of its own, whose classes pydantic never lets go


@dataclass(frozen=True)
class Failure:
    seed: int
    agenda: Sequence[str]
    error: str
    is_outside: bool = False

    @property
    def again(self) -> str:
        outside = " --outside" if self.is_outside else ""
        return f"python -m tests.truth --one {self.seed} --agenda {'/'.join(self.agenda)!r}{outside}"


def run_sequence(
    number: int,
    agenda: Sequence[str],
    *,
    edits: int = EDITS_PER_SEQUENCE,
    shrinks: bool = True,
    is_outside: bool = False,
) -> tuple[list[str], Failure | None]:
    """The kinds of edits that came about, and what failed."""
    made = machine(agenda, is_outside=is_outside)
    phases = [Phase.generate, Phase.shrink] if shrinks else [Phase.generate]
    chosen = settings(
        # hypothesis begins with the smallest sequence, which has no project; the second one counts
        max_examples=2,
        stateful_step_count=edits + 1,
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(number)(made), settings=chosen)  # type: ignore[arg-type]
    except Exception as error:
        return made.seen, Failure(number, tuple(agenda), f"{type(error).__name__}: {error}", is_outside)
    return made.seen, None


def run_sequences(
    count: int, first_seed: int, coverage: Coverage, *, processes: int, shrinks: bool = True
) -> Generator[tuple[int, Failure | None], None, None]:
    """In order, several at a time; `coverage` grows, and steers what is drawn.

    What is drawn follows from the seed alone: sequence n knows what all up to n - AHEAD brought, whoever ran them.
    """
    pending = deque[tuple[list[str], Future[tuple[list[str], Failure | None]]]]()
    pool_of = partial(ProcessPoolExecutor, max_tasks_per_child=_SEQUENCES_PER_PROCESS)
    with pool_of(processes, get_context("spawn")) as pool:
        for number in range(count + AHEAD):
            if number < count:
                hoped_for = coverage.with_these([agenda for agenda, _ in pending])
                agenda = hoped_for.agenda(random.Random(f"{first_seed} {number}"))
                is_outside = number % OUTSIDE_EVERY == OUTSIDE_EVERY - 1
                work = partial(run_sequence, shrinks=shrinks, is_outside=is_outside)
                pending.append((agenda, pool.submit(work, first_seed + number, agenda)))
            if number >= AHEAD and pending:
                kinds, failure = pending.popleft()[1].result()
                coverage.add(kinds)
                yield number - AHEAD, failure
