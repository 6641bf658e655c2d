"""What holds for every rule of every family; the rulebook finds them."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from spark_build import rulebook
from spark_build.contract.params import RuleParams
from spark_build.contract.rules import Rule

RULES = [(family, name) for family in rulebook.FAMILIES for name in rulebook.names(family)]
HEAVY = (
    "torch",
    "transformers",
    "pyarrow",
    "numpy",
    "trafilatura",
    "rensa",
    "datasets",
    "peft",
    "onnx",
    "starlette",
)


def rule_of(family: str, name: str) -> type[Rule]:
    return rulebook.find(family, name, Path.cwd()).rule


@pytest.mark.parametrize(("family", "name"), RULES)
def test_a_rule_is_found_by_its_file_and_knows_its_family(family: str, name: str) -> None:
    rule = rule_of(family, name)
    assert rule.family == family
    assert issubclass(rule.Params, RuleParams)
    assert isinstance(rule.revision, int)
    assert rule.revision >= 1
    assert rule.reproducible in ("bitwise", "numerics", "metric", "none")


@pytest.mark.parametrize(("family", "name"), RULES)
def test_every_param_says_what_it_is(family: str, name: str) -> None:
    schema = rule_of(family, name).Params.model_json_schema()
    silent = [field for field, told in schema.get("properties", {}).items() if "description" not in told]
    assert not silent


@pytest.mark.parametrize(("family", "name"), RULES)
def test_synonyms_lead_to_params_that_exist(family: str, name: str) -> None:
    params = rule_of(family, name).Params
    assert set(params.synonyms.values()) <= set(params.model_fields)


@pytest.mark.parametrize(("family", "name"), RULES)
def test_libraries_are_distributions(family: str, name: str) -> None:
    """A misspelt one would count as 'not installed' for ever, and its updates would wake nobody."""
    for library in rule_of(family, name).libraries:
        try:
            assert version(library)
        except PackageNotFoundError:
            pytest.fail(f"{library} is no installed distribution")


@pytest.mark.parametrize(("family", "name"), RULES)
def test_a_rule_has_a_docstring_and_its_module_says_what_it_does(family: str, name: str) -> None:
    module = sys.modules[rule_of(family, name).__module__]
    assert module.__doc__


def test_finding_every_rule_loads_nothing_heavy() -> None:
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom spark_build import rulebook\n"
        "[rulebook.find(f, n, Path.cwd()) for f in rulebook.FAMILIES for n in rulebook.names(f)]\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in json.loads(done.stdout)} & set(HEAVY)


def test_there_is_a_rule_in_every_family() -> None:
    assert {family for family, _ in RULES} == set(rulebook.FAMILIES)
