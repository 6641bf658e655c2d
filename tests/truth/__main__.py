"""`python -m tests.truth --sequences 10000`: the truth fuzzer with a new seed, in several processes."""

import argparse
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.truth.coverage import Coverage
from tests.truth.sequences import Failure, run_sequence, run_sequences

_STRIDE = 10_000_000  # between the seeds of two processes
_BATCH = 25


def main() -> int:
    """Exit code 1 where a sequence contradicts."""
    asked = _arguments()
    if asked.one is not None:
        return _one(asked.one, asked.agenda, is_outside=asked.outside)
    first = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {first}, {asked.sequences} sequences in {asked.processes} processes", flush=True)
    coverage, failures, began = Coverage(), list[Failure](), time.monotonic()
    share = [len(range(n, asked.sequences, asked.processes)) for n in range(asked.processes)]
    with ProcessPoolExecutor(asked.processes) as pool:
        running = {pool.submit(_work, first + n * _STRIDE, count) for n, count in enumerate(share)}
        for ended in as_completed(running):
            part, failed = ended.result()
            coverage.merge(part)
            failures += failed
    print(f"\n{coverage.table()}\n")
    seconds = time.monotonic() - began
    print(f"seed {first}: {coverage.sequences} sequences, {len(failures)} contradictions, {seconds:.0f} s")
    return 1 if failures else 0


def _work(first_seed: int, count: int) -> tuple[Coverage, list[Failure]]:
    coverage, failures, began = Coverage(), list[Failure](), time.monotonic()
    for number, failure in run_sequences(count, first_seed, coverage):
        if failure is not None:
            failures.append(failure)
            print(f"\nCONTRADICTION, again by: {failure.again}\n{failure.error}\n", flush=True)
        if (number + 1) % _BATCH == 0:
            told = f"process {os.getpid()}: {number + 1} of {count} sequences, {len(failures)} contradictions"
            print(f"{told}, {time.monotonic() - began:.0f} s", flush=True)
    return coverage, failures


def _one(seed: int, agenda: str, *, is_outside: bool) -> int:
    kinds, failure = run_sequence(seed, agenda.split("/") if agenda else [], is_outside=is_outside)
    print(failure.error if failure else f"holds: {', '.join(kinds)}")
    return 1 if failure else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("--sequences", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, help="a new one by default; it is printed")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--one", type=int, metavar="SEED", help="this sequence alone")
    parser.add_argument("--agenda", default="", help="of --one: its edits, with '/' between")
    parser.add_argument("--outside", action="store_true", help="of --one: through the real command line")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
