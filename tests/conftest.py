"""Fixtures for all tests."""

import os
from pathlib import Path

import hypothesis
import pytest

from tests import seeds
from tests.services.fixtures import ceph as ceph
from tests.services.fixtures import moto_server as moto_server
from tests.spark import Folder

# read when torch loads: threads that spin beside another test process take many times as long as one alone
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the full checks too")


# what takes minutes: begun last, it would leave the other processes without work
LONGEST = ("truth", "kills", "quickstart")


def pytest_configure(config: pytest.Config) -> None:
    """One commit, one verdict: only a full check tries what no run before it has tried."""
    if config.getoption("--long"):
        seeds.draw_new()
    else:
        hypothesis.settings.register_profile("as always", derandomize=True)
        hypothesis.settings.load_profile("as always")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)  # else as they were
    for item in items:
        if "long" in item.keywords and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="a full check: pytest --long"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty project of its own."""
    project = tmp_path / "project"
    project.mkdir()
    return Folder(project)
