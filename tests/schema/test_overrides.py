"""file < profile < --set, each value with the place where it was written."""

# ruff: noqa: E501 - Sparkfiles on one line

from __future__ import annotations

import pytest

from sparkfile_schema import Sparkfile, parse

TEXT = """\
version: 1
project: p
vars: {base: gpt2}
datasets:
  tickets:
    source: data/tickets
    transforms: [{use: chunk, with: {tokens: 512}}]
    splits: {train: 0.9, test: 0.1}
gates: {v1.near-dup: {use: near_duplicates, with: {threshold: 0.9}}}
recipes:
  sft: {use: llama_lora, with: {base: "${vars.base}", epochs: 3, lora: {r: 8, alpha: 16}}}
targets:
  m: {recipe: sft, dataset: tickets, with: {epochs: 2}, eval: {metrics: [loss], require: {loss: "< 3"}}}
profiles:
  quick: {recipes: {sft: {with: {max_steps: 20, lora: {r: 4}}}}}
  other: {gates: {v1.near-dup: {use: quality}}, datasets: {tickets: {source: {with: {glob: "*.md"}}}}}
"""


def read(*overrides: str, profile: str | None = None) -> Sparkfile:
    parsed = parse(TEXT, overrides=overrides, profile=profile, env={})
    assert parsed.problems == ()
    return parsed.sparkfile


def problems(*overrides: str, profile: str | None = None) -> list[str]:
    return [str(problem) for problem in parse(TEXT, overrides=overrides, profile=profile, env={}).problems]


def test_a_profile_changes_params_key_by_key() -> None:
    params = read(profile="quick").recipes["sft"].params
    assert params == {"base": "gpt2", "epochs": 3, "max_steps": 20, "lora": {"r": 4, "alpha": 16}}


def test_a_value_of_a_profile_stands_in_the_profile() -> None:
    sparkfile = read(profile="quick")
    origins = sparkfile.targets["m"].recipe.origins
    assert str(sparkfile.position(origins[("max_steps",)])) == "Sparkfile.yaml:15:45"
    assert str(sparkfile.position(origins[("lora", "alpha")])) == "Sparkfile.yaml:11:86"


def test_another_rule_in_a_profile_drops_the_params_of_the_old_one() -> None:
    gate = read(profile="other").gates["v1.near-dup"]
    assert (gate.rule, gate.params) == ("quality", {})


def test_a_profile_may_add_to_a_source_in_short_form() -> None:
    source = read(profile="other").datasets["tickets"].source
    assert (source.rule, source.params) == ("files", {"path": "data/tickets", "glob": "*.md"})


def test_set_goes_over_the_profile_and_the_target_over_the_recipe() -> None:
    sparkfile = read("recipes.sft.with.max_steps=5", "recipes.sft.with.epochs=9", profile="quick")
    assert (sparkfile.recipes["sft"].params["max_steps"], sparkfile.targets["m"].recipe.params["epochs"]) == (
        5,
        2,
    )


def test_the_last_set_wins() -> None:
    assert read("vars.base=a", "vars.base=b").recipes["sft"].params["base"] == "b"


def test_a_value_of_set_stands_on_the_command_line() -> None:
    sparkfile = read("recipes.sft.with.learning_rate=1e-4")
    assert (
        str(sparkfile.position(("recipes", "sft", "with", "learning_rate")))
        == "--set recipes.sft.with.learning_rate"
    )


def test_names_with_dots_are_found() -> None:
    assert read("gates.v1.near-dup.with.threshold=0.8").gates["v1.near-dup"].params == {"threshold": 0.8}


def test_places_of_a_list_count_from_0() -> None:
    assert read("datasets.tickets.transforms.0.with.tokens=64").datasets["tickets"].transforms[0].params == {
        "tokens": 64
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("1e-4", 1e-4), ("true", True), ("null", None), ("", None), ("text", "text"), ('"1"', "1")),
        *(
            ("[1, a]", [1, "a"]),
            ("{a: 1}", {"a": 1}),
            ("> 0.9", "> 0.9"),
            ("*.md", "*.md"),
            ("${vars.base}", "gpt2"),
        ),
        ("a=b", "a=b"),
    ],
)
def test_a_value_is_a_yaml_scalar_or_flow(written: str, value: object) -> None:
    assert read(f"recipes.sft.with.x={written}").recipes["sft"].params["x"] == value


