"""The command that measures a store: everybody brings back the same bytes, and spark in a handful of requests."""

import json
from pathlib import Path

import pytest

from benchmarks.store import main
from tests.services.service import Service


def test_what_is_pulled_is_what_was_pushed_and_small_files_travel_together(
    ceph: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "told.json"
    clients = ["spark", "boto3"]
    words = ["--scale", "small", "--rounds", "1", "--clients", ",".join(clients), "--json", str(told)]
    assert main(words) == 0, capsys.readouterr().out
    requests = {
        (workload["name"], result["contender"]): result["requests"]
        for workload in json.loads(told.read_text())["workloads"]
        for result in workload["results"]
    }
    assert requests["push", "boto3"] == 54  # one for each small file, four for the large one in two parts
    assert requests["push", "spark"] <= 25  # the first to a bucket tries what its server does
    assert requests["push-again", "spark"] <= 3
    assert requests["pull", "spark"] <= 10
