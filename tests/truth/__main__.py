"""`python -m tests.truth --sequences 10000`: the truth fuzzer with a new seed, in several processes."""

import argparse
import os
import random
import sys
import time
from contextlib import closing, suppress

from tests.truth.coverage import Coverage
from tests.truth.sequences import run_sequence, run_sequences

_BATCH = 25


def main() -> int:
    """Exit code 1 where a sequence contradicts."""
    asked = _arguments()
    if asked.one is not None:
        return _one(asked)
    first = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {first}, {asked.sequences} sequences in {asked.processes} processes", flush=True)
    coverage, failed, began = Coverage(), 0, time.monotonic()
    sequences = run_sequences(
        asked.sequences, first, coverage, processes=asked.processes, shrinks=not asked.no_shrinking
    )
    with suppress(KeyboardInterrupt), closing(sequences):  # what ran until then is told all the same
        for number, failure in sequences:
            if failure is not None:
                failed += 1
                print(f"\nCONTRADICTION, again by: {failure.again}\n{failure.error}\n", flush=True)
            if (number + 1) % _BATCH == 0:
                seconds = time.monotonic() - began
                print(f"{number + 1} sequences, {failed} contradictions, {seconds:.0f} s", flush=True)
            if asked.seconds is not None and time.monotonic() - began > asked.seconds:
                break
    print(f"\n{coverage.table()}\n")
    seconds = time.monotonic() - began
    print(f"seed {first}: {coverage.sequences} sequences, {failed} contradictions, {seconds:.0f} s")
    return 1 if failed else 0


def _one(asked: argparse.Namespace) -> int:
    agenda = asked.agenda.split("/") if asked.agenda else []
    kinds, failure = run_sequence(asked.one, agenda, shrinks=not asked.no_shrinking, is_outside=asked.outside)
    print(failure.error if failure else f"holds: {', '.join(kinds)}")
    return 1 if failure else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("--sequences", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, help="a new one by default; it is printed")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after so long, with fewer sequences")
    parser.add_argument("--no-shrinking", action="store_true", help="tell what contradicts as it was drawn")
    parser.add_argument("--one", type=int, metavar="SEED", help="this sequence alone")
    parser.add_argument("--agenda", default="", help="of --one: its edits, with '/' between")
    parser.add_argument("--outside", action="store_true", help="of --one: through the real command line")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
