"""A planner that is asked again while stages end says what one that begins anew would say."""

import random

import pytest

from spark_build.engine.plan import Plan, Planner
from tests.engine.fakes import Bench, node, step, tree


def graph(chosen: random.Random) -> Bench:
    """Twelve stages, each reading up to three before it, every second one a file of its own too."""
    nodes = []
    for n in range(12):
        before = chosen.sample(range(n), k=min(n, chosen.randint(0, 3)))
        nodes.append(
            node(f"dataset:d{n}/filter", step(f"rule{n}"), reads={f"dataset:d{b}/filter": () for b in before})
        )
    return Bench(*nodes)


def planner(bench: Bench) -> Planner:
    store = bench.store
    return Planner(bench.graph(), bench.world, store, store, store)  # type: ignore[arg-type]


def told(plan: Plan) -> list[tuple[str, str, object, object]]:
    return [(s.stage, s.state, s.key, s.output) for s in plan.stages]


@pytest.mark.parametrize("seed", range(40))
def test_a_planner_asked_again_says_what_a_new_one_says(seed: int) -> None:
    chosen = random.Random(seed)
    bench = graph(chosen)
    everything = list(bench.nodes)
    for _ in range(3):  # builds; the world changes between them, and here and there an Artifact goes
        asked = planner(bench)
        while ready := [s for s in asked.plan(everything).stages if s.state == "run"]:
            stage = chosen.choice(ready).stage
            built(bench, asked, stage, chosen)
            assert told(asked.plan(everything)) == told(planner(bench).plan(everything))
        stage = chosen.choice(everything)
        bench.nodes[stage] = node(
            stage,
            step("other", revision=chosen.randint(2, 9)),
            reads=dict.fromkeys(bench.nodes[stage].upstream(), ()),
        )
        if outputs := [record.output for record in bench.store.records.values()]:
            bench.store.absent.add(chosen.choice(outputs))


def built(bench: Bench, asked: Planner, stage: str, chosen: random.Random) -> None:
    """Half of what runs gives one of two outputs, so that much of what is behind stays fresh."""
    plan = asked.plan(list(bench.nodes))[stage]
    assert plan.manifest is not None
    if (known := bench.store.records.get(str(plan.key))) is not None:  # its Artifact was lost
        bench.store.absent.discard(known.output)
    else:
        output = tree(a=f"{chosen.randint(0, 1)} {stage}" if chosen.random() < 0.5 else str(plan.key))
        bench.recorded(stage, plan.manifest, output)
    asked.forget(stage)


ONE, TWO = "dataset:one/ingest", "dataset:two/ingest"


@pytest.fixture
def shared() -> Bench:
    """Two actions with one output, which is gone."""
    bench = Bench(node(ONE, step("files"), kind="ingest"), node(TWO, step("rows"), kind="ingest"))
    for stage in (ONE, TWO):
        bench.built(stage, tree(a="same"))
    bench.store.absent.add(tree(a="same").digest)
    return bench


def test_a_stage_called_run_for_a_lost_artifact_runs_though_another_brings_it(shared: Bench) -> None:
    asked = planner(shared)
    assert [s.state for s in asked.plan([ONE, TWO]).stages] == ["run", "run"]
    shared.store.absent.clear()
    asked.forget(ONE)
    plan = asked.plan([ONE, TWO])
    assert (plan[ONE].state, plan[TWO].state) == ("fresh", "run")
    asked.forget(TWO)
    assert asked.plan([ONE, TWO]).is_done


def test_two_addresses_of_an_action_whose_artifact_is_lost_run_once(shared: Bench) -> None:
    shared.nodes[TWO] = node(TWO, step("files"), kind="ingest")
    asked = planner(shared)
    assert [s.state for s in asked.plan([ONE, TWO]).stages] == ["run", "run"]
    shared.store.absent.clear()
    asked.forget(ONE)
    assert asked.plan([ONE, TWO]).is_done
