"""The truth fuzzer with a fixed seed; `python -m tests.truth --sequences 10000` goes on with a new one."""

import os

from tests.truth.coverage import Coverage
from tests.truth.sequences import Failure, run_sequences

SEED = 3
SEQUENCES = 300
AT_LEAST = 20  # times that each kind of edit comes about


def test_no_sequence_of_edits_makes_plan_build_causes_and_a_cold_build_disagree() -> None:
    coverage, failures = Coverage(), list[Failure]()
    processes = len(os.sched_getaffinity(0))
    for _, failure in run_sequences(SEQUENCES, SEED, coverage, processes=processes):
        failures += [failure] if failure else []
        assert len(failures) < 3, _told(failures)
    print(coverage.table())
    assert not failures, _told(failures)
    assert coverage.open_pairs() == set()
    assert min(coverage.kinds.values()) >= AT_LEAST, coverage.table()


def _told(failures: list[Failure]) -> str:
    return "\n\n".join(f"{failure.again}\n{failure.error}" for failure in failures)
