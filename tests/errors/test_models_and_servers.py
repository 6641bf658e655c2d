"""Bases, labels, devices and ports that are not as a model or a deployment needs them."""

import socket
from collections.abc import Iterator

import pytest

from tests.errors.told import assert_is_plain, errors, failed, left_in_work, refused
from tests.spark import Folder, documents

DATASETS = """\
datasets:
  notes: {source: data}
  one: {source: one.jsonl, fields: {text: text, label: label}}
"""
BERT = "config: {model_type: bert, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2}"
LLAMA = "config: {model_type: llama, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two built datasets, of which one has a single label."""
    folder = Folder(tmp_path_factory.mktemp("project"))
    folder.env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    folder.sparkfile(DATASETS)
    documents(folder, 5)
    folder.write("one.jsonl", "".join(f'{{"text": "some words {n}", "label": "a"}}\n' for n in range(8)))
    folder.build()
    return folder


def model(folder: Folder, use: str, params: str, dataset: str = "notes", more: str = "") -> None:
    folder.sparkfile(
        f"{DATASETS}recipes:\n  r: {{use: {use}, with: {{{params}}}{more}}}\n"
        f"targets:\n  m: {{recipe: r, dataset: {dataset}}}\n"
    )


def test_labels_of_one_class_are_told_before_a_model_is_made(project: Folder) -> None:
    model(project, "bert_classification", f"{BERT}, max_steps: 1", "one")
    ran = failed(project)
    assert errors(ran) == {"model:m/train": "field 'label' has 1 class (a): there is nothing to tell apart"}
    assert "\n  Sparkfile.yaml:9:6: field 'label'" in ran.err
    assert "\n  fix: look at the labels, the gates and the splits" in ran.err
    assert {outcome for stage, outcome in ran.outcomes.items() if stage.startswith("dataset:")} == {"fresh"}
    assert left_in_work(project) == {"scratch"}


@pytest.mark.parametrize(
    ("base", "told"),
    [
        (
            "./models/gone",
            "no folder './models/gone'\n  fix: a folder of this project, a hub id (ORG/NAME), or model:",
        ),
        ("../gone", "no folder '../gone'"),
        (
            "models/gone",
            "'models/gone': no folder here, and no hub id that is pinned\n  fix: check the path; a hub id",
        ),
        ("'model:nix'", "no model 'nix'\n  fix: targets here: m"),
        ("'model:m'", "model:m"),
        ("'model:m@v1'", "no tag 'model:m@v1'"),
    ],
)
def test_a_base_that_is_not_there_is_refused_where_it_stands(project: Folder, base: str, told: str) -> None:
    model(project, "llama_lora", f"base: {base}, max_steps: 1")
    message = refused(project, "plan")
    assert message.startswith("Sparkfile.yaml:7:")
    assert told in message


def test_a_base_that_is_no_model_is_a_failed_stage(project: Folder) -> None:
    model(project, "llama_lora", "base: data, max_steps: 1")
    ran = failed(project)
    assert errors(ran)["model:m/train"].startswith("this is no model folder: ")
    assert "fix: it needs a config.json with a `model_type`" in ran.err


def test_an_update_without_the_hub_says_that_it_did_not_answer(project: Folder) -> None:
    model(project, "llama_lora", "base: some-org/some-model, max_steps: 1")
    assert_is_plain(project.spark("check"))
    told = refused(project, "update", code=1)
    assert told.startswith("some-org/some-model: the hub did not answer: ")
    assert "--offline: an update looks outside" in refused(project, "update", "--offline")


def test_a_device_that_is_not_here_is_planned_and_refused_by_the_build(project: Folder) -> None:
    project.env["CUDA_VISIBLE_DEVICES"] = ""
    model(project, "causal_lm", f"{LLAMA}, tokenizer: {{vocab_size: 300}}, max_steps: 1", more=", "
          "resources: {gpus: 1}, numerics: {device: cuda}")  # fmt: skip
    assert project.states()["model:m/train"] == "run"
    ran = failed(project)
    assert "numerics.device is cuda, and no NVIDIA GPU is here" in errors(ran)["model:m/train"]


def test_a_failed_evaluation_ends_in_exit_code_4_and_builds_nothing_behind_it(project: Folder) -> None:
    train = '{use: command, with: {run: "cp one.jsonl {output}"}}'
    measure = """{use: command, with: {run: "echo '{\\"size\\": 3}' > {output}/metrics.json"}}"""
    project.sparkfile(
        f"{DATASETS}targets:\n  first:\n    recipe: {train}\n"
        f'    eval: {{metrics: [{measure}], require: {{size: "< 2"}}}}\n'
        '  second: {base: "model:first", recipe: {use: command, with: {run: "cp -r {inputs.base} {output}"}}}\n'
    )
    ran = project.build(code=4)
    assert_is_plain(ran)
    assert ran.outcomes["model:second/train"] == "skipped"
    assert "model:first/eval: size is 3, required < 2" in ran.err
    assert ran.err.startswith("Sparkfile.yaml:9:")


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_fails_the_deployment_and_names_it(project: Folder, busy_port: int) -> None:
    project.sparkfile(
        f'{DATASETS}targets:\n  m: {{recipe: {{use: command, with: {{run: "cp one.jsonl {{output}}"}}}}}}\n'
        f"deployments:\n  chat: {{model: m, use: transformers_serve, with: {{port: {busy_port}}}}}\n"
    )
    ran = failed(project, "deployment:chat")
    assert ran.outcomes["model:m/train"] in ("ran", "fresh")
    assert f"port {busy_port}" in errors(ran)["deployment:chat/serve"]
    assert "\n  Sparkfile.yaml:9:" in ran.err
    assert project.spark("down").out == "deployment:chat was not running\n"
    assert "model:m" in project.spark("show", "model:m").out
    assert refused(project, "show", "deployment:chat").startswith("'deployment:chat' is a deployment")
