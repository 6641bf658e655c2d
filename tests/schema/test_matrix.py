"""`matrix:`: one declaration for many, and each refusal at its line."""

# ruff: noqa: E501 - Sparkfiles on one line

import pytest

from sparkfile_schema import Sparkfile, parse

HEAD = """\
version: 1
project: t
vars: {rate: 1e-4}
recipes:
  sft: {use: llama_lora, with: {seed: 0, learning_rate: 5e-5}}
  own: {use: command, with: {run: "train {params.seed} {params.rate}", params: {rate: 1}}}
"""


def read(text: str, **options: object) -> Sparkfile:
    parsed = parse(HEAD + text, **options)  # type: ignore[arg-type]
    assert not parsed.problems, "\n".join(map(str, parsed.problems))
    return parsed.sparkfile


def test_each_combination_is_a_member_with_its_values_over_all_others() -> None:
    file = read(
        "datasets:\n  d: {source: data}\n"
        "targets:\n  sweep: {recipe: sft, dataset: d, with: {seed: 9}, matrix: {seed: [1, 2], learning_rate: "
        '["${vars.rate}", 2E-4]}}\n'
    )
    assert {
        name: (t.recipe.params["learning_rate"], t.recipe.params["seed"]) for name, t in file.targets.items()
    } == {
        "sweep@learning_rate=0.0001,seed=1": (1e-4, 1),
        "sweep@learning_rate=0.0001,seed=2": (1e-4, 2),
        "sweep@learning_rate=0.0002,seed=1": (2e-4, 1),
        "sweep@learning_rate=0.0002,seed=2": (2e-4, 2),
    }


def test_a_value_was_written_in_its_list() -> None:
    file = read("targets:\n  s:\n    recipe: own\n    matrix:\n      seed: [1, 2]\n")
    use = file.targets["s@seed=2"].recipe
    assert str(file.position(use.origins["params", "seed"])) == "Sparkfile.yaml:11:17"


def test_a_dotted_name_goes_inside_and_leaves_what_stands_beside_it() -> None:
    file = read(
        "datasets:\n  d: {source: data}\ntargets:\n"
        "  s: {recipe: sft, dataset: d, with: {config: {a: 1, b: 2}}, matrix: {config.b: [3]}}\n"
    )
    assert file.targets["s@config.b=3"].recipe.params["config"] == {"a": 1, "b": 3}


def test_the_seed_that_a_command_names_is_one_of_its_own_params() -> None:
    file = read(
        'targets:\n  s: {recipe: {use: command, with: {run: "train {seed}"}}, matrix: {seed: [1, 2]}}\n'
    )
    assert [t.recipe.params["params"] for t in file.targets.values()] == [{"seed": 1}, {"seed": 2}]


def test_a_commands_own_params_are_named_bare() -> None:
    file = read("targets:\n  s: {recipe: own, matrix: {rate: [2], seed: [null, true]}}\n")
    assert [t.recipe.params["params"] for t in file.targets.values()] == [
        {"rate": 2, "seed": None},
        {"rate": 2, "seed": True},
    ]


def test_a_value_stands_in_any_text_of_the_declaration() -> None:
    file = read(
        "datasets:\n"
        '  calls: {source: "data/${matrix.lang}/$${matrix.lang}", card: {license: "l-${matrix.lang}"},'
        " matrix: {lang: [de, en]}}\n"
        "targets:\n"
        '  t: {recipe: sft, dataset: "calls@lang=${matrix.lang}", numerics: {threads: "${matrix.threads}"},'
        " matrix: {lang: [de, en], threads: [2]}}\n"
    )
    calls = file.datasets['calls@lang="de"']
    assert calls.source.params["path"] == "data/de/${matrix.lang}"
    assert calls.card == {"license": "l-de"}
    target = file.targets['t@lang="en",threads=2']
    assert target.roles == {"dataset": 'calls@lang="en"'}
    assert target.recipe.numerics == {"threads": 2}
    assert target.recipe.optional == {"lang", "threads"}


@pytest.mark.parametrize(
    "reference",
    ["calls@lang=de", "'dataset:calls@lang=\"de\"'", "dataset:calls@size=1e0,lang=de"],
)
def test_a_reference_may_be_spelled_in_other_ways(reference: str) -> None:
    file = read(
        'datasets:\n  calls: {source: "d/${matrix.lang}${matrix.size}", matrix: {lang: [de, en], size: [1]}}\n'
        f"targets:\n  t:\n    recipe: sft\n    dataset: {reference}\n"
    )
    assert file.targets["t"].roles == {"dataset": 'calls@lang="de",size=1'}


