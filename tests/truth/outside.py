"""The same questions through the real command line: processes of their own, workers and all."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from spark_build.engine.explain import Reason
from spark_build.engine.plan import Plan, StagePlan
from spark_build.storage.records import LocalRecords
from tests.spark import REPOSITORY
from tests.truth.project import Site


def plan_outside(site: Site) -> Plan:
    told = json.loads(_spark(site, "plan", "--json"))
    return Plan(tuple(map(_stage_plan, told["stages"])))


def build_outside(site: Site, jobs: int) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The `stage` event of each stage, and its Record where it has one."""
    lines = [json.loads(line) for line in _spark(site, "build", "--json", "-j", str(jobs)).splitlines()]
    events = {event["stage"]: event for event in lines if event["event"] == "stage"}
    records = LocalRecords(site.store)
    keys = {stage.stage: stage.key for stage in plan_outside(site).stages}
    return events, {s: records.get(keys[s] or "") for s, event in events.items() if event["output"]}


def _spark(site: Site, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "spark_build", *words, *_overrides(site)],
        cwd=site.root,
        env=_environment(site),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1, 4), (
        f"spark {' '.join(words)}: exit code {done.returncode}\n{done.stderr}"
    )
    return done.stdout


def _overrides(site: Site) -> Sequence[str]:
    words = ["--profile", site.state.profile] if site.state.profile else []
    for text in site.state.sets:
        words += ["--set", text]
    return words


def _environment(site: Site) -> dict[str, str]:
    paths = os.pathsep.join(map(str, (REPOSITORY, site.packages)))
    return {**site.env(), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}


def _stage_plan(told: dict[str, Any]) -> StagePlan:
    reasons = tuple(map(Reason.from_json, told["reasons"]))
    return StagePlan(told["stage"], told["state"], told["key"], told["output"], reasons)
