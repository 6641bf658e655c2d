"""What `${…}` stands for, and what of it is remembered."""

# ruff: noqa: E501 - Sparkfiles on one line

from __future__ import annotations

import pytest

from sparkfile_schema import Use, parse

HEAD = "version: 1\nproject: p\nvars: {n: 1.10, t: text, e: '${env.A}/x', yes: true}\n"


def gate(value: str, **env: str) -> Use:
    parsed = parse(HEAD + f"gates: {{g: {{use: x, with: {{v: {value}}}}}}}\n", env=env)
    unset = [problem for problem in parsed.problems if problem.at.line == 4]
    assert unset == []
    return parsed.sparkfile.gates["g"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(('"${vars.n}"', 1.1), ('"${vars.yes}"', True), ('"x${vars.n}"', "x1.10"), ("'${vars.t} ${vars.t}'", "text text")),
        *(('"$${vars.n}"', "${vars.n}"), ('"$${HOME}"', "${HOME}"), ('"${HOME}"', "${HOME}"), ('"$$"', "$$")),
        *(('"${secret.S}"', "${secret.S}"), ('"{inputs.raw} {output}"', "{inputs.raw} {output}"), ('"${vars}"', "${vars}")),
        *(('"${env.A}"', "a"), ('"${vars.e}"', "a/x"), ('"$${env.A} ${env.A}"', "${env.A} a")),
    ],
)  # fmt: skip
def test_references_are_replaced_and_all_else_stays(written: str, value: object) -> None:
    assert gate(written, A="a").params["v"] == value


def test_names_and_templates_of_the_environment_are_remembered() -> None:
    use = gate('"${vars.t}-${env.A}-${secret.S}"', A="a")
    assert (use.params["v"], use.env) == ("text-a-${secret.S}", {"A"})
    assert use.templates == {("v",): "text-${env.A}-${secret.S}"}


def test_a_var_brings_the_environment_that_it_names() -> None:
    use = gate('"${vars.e}"', A="a")
    assert (use.env, use.templates) == ({"A"}, {("v",): "${env.A}/x"})


def test_a_value_that_names_nothing_has_no_template() -> None:
    assert gate('"${vars.t}"', A="a").templates == {}


def test_a_value_of_the_environment_is_never_read_again() -> None:
    assert gate('"${env.A}"', A="${vars.t}${env.B}").params["v"] == "${vars.t}${env.B}"


def test_an_overridden_variable_does_not_count() -> None:
    text = "recipes: {r: {use: u, with: {a: '${env.A}'}}}\ndatasets: {d: {source: x}}\ntargets: {t: {recipe: r, dataset: d, with: {a: 1}}}\n"
    parsed = parse(HEAD + text, env={"A": "a"})
    assert parsed.sparkfile.targets["t"].recipe.env == frozenset()


def test_the_env_list_of_a_command_counts() -> None:
    text = "datasets: {d: {source: {use: command, with: {run: ls, env: [LANG, TZ]}}}}\n"
    assert parse(HEAD + text, env={"A": "a"}).sparkfile.datasets["d"].source.env == {"LANG", "TZ"}


def test_every_variable_of_the_file_is_known() -> None:
    parsed = parse(HEAD + "store: {remote: 's3://${env.B}'}\n", env={"A": "a", "B": "b"})
    assert (parsed.sparkfile.env, parsed.sparkfile.store) == ({"A", "B"}, {"remote": "s3://b"})


def test_keys_are_not_replaced() -> None:
    parsed = parse(HEAD + "gates: {g: {use: x, with: {'${vars.t}': 1}}}\n", env={"A": "a"})
    assert parsed.sparkfile.gates["g"].params == {"${vars.t}": 1}