def test_set_and_profiles_change_the_lists() -> None:
    text = (
        "targets:\n  s: {recipe: own, matrix: {seed: [1, 2], rate: [5]}}\n"
        "profiles: {quick: {targets: {s: {matrix: {seed: [7]}}}}}\n"
    )
    assert list(read(text, profile="quick").targets) == ["s@rate=5,seed=7"]
    assert list(read(text, overrides=["targets.s.matrix.seed=[8, 9]"]).targets) == [
        "s@rate=5,seed=8",
        "s@rate=5,seed=9",
    ]


DATASETS = (
    "datasets:\n  calls: {source: 'd/${matrix.lang}', matrix: {lang: [de, en]}}\n  plain: {source: d}\n"
)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("matrix: {seed: 1}", "13:20: 'seed' of the matrix of target 't' has to be a list, not the number 1\n  fix: write [1]"),
        ("matrix: {seed: []}", "13:20: 'seed' of the matrix of target 't' lists nothing"),
        ("matrix: {}", "13:13: the matrix of target 't' names nothing"),
        ("matrix: [1]", "13:13: the matrix of target 't' has to be a mapping, not a list"),
        ("matrix: {seed: [1, 1.0]}", "13:24: 'seed' of the matrix of target 't' lists 1.0 twice"),
        ("matrix: {seed: [[1]]}", "13:21: a value of 'seed' of the matrix of target 't' has to be text, a number"),
        ("matrix: {a b: [1]}", "13:14: 'a b' can't be a name in the matrix of target 't'"),
        ('matrix: {seed: ["${env.HOME}"]}', "13:21: a value of 'seed' of the matrix of target 't' can't come from"),
        (f"matrix: {{seed: [{'x' * 201}]}}", "longer than 200 characters"),
        (f"matrix: {{seed: {list(range(1001))}}}", "13:5: the matrix of target 't' has 1001 members, at most 1000"),
        ('with: {x: "${matrix.seed}"}', "13:15: '${matrix.seed}' stands where no matrix is"),
        ('matrix: {seed: [1], x: ["${matrix.seed}"]}', "13:29: '${matrix.seed}' stands where no matrix is"),
        ('{with: {x: "${matrix.sed}"}, matrix: {seed: [1]}}', "did you mean ${matrix.seed}?"),
        ("dataset: calls", "13:14: dataset 'calls' has a matrix, and 2 of its members are meant\n  fix: name one: 'calls@"),
        ("dataset: calls@lang=fr", "13:14: no member of dataset 'calls' is 'calls@lang=\"fr\"'\n  fix: there are 'calls@"),
        ("dataset: calls@lnag=fr", "13:14: the matrix of dataset 'calls' has no 'lnag'\n  fix: did you mean 'lang'?"),
        ("dataset: plain@lang=fr", "13:14: dataset 'plain' has no matrix\n  fix: write plain"),
        ('base: "model:t@seed=1"', "13:11: target 't' has no matrix"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_stands(target: str, problem: str) -> None:
    lines = f"    {target}\n" if not target.startswith("{") else ""
    flow = target[1:-1] if target.startswith("{") else ""
    text = f"{HEAD}{DATASETS}targets:\n  t:\n    recipe: own\n{lines}"
    if flow:
        text = f"{HEAD}{DATASETS}targets:\n  t: {{recipe: own, {flow}}}\n"
    told = "\n".join(map(str, parse(text).problems))
    assert problem in told


def test_a_name_that_a_dataset_does_not_use_is_refused() -> None:
    parsed = parse(f"{HEAD}datasets:\n  d: {{source: data, matrix: {{lang: [de]}}}}\n")
    assert [str(p.at) for p in parsed.problems] == ["Sparkfile.yaml:8:30"]
    assert parsed.problems[0].message == "'lang' of the matrix is used nowhere in dataset 'd'"


def test_a_matrix_that_is_built_on_itself_is_refused_once() -> None:
    text = f'{HEAD}targets:\n  t: {{recipe: own, base: "model:t@seed=${{matrix.seed}}", matrix: {{seed: [1, 2]}}}}\n'
    assert "is built on itself" in str(parse(text).problems[0])
