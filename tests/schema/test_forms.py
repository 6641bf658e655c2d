"""The forms that a part of the Sparkfile may take."""

# ruff: noqa: E501 - Sparkfiles on one line

from __future__ import annotations

import math

import pytest

from sparkfile_schema import Sparkfile, parse

HEAD = "version: 1\nproject: p\n"


def read(body: str) -> Sparkfile:
    parsed = parse(HEAD + body, env={})
    assert parsed.problems == ()
    return parsed.sparkfile


def test_empty_sections_are_as_if_absent() -> None:
    sparkfile = read(
        "datasets:\ngates:\nrecipes:\ntargets:\ndeployments:\nvars:\nprofiles:\nstore:\nlimits:\n"
    )
    assert (sparkfile.datasets, sparkfile.limits) == ({}, {"ask_above": 3600.0})


def test_splits_may_be_kept() -> None:
    for written in ("keep", "{keep: true}"):
        splits = read(f"datasets: {{d: {{source: x, splits: {written}}}}}").datasets["d"].splits
        assert splits is not None
        assert splits.keep


def test_splits_may_be_grouped_balanced_and_checked() -> None:
    for ratios in (
        "ratios: {train: 0.7, validation: 0.2, test: 0.1}",
        "train: 0.7, validation: 0.2, test: 0.1",
    ):
        body = f"datasets: {{d: {{source: x, splits: {{{ratios}, group: author, balance: label, at_least: {{test: 20}}}}}}}}"
        splits = read(body).datasets["d"].splits
        assert splits is not None
        assert splits.ratios == {"train": 0.7, "validation": 0.2, "test": 0.1}
        assert (splits.group, splits.balance, splits.at_least) == ("author", "label", {"test": 20})


def test_a_split_may_have_a_name_of_ones_own() -> None:
    splits = (
        read("datasets: {d: {source: x, splits: {train: 0.5, heldout: 0.25, test-2: 0.25}}}")
        .datasets["d"]
        .splits
    )
    assert splits is not None
    assert list(splits.ratios) == ["train", "heldout", "test-2"]


@pytest.mark.parametrize(
    ("written", "holding", "failing"),
    [
        ('"> 0.9"', [0.91, math.inf], [0.9, -1, math.nan]),
        ('">= 0.9"', [0.9, 1], [0.89]),
        ('"<= 40%"', [0.4, 0], [0.41]),
        ('"<1e-3"', [0], [1e-3]),
        ("≥ 2", [2], [1.9]),
        ("{min: 0.9}", [0.9], [0.8]),
        ("{min: 0.2, max: 90%}", [0.2, 0.9], [0.1, 0.95]),
        ("{max: 1}", [1, -5], [1.1]),
    ],
)
def test_a_requirement_holds_where_it_says(written: str, holding: list[float], failing: list[float]) -> None:
    body = f"datasets: {{d: {{source: x}}}}\nrecipes: {{r: {{use: u}}}}\ntargets: {{t: {{recipe: r, dataset: d, eval: {{metrics: [m], require: {{m: {written}}}}}}}}}"
    (requirement,) = read(body).targets["t"].evals[0].require
    assert [requirement.holds(figure) for figure in (*holding, *failing)] == [True] * len(holding) + [
        False
    ] * len(failing)


def test_bounds_of_a_dataset_may_name_a_split() -> None:
    require = (
        read('datasets: {d: {source: x, splits: {train: 1}, require: {items.train: "> 5"}}}')
        .datasets["d"]
        .require
    )
    assert [requirement.name for requirement in require] == ["items.train"]


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("15m", 900), ("1.5h", 5400), ("2d", 172800)])
def test_times_are_seconds(written: str, seconds: float) -> None:
    assert read(f"limits: {{ask_above: {written}}}").limits == {"ask_above": seconds}


def test_a_recipe_a_gate_and_a_metric_may_stand_inline() -> None:
    body = """
datasets: {d: {source: x, gates: [{use: pii, with: {action: drop}}]}}
targets:
  t:
    recipe: {use: ./mine.py:Mine, with: {a: 1}, resources: {gpus: 1}}
    dataset: dataset:d
    with: {a: 2, b: 3}
    resources: {memory: 8GiB}
    numerics: {threads: 2}
    eval: {metrics: [{use: f1, with: {average: macro}}, f1]}
    package: [{use: ./x.py:Zip}, onnx]
"""
    target = read(body).targets["t"]
    recipe = target.recipe
    assert (recipe.rule, recipe.label, recipe.path) == ("./mine.py:Mine", "Mine", ("targets", "t", "recipe"))
    assert recipe.params == {"a": 2, "b": 3}
    assert (recipe.resources, recipe.numerics) == ({"gpus": 1, "memory": "8GiB"}, {"threads": 2})
    assert [(use.label, use.params) for use in target.evals[0].metrics] == [
        ("f1", {"average": "macro"}),
        ("f1", {}),
    ]
    assert [use.label for use in target.package] == ["Zip", "onnx"]
    assert target.roles == {"dataset": "d"}


def test_evaluations_may_have_names() -> None:
    body = """
datasets: {calls: {source: x}, d: {source: y}}
recipes: {r: {use: u}}
targets:
  t:
    recipe: r
    roles: {train: d, eval: calls}
    eval:
      clean: {dataset: calls, split: test, metrics: [wer], require: {wer: "< 0.12"}}
      noisy: {dataset: dataset:calls, metrics: [wer]}
"""
    target = read(body).targets["t"]
    assert target.roles == {"train": "d", "eval": "calls"}
    assert [(e.label, e.dataset, e.split, len(e.require)) for e in target.evals] == [
        ("clean", "calls", "test", 1),
        ("noisy", "calls", "test", 0),
    ]


def test_a_command_needs_no_dataset() -> None:
    assert read("targets: {t: {recipe: {use: command, with: {run: make}}}}").targets["t"].roles == {}


def test_a_deployment_may_serve_a_tagged_result() -> None:
    body = "recipes: {r: {use: u}}\ndatasets: {d: {source: x}}\ntargets: {t: {recipe: r, dataset: d}}\ndeployments: {c: {model: model:t@v1, use: s}}"
    assert read(body).deployments["c"].model == "t@v1"


def test_a_tagged_result_of_itself_closes_no_circle() -> None:
    body = "recipes: {r: {use: u}}\ndatasets: {d: {source: x}}\ntargets: {t: {recipe: r, dataset: d, base: 'model:t@v1'}}"
    assert read(body).targets["t"].recipe.params["base"] == "model:t@v1"


def test_a_transform_may_be_for_one_split() -> None:
    body = "datasets: {d: {source: x, splits: {train: 1}, transforms: [{use: chunk, only: train}]}}"
    assert read(body).datasets["d"].transforms[0].options == {"only": "train"}


def test_origins_cover_every_place_of_the_params() -> None:
    use = read("gates: {g: {use: x, with: {a: {b: [1, {c: 2}]}}}}").gates["g"]
    start = ("gates", "g", "with")
    places = [("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1), ("a", "b", 1, "c")]
    assert use.origins == {place: (*start, *place) for place in places}


def test_an_alias_repeats_a_value() -> None:
    sparkfile = read("gates:\n  a: &a {use: x, with: {n: 1}}\n  b: *a\n")
    assert sparkfile.gates["b"].params == {"n": 1}
    assert str(sparkfile.position(("gates", "b"))) == "Sparkfile.yaml:5:6"
