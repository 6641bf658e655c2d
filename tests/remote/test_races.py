"""Builders that race for one action over S3: one result each, whoever is killed or stopped; nobody waits for ever."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.remote.conftest import Team
from tests.spark import REPOSITORY


def raced(team: Team, folder: Path, count: int, how: str) -> dict[str, Any]:
    """In a process of its own, which forks: none that has asked obstore for anything can."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.remote.racing", f"s3://{team.bucket}/team", str(folder), str(count), how],
        cwd=REPOSITORY, env={**os.environ, **team.service.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def records(team: Team) -> list[str]:
    """Those that count, without what is kept beside."""
    return [name for name in team.names("team/trusted/records/") if name.count(".") == 1]


def leases(team: Team) -> list[str]:
    return [name for name in team.names("team/trusted/leases/") if "/trial-" not in name]


def test_of_eight_builders_one_makes_each_result_and_the_others_take_it(team: Team, tmp_path: Path) -> None:
    told = raced(team, tmp_path / "race", 10, "calm")
    assert told == {"made": 10, "took": 70, "killed": 0, "stopped": 0, "races": 10, "bad": [], "left": 0}
    assert len(team.names("team/trusted/records/")) == 10
    assert not leases(team)


@pytest.mark.parametrize(
    "count", [pytest.param(25, id="25"), pytest.param(1000, id="1000", marks=pytest.mark.long)]
)
def test_whoever_is_killed_or_stopped_each_action_has_one_result_and_nobody_waits_for_ever(
    team: Team, tmp_path: Path, count: int
) -> None:
    told = raced(team, tmp_path / "race", count, "harm")
    assert not told["bad"]
    assert told["killed"]
    assert told["stopped"]
    assert len(records(team)) == count
    assert not leases(team)
