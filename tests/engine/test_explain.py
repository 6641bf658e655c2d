"""Causes: what tells one manifest from another, each with its old and new value."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from spark_build.engine.explain import Reason, differences
from spark_build.engine.graph import Input, Node
from spark_build.engine.precision import NAME as LIBRARIES
from spark_build.engine.told import retold, told_of
from spark_build.report.causes import cause_text
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


@pytest.mark.parametrize(
    ("then", "now", "values"),
    [
        ({"torch": "2.12"}, {"torch": "2.12.1"}, ("compatible", "exact")),
        ({"torch": "2.12.1"}, {"torch": "2.12"}, ("exact", "compatible")),
        ({"torch": "2.12"}, None, ("compatible", "ignore")),
        (None, {"torch": "2.12.1"}, ("ignore", "exact")),
    ],
)
def test_a_version_at_another_precision_is_no_other_version(
    then: dict[str, str] | None, now: dict[str, str] | None, values: tuple[str, str]
) -> None:
    given = replace(NODE, where={**NODE.where, LIBRARIES: (LIBRARIES, "Sparkfile.yaml:3:26")})
    old, new = ({k: v for k, v in {**OLD, "libraries": side}.items() if v} for side in (then, now))
    found = differences(old, new, given, FakeStore())  # type: ignore[arg-type]
    assert found == [Reason("param", LIBRARIES, *values, "Sparkfile.yaml:3:26")]


def test_a_library_that_was_installed_meanwhile_is_named_beside_the_precision() -> None:
    old = {**OLD, "libraries": {"torch": "2.12", "numpy": "2.3"}}
    new = {**OLD, "libraries": {"torch": "2.13.0", "numpy": "2.3.5"}}
    assert differences(old, new, NODE, FakeStore()) == [  # type: ignore[arg-type]
        Reason("library", "torch", "2.12", "2.13.0"),
        Reason("param", LIBRARIES, "compatible", "exact"),
    ]
    old = {**OLD, "libraries": {"torch": "2.12.0", "numpy": "2.3"}}
    new = {**OLD, "libraries": {"torch": "2.12.0", "numpy": "2.3.1"}}  # torch shows that both are exact
    assert differences(old, new, NODE, FakeStore()) == [Reason("library", "numpy", "2.3", "2.3.1")]  # type: ignore[arg-type]


def test_a_record_names_some_files_and_counts_the_others() -> None:
    names = tuple(f"{n:03}.md" for n in range(250))
    reason = Reason("input", "data", at="Sparkfile.yaml:4:5", changed=names)
    told = json.loads(json.dumps(told_of([reason], "a" * 64)))
    bare = Reason("input", "data")
    [again] = retold([bare], told, "a" * 64, keeps_places=False)
    assert (again.at, again.changed, again.more) == (reason.at, names[:100], {"changed": 150})
    assert cause_text(again) == "data: 250 changed (000.md, 001.md, 002.md and 247 more)"
    assert Reason.from_json(again.to_json()) == again
    assert retold([bare], told, "b" * 64, keeps_places=False) == [replace(bare, at=reason.at)]


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
