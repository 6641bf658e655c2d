"""The JSON Schema for editors takes what the reader takes, and marks typos."""

# ruff: noqa: E501 - tables: one line a case

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from sparkfile_schema import json_schema, parse

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text(encoding="utf-8")
HEAD = "version: 1\nproject: p\n"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Files(Strict):
    """Reads a folder."""

    path: str = Field(description="Folder or file.")
    glob: str = "*"


class Inner(Strict):
    depth: int = 1
    below: list[Inner] = []


class NearDuplicates(Strict):
    """Drops near duplicates."""

    threshold: float = Field(0.9, ge=0, le=1, description="Similarity from which an item goes.")
    inner: Inner = Inner()


class Lora(Strict):
    base: str
    r: int = 8
    alpha: int = 16
    epochs: int = 1
    batch_size: int = 8
    learning_rate: float = 1e-4
    max_steps: int | None = None


class Anything(BaseModel):
    """Takes whatever comes."""


RULES = {
    "source": {"files": Files.model_json_schema()},
    "transform": {"chunk": Anything.model_json_schema()},
    "gate": {
        "near_duplicates": NearDuplicates.model_json_schema(),
        "toxicity": Anything.model_json_schema(),
        "pii": Anything.model_json_schema(),
    },
    "versioner": {"snapshot": Anything.model_json_schema()},
    "recipe": {"llama_lora": Lora.model_json_schema()},
    "metric": {"perplexity": Anything.model_json_schema()},
    "exporter": {"safetensors": Anything.model_json_schema(), "onnx": Anything.model_json_schema()},
    "server": {"transformers_serve": Anything.model_json_schema()},
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(RULES)


def problems(schema: dict[str, Any], text: str) -> list[list[str | int]]:
    document = YAML(typ="safe", pure=True).load(io.StringIO(text))
    validator = jsonschema.Draft202012Validator(schema)
    return [list(error.absolute_path) for error in validator.iter_errors(document)]


def test_it_is_a_valid_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_example_of_the_design_fits(schema: dict[str, Any]) -> None:
    assert problems(schema, EXAMPLE) == []


def test_without_rules_only_rules_of_ones_own_fit() -> None:
    bare = json_schema({})
    jsonschema.Draft202012Validator.check_schema(bare)
    assert problems(bare, HEAD + "gates: {g: {use: ./x.py:Y}}") == []
    assert problems(bare, HEAD + "gates: {g: {use: pii}}") != []


GOOD = {
    "own rule": "gates: {g: {use: './my_gate.py:MyGate', with: {anything: 1}}}",
    "reference in place of a number": 'gates: {g: {use: near_duplicates, with: {threshold: "${vars.t}"}}}',
    "inner params": "gates: {g: {use: near_duplicates, with: {inner: {depth: 2, below: [{depth: 3}]}}}}",
    "partial recipe": "recipes: {r: {use: llama_lora, with: {r: 4}}}",
    "inline recipe": "targets: {t: {recipe: {use: llama_lora}, dataset: d}}",
    "roles": "targets: {t: {recipe: r, roles: {train: d, eval: e}}}",
    "named evaluations": "targets: {t: {recipe: r, dataset: d, eval: {clean: {metrics: [perplexity]}, b: {metrics: [{use: perplexity}]}}}}",
    "bounds": "targets: {t: {recipe: r, dataset: d, eval: {metrics: [perplexity], require: {perplexity: {max: 20}, x: '< 40%'}}}}",
    "kept splits": "datasets: {d: {source: x, splits: keep}}",
    "long splits": "datasets: {d: {source: x, splits: {ratios: {train: 0.9, test: 0.1}, group: a, at_least: {test: 3}}}}",
    "items of a split": 'datasets: {d: {source: x, require: {items.test: "> 5"}}}',
    "long source": "datasets: {d: {source: {use: files, with: {path: x}}}}",
    "transform for one split": "datasets: {d: {source: x, transforms: [{use: chunk, only: train}]}}",
    "a store with keys": "store: {remote: s3://b/p, keys: ['ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', '${env.K}'], policy: trust.yaml}",
    "empty sections": "datasets:\ngates:\n",
    "profile": "profiles: {q: {recipes: {sft: {with: {max_steps: 20}}}, datasets: {d: {source: {with: {glob: x}}}}, limits: {ask_above: 2h}}}",
    "numerics and resources": "recipes: {r: {use: llama_lora, numerics: {threads: 2, device: cuda}, resources: {gpus: 1, memory: 8GiB}}}",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_every_form_fits(schema: dict[str, Any], name: str) -> None:
    assert problems(schema, HEAD + GOOD[name]) == []


@pytest.mark.parametrize("name", GOOD)
def test_no_form_has_a_key_that_the_reader_does_not_know(name: str) -> None:
    found = parse(HEAD + GOOD[name], env={}).problems
    assert [problem for problem in found if "unknown key" in problem.message] == []


BAD = {
    "unknown section": ("datset: {}", []),
    "unknown key": ("datasets: {d: {source: x, gate: []}}", ["datasets", "d"]),
    "unknown param": ("gates: {g: {use: near_duplicates, with: {treshold: 0.9}}}", ["gates", "g", "with"]),
    "param out of range": ("gates: {g: {use: near_duplicates, with: {threshold: 2}}}", ["gates", "g", "with", "threshold"]),
    "unknown rule": ("gates: {g: {use: near_dup}}", ["gates", "g", "use"]),
    "missing use": ("gates: {g: {with: {}}}", ["gates", "g"]),
    "missing source": ("datasets: {d: {}}", ["datasets", "d"]),
    "missing recipe": ("targets: {t: {dataset: d}}", ["targets", "t"]),
    "missing metrics": ("targets: {t: {recipe: r, eval: {split: test}}}", ["targets", "t", "eval"]),
    "missing model": ("deployments: {c: {use: transformers_serve}}", ["deployments", "c"]),
    "unknown key of a deployment": ("deployments: {c: {model: t, use: transformers_serve, port: 1}}", ["deployments", "c"]),
    "unknown metric": ("targets: {t: {recipe: r, eval: {metrics: [perplex]}}}", ["targets", "t", "eval", "metrics", 0]),
    "choice": ("datasets: {d: {source: x, push: some}}", ["datasets", "d", "push"]),
    "type of a field": ("datasets: {d: {source: x, fields: {a: string}}}", ["datasets", "d", "fields", "a"]),
    "share": ("datasets: {d: {source: x, splits: {train: 2}}}", ["datasets", "d", "splits"]),
    "bound": ("datasets: {d: {source: x, require: {items: many}}}", ["datasets", "d", "require", "items"]),
    "name": ("gates: {a b: {use: pii}}", ["gates"]),
    "unknown param of a recipe": ("recipes: {r: {use: llama_lora, with: {lr: 1}}}", ["recipes", "r", "with"]),
    "unknown key of a profile": ("profiles: {q: {recips: {}}}", ["profiles", "q"]),
    "key of a store": ("store: {keys: [ssh-rsa AAAA]}", ["store", "keys", 0]),
    "numerics": ("numerics: {device: tpu}", ["numerics", "device"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_typo_is_marked_where_it_stands(schema: dict[str, Any], name: str) -> None:
    text, path = BAD[name]
    assert problems(schema, HEAD + text) == [path]


def test_a_rule_that_needs_params_needs_with() -> None:
    rules = {
        "gate": {"strict": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
    }
    schema = json_schema(rules)
    assert problems(schema, HEAD + "gates: {g: {use: strict}}") == [["gates", "g"]]
    assert problems(schema, HEAD + "gates: {g: {use: strict, with: {}}}") == [["gates", "g", "with"]]
    assert problems(schema, HEAD + "gates: {g: {use: strict, with: {a: 1}}}") == []


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    for name in ("dataset", "target", "evaluation", "deployment", "gate", "server", "numerics", "resources"):
        properties = schema["$defs"][name]["properties"]
        assert [key for key, part in properties.items() if not part.get("description")] == []
    assert [key for key, part in schema["properties"].items() if not part.get("description")] == []


def test_descriptions_of_params_reach_the_editor(schema: dict[str, Any]) -> None:
    threshold = schema["$defs"]["gate.near_duplicates"]["properties"]["threshold"]
    assert threshold["description"] == "Similarity from which an item goes."
    uses = schema["$defs"]["gate"]["properties"]["use"]["anyOf"]
    assert {"const": "near_duplicates", "description": "Drops near duplicates."} in uses


def test_the_rules_schemas_are_left_as_they_are() -> None:
    params = Lora.model_json_schema()
    json_schema({"recipe": {"llama_lora": params}})
    assert params == Lora.model_json_schema()
