"""Builders that race for one action over S3: one result each, whoever is killed or stopped; nobody waits for ever."""

from pathlib import Path

import pytest

from spark_build.remote.bucket import Bucket
from tests.remote.racing import Told, give_back_all, key_of, races
from tests.services.service import Service

BATCH = 25  # races that one set of builders goes through


@pytest.fixture
def url(server: Service, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.new_bucket()}/team"


def checked(url: str, told: Told, numbers: range) -> None:
    """That each action has one result, which all who asked got, and which never changed."""
    names = [found.path.rpartition("/")[2] for found in Bucket(url).list("trusted/records")]
    for race in numbers:
        assert len(told.outputs[race]) == 1, f"race {race}: {told.outputs[race]}"
        assert len(told.records[race]) == 1, f"race {race}: its Record changed"
        assert f"{key_of(race)}.json" in names


def test_of_eight_builders_one_makes_each_result_and_the_others_take_it(url: str, tmp_path: Path) -> None:
    told = races(url, tmp_path, range(10), seed=1, harm=False)
    checked(url, told, range(10))
    assert told.did == {"made": 10, "took": 70}
    assert len(list(Bucket(url).list("trusted/records"))) == 10
    assert not list(Bucket(url).list("trusted/leases"))


@pytest.mark.parametrize(
    "count", [pytest.param(25, id="25"), pytest.param(1000, id="1000", marks=pytest.mark.long)]
)
def test_whoever_is_killed_or_stopped_each_action_has_one_result_and_nobody_waits_for_ever(
    url: str, tmp_path: Path, count: int
) -> None:
    for start in range(0, count, BATCH):
        numbers = range(start, start + BATCH)
        told = races(url, tmp_path / str(start), numbers, seed=start, harm=True)
        checked(url, told, numbers)
    give_back_all(url, tmp_path / "last")
    assert not [found.path for found in Bucket(url).list("trusted/leases") if "/trial-" not in found.path]
