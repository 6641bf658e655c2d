"""The four states and their causes, on graphs small enough to check by hand."""

from typing import Any

import pytest
from msgspec.structs import replace

from spark_build.engine.graph import Input
from spark_build.engine.plan import Planner
from tests.engine.fakes import Bench, node, step, tree

INGEST, VERSION, TRAIN, EVAL = "dataset:d/ingest", "dataset:d/version", "model:m/train", "model:m/eval"


@pytest.fixture
def bench() -> Bench:
    """source -> ingest -> version -> train (reads train rows) and eval (reads the model and test rows)."""
    source = step(
        "files", inputs={"path": Input(path="data", at="Sparkfile.yaml:4:13")}, params={"strip": True}
    )
    training = step(
        "sft",
        params={"learning_rate": 0.1},
        libraries=("torch",),
        where={"learning_rate": ("recipes.r.learning_rate", "Sparkfile.yaml:9:20")},
    )
    bench = Bench(
        node(INGEST, source, kind="ingest"),
        node(VERSION, kind="version", reads={INGEST: ()}),
        node(TRAIN, training, kind="train", reads={VERSION: ("data/train-*",)}),
        node(EVAL, kind="eval", reads={VERSION: ("data/test-*",), TRAIN: ("model/",)}),
    )
    bench.world.folders["data"] = tree(a="1")
    bench.world.versions["torch"] = "2.13.0"
    return bench


def rows(train: str = "t", test: str = "e", card: str = "c") -> dict[str, str]:
    return {"data__train-00000.parquet": train, "data__test-00000.parquet": test, "README.md": card}


def build_all(bench: Bench, *, train: str = "t", test: str = "e", card: str = "c", model: str = "w") -> None:
    outputs = {
        INGEST: tree(**{n: t for n, t in rows(train, test).items() if n != "README.md"}),
        VERSION: tree(**rows(train, test, card)),
        TRAIN: tree(model__weights=model),
        EVAL: tree(**{"metrics.json": f"{model}{test}"}),
    }
    for stage, output in outputs.items():
        if bench.plan(stage)[stage].state == "run":
            bench.built(stage, output)


def test_what_was_never_built_runs_and_what_is_behind_it_may(bench: Bench) -> None:
    assert bench.states() == {INGEST: "run", VERSION: "maybe", TRAIN: "maybe", EVAL: "maybe"}
    assert bench.reasons(INGEST) == [("new", INGEST)]


def test_after_a_build_all_is_fresh(bench: Bench) -> None:
    build_all(bench)
    assert set(bench.states().values()) == {"fresh"}


def test_a_changed_file_names_the_file(bench: Bench) -> None:
    build_all(bench)
    bench.world.folders["data"] = tree(a="2", b="new")
    plan = bench.plan()
    reason = plan[INGEST].reasons[0]
    assert (reason.kind, reason.name, reason.added, reason.changed) == ("input", "data", ("b",), ("a",))
    assert plan[TRAIN].state == "maybe"


def test_an_edit_whose_output_is_the_same_stops_there(bench: Bench) -> None:
    build_all(bench)
    bench.world.folders["data"] = tree(a="1 ")
    bench.built(INGEST, tree(**{n: t for n, t in rows().items() if n != "README.md"}))
    assert set(bench.states().values()) == {"fresh"}


def test_a_new_test_document_wakes_the_evaluation_and_not_the_training(bench: Bench) -> None:
    build_all(bench)
    bench.world.folders["data"] = tree(a="1", b="2")
    bench.built(INGEST, tree(**{n: t for n, t in rows(test="more").items() if n != "README.md"}))
    bench.built(VERSION, tree(**rows(test="more")))
    assert bench.states() == {INGEST: "fresh", VERSION: "fresh", TRAIN: "fresh", EVAL: "run"}


def test_a_typo_in_the_card_wakes_nobody_behind(bench: Bench) -> None:
    build_all(bench)
    bench.nodes[VERSION] = replace(bench.nodes[VERSION], options={"card": {"license": "mit"}})
    bench.built(VERSION, tree(**rows(card="other")))
    assert bench.states()[TRAIN] == bench.states()[EVAL] == "fresh"


def test_a_param_is_named_with_its_values_and_its_place(bench: Bench) -> None:
    build_all(bench)
    changed = replace(bench.nodes[TRAIN].steps[0], params={"learning_rate": 0.2})
    bench.nodes[TRAIN] = replace(bench.nodes[TRAIN], steps=(changed,))
    reason = bench.plan()[TRAIN].reasons[0]
    assert (reason.kind, reason.name, reason.old, reason.new, reason.at) == (
        "param", "recipes.r.learning_rate", 0.1, 0.2, "Sparkfile.yaml:9:20",
    )  # fmt: skip


def test_drift_of_a_library_leaves_a_training_fresh_with_a_note(bench: Bench) -> None:
    build_all(bench)
    bench.world.versions["torch"] = "2.14.0"
    assert bench.plan()[TRAIN].state == "fresh"
    assert bench.plan()[TRAIN].drift == ("torch 2.13 → 2.14",)


def test_strict_reruns_a_training_for_drift(bench: Bench) -> None:
    build_all(bench)
    bench.world.versions["torch"] = "2.14.0"
    plan = bench.plan(strict=True)
    assert [(r.kind, r.name, r.old, r.new) for r in plan[TRAIN].reasons] == [
        ("library", "torch", "2.13", "2.14")
    ]


def test_drift_of_a_library_counts_for_all_but_training(bench: Bench) -> None:
    bench.nodes[VERSION] = replace(bench.nodes[VERSION], libraries=("pyarrow",))
    bench.world.versions["pyarrow"] = "25.0.1"
    build_all(bench)
    bench.world.versions["pyarrow"] = "26.0.0"
    assert bench.plan()[VERSION].reasons[0].kind == "library"


