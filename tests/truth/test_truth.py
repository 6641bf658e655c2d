"""The truth fuzzer: 60 sequences in CI; with `--long` the 300 that CI is to run once what they found is mended.

Open with seed 3: sequence 79 (an Artifact that is gone leaves a `maybe` without a cause) and 248 (two stages planned
`run` share a damaged object: the first heals the second). See docs/measurements.md.
"""

import pytest

from tests.truth.coverage import Coverage
from tests.truth.sequences import Failure, run_sequences

SEED = 3
IN_CI, SEQUENCES = 60, 300
AT_LEAST = 20  # times that each kind of edit comes about


def test_the_first_sequences_hold() -> None:
    failures = [failure for _, failure in run_sequences(IN_CI, SEED, Coverage()) if failure]
    assert not failures, _told(failures)


@pytest.mark.long
def test_no_sequence_of_edits_makes_plan_build_causes_and_a_cold_build_disagree() -> None:
    coverage, failures = Coverage(), list[Failure]()
    for _, failure in run_sequences(SEQUENCES, SEED, coverage):
        failures += [failure] if failure else []
        assert len(failures) < 3, _told(failures)
    print(coverage.table())
    assert not failures, _told(failures)
    assert coverage.open_pairs() == set()
    assert min(coverage.kinds.values()) >= AT_LEAST, coverage.table()


def _told(failures: list[Failure]) -> str:
    return "\n\n".join(f"{failure.again}\n{failure.error}" for failure in failures)
