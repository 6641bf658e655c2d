"""The reference build without a bucket, made once for all that look at it."""

import pytest

from tests.faults.survival import Step, steps


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return steps(tmp_path_factory.mktemp("reference"))
