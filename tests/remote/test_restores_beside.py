"""Restores go on beside stages that run: neither waits for the other."""

import time
from pathlib import Path

from tests.remote.conftest import Team
from tests.services.exchange import Exchange
from tests.services.fault_proxy import FaultProxy
from tests.services.faults import Fault

SPARKFILE = """\
store: {{remote: "s3://{bucket}/team"}}
environment: {{hermetic: off}}
targets:
  built: {{recipe: {{use: command, with: {{run: "date +%N > {{output}}/x"}}}}}}
  read:
    recipe:
      use: command
      with: {{run: "cat {{inputs.built}}/x > {{output}}/x", inputs: {{built: "model:built"}}}}
  mine: {{recipe: {{use: command, with: {{run: "touch {began}; date > {{output}}/x"}}}}}}
"""
ENOUGH_SECONDS = 30.0


def held_until(file: Path) -> Fault:
    """The server's answer comes once that file is there."""

    def act(exchange: Exchange) -> None:
        end = time.monotonic() + ENOUGH_SECONDS
        while not file.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        exchange.pass_on()

    return Fault("held", act)


def test_a_stage_runs_while_a_result_that_it_does_not_read_is_on_its_way(quick_team: Team) -> None:
    began = quick_team.root / "began"
    first = quick_team.project()
    first.sparkfile(SPARKFILE.format(bucket=quick_team.bucket, began=began))
    built = first.build("model:built")
    with FaultProxy(quick_team.service) as proxy:
        second = quick_team.clone(first)
        second.env.update({"AWS_ENDPOINT_URL": proxy.url, "SPARK_REMOTE_SECONDS": f"{ENOUGH_SECONDS}"})
        proxy.inject(held_until(began), on="GetObject", key="*/packs/*")
        ran = second.build()
        fetched = [
            request.fault
            for request in proxy.requests
            if request.method == "GET" and "/packs/" in request.key
        ]
        assert fetched == ["held"], "nothing began meanwhile"
    outcomes = {"model:built/train": "restored", "model:read/train": "ran", "model:mine/train": "ran"}
    assert ran.outcomes == outcomes
    assert ran.outputs["model:built/train"] == built.outputs["model:built/train"]
    for model in ("built", "read"):
        second.spark("get", f"model:{model}", "--to", model)
    (restored, copied) = (next((second.path / model).rglob("x")) for model in ("built", "read"))
    assert copied.read_text() == restored.read_text()