def test_a_whole_mapping_is_replaced() -> None:
    assert read("recipes.sft.with={a: 1}").recipes["sft"].params == {"a": 1}


def test_a_requirement_may_be_set() -> None:
    assert read("targets.m.eval.require.loss=< 5").targets["m"].evals[0].require[0].high == 5


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("recipes.stf.with.lr=1", "--set recipes.stf.with.lr: no recipe 'stf'\n  fix: did you mean 'sft'?"),
        ("gates.near-dup.with.x=1", "--set gates.near-dup.with.x: no gate 'near-dup'\n  fix: gates here: v1.near-dup"),
        ("recipe.sft.use=x", "--set recipe.sft.use: unknown key 'recipe'\n  fix: did you mean 'recipes'?"),
        ("recipes.sft.wiht.lr=1", "--set recipes.sft.wiht.lr: unknown key 'wiht' in recipe 'sft'\n  fix: did you mean 'with'?"),
        ("vars.bse=x", "--set vars.bse: no var 'bse'\n  fix: did you mean 'base'?"),
        ("profiles.quick=x", "--set profiles.quick: --set can't change 'profiles'\n  fix: change it in the file"),
        ("version=2", "--set version: --set can't change 'version'\n  fix: change it in the file"),
        ("project.x=1", "--set project.x: 'project' is 'p' and holds no keys\n  fix: shorten the path"),
        ("nothing", "--set nothing: PATH=VALUE is expected\n  fix: such as --set recipes.sft.with.learning_rate=1e-4"),
        ("a..b=1", "--set a..b: PATH=VALUE is expected\n  fix: such as --set recipes.sft.with.learning_rate=1e-4"),
        ("=1", "--set : PATH=VALUE is expected\n  fix: such as --set recipes.sft.with.learning_rate=1e-4"),
        ("recipes.sft.with.x={a: [}", "--set recipes.sft.with.x: a value is missing before '}'\n  fix: add it, or quote it if it is text"),
        ("recipes.sft.with.x=.inf", "--set recipes.sft.with.x: .inf is no number that can be used here\n  fix: give another value"),
        ("datasets.tickets.transforms.1.use=x", "--set datasets.tickets.transforms.1.use: 'datasets.tickets.transforms' is a list of 1, and '1' is none of its places\n  fix: places count from 0"),
        ("datasets.tickets.push=al", "--set datasets.tickets.push: 'push' of dataset 'tickets' has to be last, all or none, not 'al'\n  fix: did you mean 'all'?"),
        ("targets.m.dataset=tiket", "--set targets.m.dataset: no dataset 'tiket' in 'datasets:'\n  fix: did you mean 'tickets'?"),
    ],
)  # fmt: skip
def test_a_set_that_points_at_nothing_is_refused(override: str, expected: str) -> None:
    assert problems(override) == [expected]


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    assert problems(profile="qick") == [
        "Sparkfile.yaml:14:1: no profile 'qick'\n  fix: did you mean 'quick'?"
    ]
    assert problems(profile="slow") == [
        "Sparkfile.yaml:14:1: no profile 'slow'\n  fix: profiles here: quick, other"
    ]


def test_a_profile_without_profiles_is_refused() -> None:
    parsed = parse("version: 1\nproject: p\n", profile="quick", env={})
    assert [str(p) for p in parsed.problems] == [
        "Sparkfile.yaml:1:1: no profile 'quick'\n  fix: there are no profiles yet"
    ]


def test_a_profile_that_is_not_in_use_may_name_an_unset_variable() -> None:
    text = TEXT + "  ci: {store: {remote: '${env.NOPE}'}}\n"
    assert parse(text, env={}).problems == ()
    chosen = parse(text, profile="ci", env={}).problems
    assert [str(p.at) for p in chosen] == ["Sparkfile.yaml:17:24"]


def test_what_a_set_overrides_is_not_asked_for() -> None:
    text = "version: 1\nproject: p\nstore: {remote: '${env.NOPE}'}\n"
    assert parse(text, overrides=["store.remote=s3://b"], env={}).problems == ()
