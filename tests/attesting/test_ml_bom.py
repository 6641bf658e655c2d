"""The ML-BOM: valid by CycloneDX's own schema, and saying of model and datasets what the Records say."""

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from spark_build.report.dependencies import hub_purl, pypi_purl, tool_purl
from tests.attesting.conftest import Attested


def problems(text: str) -> list[str]:
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text, all_errors=True)
    return [str(error) for error in found or ()]


def bom(attested: Attested, target: str, to: Path) -> dict[str, Any]:
    attested.folder.spark("attest", target, "--no-sign", "--to", str(to))
    text = (to / "bom.cdx.json").read_text()
    assert problems(text) == []
    found: dict[str, Any] = json.loads(text)
    return found


def properties(given: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in given["properties"]}


def test_the_schema_finds_what_does_not_fit(attested: Attested) -> None:
    text = (attested.to / "bom.cdx.json").read_text()
    assert problems(text) == []
    assert problems(text.replace("machine-learning-model", "model")) != []


def test_the_model_is_a_component_with_its_card_files_and_figures(attested: Attested, tmp_path: Path) -> None:
    model = bom(attested, "tiny", tmp_path / "x")["metadata"]["component"]
    assert (model["type"], model["name"], model["bom-ref"]) == (
        "machine-learning-model",
        "tiny",
        "model:tiny",
    )
    assert {one["alg"] for one in model["hashes"]} == {"BLAKE3", "SHA-256"}
    assert [f["name"] for f in model["components"]] == [
        "model/sub/run.sh",
        "model/weights.bin",
        "training.json",
    ]
    card = model["modelCard"]
    assert card["modelParameters"]["datasets"] == [{"ref": "dataset:notes"}]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "near", "value": "0.5", "slice": "dataset:notes test"}
    ]
    told = properties(card)
    assert told["spark:train:lr"] == "0.1"
    assert told["spark:require:near"] == "> 0.2 (met)"


def test_datasets_libraries_and_tools_are_components_with_licences_and_purls(
    attested: Attested, tmp_path: Path
) -> None:
    found = {one["bom-ref"]: one for one in bom(attested, "tiny", tmp_path / "x")["components"]}
    notes = found["dataset:notes"]
    assert (notes["type"], notes["version"], notes["description"]) == ("data", "1.0", "Notes of a machine.")
    assert notes["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert properties(notes["data"][0]["contents"])["spark:items"] == "8"
    libraries = [one for one in found.values() if one["type"] == "library"]
    assert {"pyarrow", "trafilatura"} <= {one["name"] for one in libraries}
    assert all(one["bom-ref"] == one["purl"] for one in libraries)
    assert {one["name"] for one in found.values() if one["type"] == "application"} == {"python3"}


def test_what_is_made_from_what_stands_among_the_dependencies(attested: Attested, tmp_path: Path) -> None:
    told = bom(attested, "model:next", tmp_path / "x")
    edges = {one["ref"]: one["dependsOn"] for one in told["dependencies"]}
    assert edges["model:next"] == ["model:tiny"]
    assert "dataset:notes" in edges["model:tiny"]
    refs = {one["bom-ref"] for one in told["components"]} | {"model:next"}
    assert {ref for on in edges.values() for ref in on} <= refs
    base = next(one for one in told["components"] if one["bom-ref"] == "model:tiny")
    assert base["type"] == "machine-learning-model"


def test_a_single_file_that_was_read_is_a_component(project: Attested, tmp_path: Path) -> None:
    project.folder.write("words.txt", "words")
    project.folder.edit('output}"}}}\n', 'output}; cat {inputs.w}", inputs: {w: words.txt}}}}\n')
    project.folder.build("model:next")
    files = [one for one in bom(project, "model:next", tmp_path / "x")["components"] if one["type"] == "file"]
    assert {one["name"] for one in files} == {"train.py", "words.txt"}


def test_a_dataset_has_one_too(attested: Attested, tmp_path: Path) -> None:
    dataset = bom(attested, "dataset:notes", tmp_path / "x")["metadata"]["component"]
    assert dataset["type"] == "data"
    assert dataset["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert "modelCard" not in dataset


def test_a_licence_that_spdx_does_not_know_keeps_its_name(project: Attested, tmp_path: Path) -> None:
    project.folder.edit("license: cc-by-4.0", "license: llama-of-mine")
    project.folder.build("dataset:notes")
    dataset = bom(project, "dataset:notes", tmp_path / "x")["metadata"]["component"]
    assert dataset["licenses"] == [{"license": {"name": "llama-of-mine"}}]


@pytest.mark.parametrize(
    ("purl", "kind", "namespace", "name", "version"),
    [
        (pypi_purl("lxml_html_clean", "0.4.1"), "pypi", None, "lxml_html_clean", "0.4.1"),
        (pypi_purl("torch", "2.13.0+cpu"), "pypi", None, "torch", "2.13.0+cpu"),
        (pypi_purl("PyYAML", "6.0"), "pypi", None, "PyYAML", "6.0"),
        (hub_purl("HuggingFaceTB/SmolLM2", "ab" * 20), "huggingface", "HuggingFaceTB", "SmolLM2", "ab" * 20),
        (tool_purl("bin/sort", "sort (GNU) 9.1"), "generic", None, "sort", "sort (GNU) 9.1"),
    ],
)
def test_purls_are_written_as_the_library_for_them_does(
    purl: str, kind: str, namespace: str | None, name: str, version: str
) -> None:
    assert purl == PackageURL(kind, namespace, name, version).to_string()
