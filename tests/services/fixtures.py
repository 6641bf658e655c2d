"""Fixtures for real servers: `moto_server` and `ceph`, one of each for all processes of a test run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import ceph as ceph_service
from tests.services.keeper import shared
from tests.services.service import Service


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """moto: quick, and it proves logic only (any keys, no policies)."""
    with shared("moto_server", _run_folder(tmp_path_factory) / "moto") as service:
        yield service


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Ceph's radosgw: keys, policies and conditions are the real thing."""
    if missing := ceph_service.missing():
        _not_there(f"no {', '.join(missing)} (`apt-get install {ceph_service.PACKAGES}`; .ci/run does)")
    with shared("ceph", _run_folder(tmp_path_factory) / "ceph") as service:
        yield service


def _not_there(reason: str) -> None:
    if os.environ.get("SPARK_TESTS_NEED_SERVERS"):
        pytest.fail(reason)
    pytest.skip(reason)


def _run_folder(factory: pytest.TempPathFactory) -> Path:
    """Of the whole run; pytest-xdist gives each of its processes a folder in it."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