def test_a_patch_of_a_library_is_compatible(bench: Bench) -> None:
    build_all(bench)
    bench.world.versions["torch"] = "2.13.7"
    assert bench.plan()[TRAIN].drift == ()


def test_an_artifact_that_nobody_needs_may_be_gone(bench: Bench) -> None:
    build_all(bench)
    bench.store.absent.add(bench.store.records[bench.store.last_keys[INGEST][0]].output)
    assert bench.states(EVAL)[INGEST] == "fresh"


def test_an_artifact_that_is_needed_and_gone_is_built_again(bench: Bench) -> None:
    build_all(bench)
    for stage in (INGEST, VERSION):
        bench.store.absent.add(bench.store.records[bench.store.last_keys[stage][0]].output)
    changed = replace(bench.nodes[TRAIN].steps[0], params={"learning_rate": 0.2})
    bench.nodes[TRAIN] = replace(bench.nodes[TRAIN], steps=(changed,))
    plan = bench.plan(TRAIN)
    assert [(s.stage, s.state) for s in plan.stages] == [
        (INGEST, "run"),
        (VERSION, "maybe"),
        (TRAIN, "maybe"),
    ]
    assert plan[INGEST].reasons[0].kind == "missing"


def test_an_artifact_that_only_a_maybe_would_read_is_a_maybe(bench: Bench) -> None:
    """Were it planned fresh and built after all, the plan would have lied."""
    build_all(bench)
    bench.store.absent.add(bench.store.records[bench.store.last_keys[TRAIN][0]].output)
    bench.world.folders["data"] = tree(a="other")
    plan = bench.plan(EVAL)
    assert plan[TRAIN].state == "maybe"
    assert plan[EVAL].state == "maybe"


class FakeRemote:
    """Holds everything."""

    def bytes_missing(self, output: str) -> int:
        return 42

    def refuse(self, output: str) -> None:
        raise NotImplementedError


def test_an_artifact_that_only_the_remote_has_is_restored_and_wakes_nobody(bench: Bench) -> None:
    build_all(bench)
    bench.store.absent.add(bench.store.records[bench.store.last_keys[TRAIN][0]].output)
    graph = bench.graph()
    store: Any = bench.store
    plan = Planner(graph, bench.world, store, store, store, FakeRemote()).plan([TRAIN, EVAL])
    assert (plan[TRAIN].state, plan[TRAIN].bytes) == ("restore", 42)
    assert plan[EVAL].state == "fresh"
    assert plan.is_done


def test_a_stage_that_waits_lists_its_own_causes_too(bench: Bench) -> None:
    build_all(bench)
    bench.world.folders["data"] = tree(a="2")
    changed = replace(bench.nodes[TRAIN].steps[0], params={"learning_rate": 0.2})
    bench.nodes[TRAIN] = replace(bench.nodes[TRAIN], steps=(changed,))
    assert bench.reasons(TRAIN) == [("param", "recipes.r.learning_rate"), ("upstream", VERSION)]


def test_a_stage_built_later_names_the_leaf_and_not_the_stage_between(bench: Bench) -> None:
    build_all(bench)
    bench.world.folders["data"] = tree(a="2")
    bench.built(INGEST, tree(**{n: t for n, t in rows(train="T").items() if n != "README.md"}))
    bench.built(VERSION, tree(**rows(train="T")))
    reason = bench.plan()[TRAIN].reasons[0]
    assert (reason.kind, reason.name, reason.changed) == ("input", "data", ("a",))
    assert reason.via == (VERSION, INGEST)


def test_an_undone_edit_runs_nothing(bench: Bench) -> None:
    build_all(bench)
    bench.world.folders["data"] = tree(a="2")
    build_all(bench, train="T", test="E", model="v")
    bench.world.folders["data"] = tree(a="1")
    assert set(bench.states().values()) == {"fresh"}


def test_again_runs_what_is_fresh(bench: Bench) -> None:
    build_all(bench)
    plan = bench.plan(again=[TRAIN])
    assert (plan[TRAIN].state, plan[EVAL].state) == ("run", "maybe")


def test_an_environment_variable_counts_and_its_value_is_not_told(bench: Bench) -> None:
    source = replace(bench.nodes[INGEST].steps[0], env=("LANG",))
    bench.nodes[INGEST] = replace(bench.nodes[INGEST], steps=(source,))
    bench.world.variables["LANG"] = "secret-value"
    build_all(bench)
    bench.world.variables["LANG"] = "other-value"
    reason = bench.plan()[INGEST].reasons[0]
    assert (reason.kind, reason.name, reason.old, reason.new) == ("env", "LANG", None, None)
    assert "secret-value" not in str(bench.store.records)


def test_a_reordered_gate_is_a_cause(bench: Bench) -> None:
    bench.nodes[VERSION] = replace(bench.nodes[VERSION], steps=(step("a"), step("b")))
    build_all(bench)
    bench.nodes[VERSION] = replace(bench.nodes[VERSION], steps=(step("b"), step("a")))
    assert bench.plan()[VERSION].reasons[0].kind == "param"


def test_the_graph_survives_json(bench: Bench) -> None:

    from spark_build.engine.graph import Graph

    graph = bench.graph()
    again = Graph.of_bytes(graph.to_bytes())
    assert again.nodes.keys() == graph.nodes.keys()
    bench.nodes = dict(graph.nodes)
    build_all(bench)
    bench.nodes = dict(again.nodes)
    assert set(bench.states().values()) == {"fresh"}
