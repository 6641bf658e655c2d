"""Every example is a good Sparkfile, for the tool and for an editor's schema."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.spark import Folder

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*/Sparkfile.yaml"))


@pytest.mark.parametrize("sparkfile", EXAMPLES, ids=lambda f: f.parent.name)
def test_an_example_has_no_problems(sparkfile: Path) -> None:
    assert "no problems" in Folder(sparkfile.parent).spark("check").out


@pytest.mark.parametrize("sparkfile", EXAMPLES, ids=lambda f: f.parent.name)
def test_the_schema_validates_every_example(sparkfile: Path, folder: Folder) -> None:
    schema = json.loads(folder.spark("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(YAML(typ="safe").load(sparkfile.read_text()), schema)


def test_the_schema_refuses_a_misspelt_param(folder: Folder) -> None:
    schema = json.loads(folder.spark("schema").out)
    sparkfile = {
        "version": 1,
        "project": "t",
        "gates": {"g": {"use": "near_duplicates", "with": {"treshold": 0.9}}},
    }
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sparkfile, schema)


def test_there_are_examples() -> None:
    assert EXAMPLES
