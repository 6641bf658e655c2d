"""Causes: what tells one manifest from another, each with its old and new value."""

from dataclasses import replace
from typing import Any

import pytest

from spark_build.engine.explain import Reason, differences
from spark_build.engine.graph import Input, Node
from tests.engine.fakes import FakeStore, node, step

OLD: dict[str, Any] = {
    "kind": "eval",
    "revision": 1,
    "steps": [{"rule": "f1", "revision": 1, "tools": {"jq": "jq 1.6"}}, {"rule": "loss", "revision": 1}],
    "inputs": {"base": {"revision": "a" * 40}, "model": {"model/": "c" * 64}},
    "libraries": {"torch": "2.12"},
    "numerics": {"threads": 1},
}
NODE = replace(
    node("model:x/eval", step("f1"), step("loss"), kind="eval"),
    inputs={"base": Input(hub="org/base"), "model": Input(artifact="e" * 64, name="model:x@v1")},
    where={"metrics": ("targets.x.eval.metrics", "Sparkfile.yaml:9:20")},
)


def causes(new: dict[str, Any], given: Node = NODE) -> list[Reason]:
    return differences(OLD, {**OLD, **new}, given, FakeStore())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ({"libraries": {"torch": "2.13"}}, Reason("library", "torch", "2.12", "2.13")),
        ({"numerics": {"threads": 2}}, Reason("numerics", "threads", 1, 2)),
        ({"revision": 2}, Reason("rule", "eval", 1, 2)),
        (
            {"inputs": {**OLD["inputs"], "base": {"revision": "b" * 40}}},
            Reason("input", "org/base", "a" * 40, "b" * 40),
        ),
        (
            {"inputs": {**OLD["inputs"], "model": {"model/": "d" * 64}}},
            Reason("input", "model:x@v1", "c" * 64, "d" * 64),
        ),
        (
            {"steps": [{**OLD["steps"][0], "tools": {"jq": "jq 1.7"}}, OLD["steps"][1]]},
            Reason("tool", "jq", "jq 1.6", "jq 1.7"),
        ),
        (
            {"steps": [{**OLD["steps"][0], "revision": 2}, OLD["steps"][1]]},
            Reason("rule", "f1", 1, 2),
        ),
        (
            {"steps": [*OLD["steps"], {"rule": "accuracy", "revision": 1}]},
            Reason(
                "param", "targets.x.eval.metrics", ["f1", "loss"], ["f1", "loss", "accuracy"], "Sparkfile.yaml:9:20"
            ),
        ),
    ],
)  # fmt: skip
def test_a_cause_has_its_old_and_its_new_value(new: dict[str, Any], reason: Reason) -> None:
    given = NODE
    if len(new.get("steps", [])) == 3:
        given = replace(NODE, steps=(*NODE.steps, step("accuracy")))
    assert causes(new, given) == [reason]


def test_two_gates_of_one_rule_that_changed_places_changed_no_param() -> None:
    steps = [{"rule": "quality", "params": {"min_words": n}} for n in (1, 9)]
    gates = node(
        "dataset:d/filter", step("quality", label="long"), step("quality", label="short"),
        where={"gates": ("datasets.d.gates", "S:1:1")},
    )  # fmt: skip
    found = differences({"steps": steps}, {"steps": steps[::-1]}, gates, FakeStore())  # type: ignore[arg-type]
    assert found == [Reason("param", "datasets.d.gates", ["short", "long"], ["long", "short"], "S:1:1")]


def test_an_older_manifest_with_more_steps_than_the_node_is_compared_all_the_same() -> None:
    old = {"steps": [{"rule": "a"}, {"rule": "b", "params": {"n": 1}}]}
    new = {"steps": [{"rule": "a"}, {"rule": "b", "params": {"n": 2}}]}
    found = differences(old, new, node("dataset:d/filter", step("a")), FakeStore())  # type: ignore[arg-type]
    assert [(r.name, r.old, r.new) for r in found] == [("b.n", 1, 2)]
