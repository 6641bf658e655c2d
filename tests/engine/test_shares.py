"""Processes that stages take for their items: together no more than there are, and each at least one."""

import pytest

from spark_build.core.job import Job
from spark_build.engine.graph import Node
from spark_build.engine.shares import processes_of


def node(kind: str = "filter", **more: object) -> Node:
    return Node(f"dataset:d/{kind}", kind, (), 1, **more)  # type: ignore[arg-type]


def job(processes: int) -> Job:
    return Job("s", "filter", "k", {}, (), {}, "p", "s", "o", "s", "e", "r", processes=processes)


def test_a_stage_alone_takes_all() -> None:
    assert processes_of(node(), [], 1, 8) == 8


@pytest.mark.parametrize(("starting", "share"), [(2, 4), (3, 2), (8, 1), (20, 1)])
def test_stages_that_start_together_share(starting: int, share: int) -> None:
    assert processes_of(node(), [], starting, 8) == share


def test_what_runs_keeps_its_own() -> None:
    running = [(node(), job(3)), (node("train", numerics={"threads": 4}), job(1))]
    assert processes_of(node(), running, 1, 8) == 1
    assert processes_of(node(), running, 1, 10) == 3


def test_several_that_start_one_after_the_other_take_no_more_than_there_are() -> None:
    running: list[tuple[Node, Job]] = []
    for starting in (3, 2, 1):
        running.append((node(), job(processes_of(node(), running, starting, 7))))
    assert [taken.processes for _, taken in running] == [2, 2, 3]


def test_what_a_stage_declares_holds() -> None:
    assert processes_of(node(resources={"cpus": 1}), [], 1, 8) == 1
    assert processes_of(node(resources={"cpus": 6}), [(node(), job(4))], 1, 4) == 6


def test_only_what_goes_item_by_item_takes_more_than_one() -> None:
    assert processes_of(node("train"), [], 1, 8) == processes_of(node("version"), [], 1, 8) == 1
