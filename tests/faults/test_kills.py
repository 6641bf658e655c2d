"""The reference build, killed at calls and requests: here, there and for another clone all is well after.

A sample of the points; `pytest --long` tries all, and `python -m tests.faults.survival` does so in several processes.
"""

import random
from pathlib import Path

import pytest

from tests.faults.bucket import Bucket
from tests.faults.reference import Reference
from tests.faults.survival import BUILD, Step, steps, survives
from tests.seeds import seed
from tests.services.fault_proxy import FaultProxy
from tests.services.service import Service

SEED = seed("SPARK_KILL_SEED")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, moto_server: Service) -> list[Step]:
    return steps(tmp_path_factory.mktemp("shared"), Bucket(moto_server))


@pytest.mark.parametrize("kind", ["unlike", "requests"])
def test_killed_at_any_call_or_request_the_next_command_and_another_clone_have_it_all(
    reference: list[Step], kind: str, tmp_path: Path
) -> None:
    points = [(step, at) for step in reference for at in getattr(step, kind)]
    step, at = random.Random(SEED).choice(points)
    print(f"SPARK_KILL_SEED={SEED}; {step.name}, {step.calls[at - 1]}; one of {len(points)}")
    survives(step, tmp_path / "killed", at)


@pytest.mark.long
def test_killed_at_each_call_and_request_the_next_command_and_another_clone_have_it_all(
    reference: list[Step], tmp_path: Path
) -> None:
    for step in reference:
        for at in step.unlike:
            survives(step, tmp_path / "killed", at)
        print(f"{step.name}: {len(step.calls)} calls, {len(step.unlike)} unlike, 0 left corrupt")


def test_the_reference_build_has_a_pack_an_object_in_parts_and_a_gc(reference: list[Step]) -> None:
    asked = {f"{step.name} {call[0]} {call[2].split('/')[1]}" for step in reference for call in step.calls
             if call[2].startswith("s3:trusted/")}  # fmt: skip
    for kind in ("packs", "objects", "trees", "records"):
        assert f"push request put {kind}" in asked
        assert f"model:tiny/train request put {kind}" in asked
        assert f"gc --remote request delete {kind}" in asked
    assert sum("request put" in f"{c[0]}" and "/objects/" in c[2] for c in reference[3].calls) == 3


def test_nothing_is_asked_of_the_bucket_past_the_requests_that_are_counted(
    moto_server: Service, tmp_path: Path
) -> None:
    """A proxy sees what every process of the build sends."""
    with FaultProxy(moto_server) as proxy:
        project = Reference.made(tmp_path / "project", tmp_path / "library", Bucket(proxy.service))
        proxy.forget()
        for words in (BUILD, ("store", "check", "--remote")):
            done = project.spark(*words)
            assert done.returncode == 0, done.stderr
            counted = [call for call in project.calls() if call[0].strip("()").startswith("request")]
            assert len(counted) > 10
            assert len(counted) == len(proxy.requests), proxy.counts()
            proxy.forget()
