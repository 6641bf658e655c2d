"""A matrix: one declaration, many members; built, compared and named like any other target."""

import json
from pathlib import Path

import pytest

from spark_build import Project
from spark_build.core.errors import UsageError
from tests.spark import Folder

SPARKFILE = """\
datasets:
  calls: {source: "data/${matrix.lang}", matrix: {lang: [de, en]}}
recipes:
  sft: {use: command, with: {run: "echo {params.rate} {params.seed} > {output}/weights", params: {rate: 1, seed: 0}}}
  speech: {use: command, with: {run: "ls {inputs.dataset} > {output}/listing"}}
targets:
  sweep:
    recipe: sft
    matrix: {rate: [1e-4, 2e-4], seed: [1, 2]}
    eval: {metrics: [{use: command, with: {run: "python3 measure.py {inputs.model}/weights {output}"}}]}
  plain: {recipe: sft, with: {params: {rate: 0.0001, seed: 2}}}
  listen: {recipe: speech, dataset: "calls@lang=${matrix.lang}", matrix: {lang: [de, en]}}
  further:
    recipe: {use: command, with: {run: "cp {inputs.base}/weights {output}/"}}
    base: "model:sweep@seed=2,rate=2e-4"
deployments:
  chat: {model: "sweep@seed=2,rate=1e-4", use: transformers_serve}
profiles: {quick: {targets: {sweep: {matrix: {seed: [2]}}}}}
"""
MEASURE = """\
import json, sys
rate, seed = map(float, open(sys.argv[1]).read().split())
json.dump({"loss": rate * 1e4 + seed / 10}, open(f"{sys.argv[2]}/metrics.json", "w"))
"""
MEMBERS = [f"model:sweep@rate={rate},seed={seed}" for rate in ("0.0001", "0.0002") for seed in (1, 2)]


@pytest.fixture
def sweep(folder: Folder) -> Folder:
    folder.sparkfile(SPARKFILE)
    folder.write("measure.py", MEASURE)
    for lang in ("de", "en"):
        folder.write(f"data/{lang}/one.md", f"a text in {lang}")
    return folder


def test_members_are_built_compared_named_and_got(sweep: Folder, tmp_path: Path) -> None:
    built = sweep.build("sweep", "plain", "further")
    assert {s for s in built.ran if s.endswith("/train")} <= {f"{m}/train" for m in MEMBERS} | {
        "model:plain/train",
        "model:further/train",
    }
    assert built.outputs["model:plain/train"] == built.outputs[f"{MEMBERS[1]}/train"]
    keys = {s["stage"]: s["key"] for s in sweep.plan("sweep", "plain")["stages"]}
    assert keys["model:plain/train"] == keys[f"{MEMBERS[1]}/train"]  # one action for both

    told = json.loads(sweep.spark("runs", "model:sweep", "--json").out)["matrix"]
    assert [group["values"] for group in told] == [{"rate": 0.0001}, {"rate": 0.0002}]
    assert told[0]["figures"]["loss"] == pytest.approx({"mean": 1.15, "deviation": 0.0707106781, "n": 2})
    assert "1e-4  2        1.15 ± 0.071" in sweep.spark("runs", "model:sweep").out

    sweep.spark("tag", "model:sweep@seed=1,rate=1e-4@v1")
    assert sweep.spark("tag").out.strip() == f"{MEMBERS[0]}@v1"
    sweep.spark("get", "sweep@rate=1e-4,seed=1@v1", "--to", str(tmp_path / "out"))
    assert (tmp_path / "out/model/weights").read_text() == "0.0001 1\n"
    refused = sweep.spark("get", "sweep@seed=1", "--to", str(tmp_path / "other"), code=2)
    assert f"name one: {MEMBERS[0]}, {MEMBERS[2]}" in refused.err

    # the lock holds each member, and one more value runs only what is new
    assert f'[stages."{MEMBERS[0]}/train"]' in (sweep.path / "Sparkfile.lock").read_text()
    sweep.edit("seed: [1, 2]", "seed: [1, 2, 3]")
    assert {s for s, state in sweep.states("sweep").items() if state != "fresh"} == {
        f"model:sweep@rate={rate},seed=3/{stage}"
        for rate in ("0.0001", "0.0002")
        for stage in ("train", "eval")
    }


def test_a_dataset_for_each_language_and_a_model_for_each_of_them(sweep: Folder) -> None:
    built = sweep.build("listen@lang=de")
    assert built.ran == {f'dataset:calls@lang="de"/{s}' for s in ("ingest", "version")} | {
        'model:listen@lang="de"/train'
    }
    shown = json.loads(sweep.spark("show", "calls@lang=de", "--json").out)
    assert [row["text"] for row in shown["rows"]] == ["a text in de"]
    assert set(sweep.states("listen@lang=de").values()) == {"fresh"}


def test_the_graph_has_the_members_and_what_names_one(sweep: Folder) -> None:
    project = Project(sweep.path)
    assert project.graph.targets()[2:6] == MEMBERS
    assert project.graph.deployments["chat"]["stage"] == f"{MEMBERS[1]}/train"
    assert project.graph.nodes["model:further/train"].upstream() == {f"{MEMBERS[3]}/train"}
    assert project.stages_of(["sweep@seed=2"]) == [
        f"{m}/{s}" for m in MEMBERS[1::2] for s in ("train", "eval")
    ]
    assert project.names.one("sweep@rate=2e-4,seed=1/eval").target == MEMBERS[2]
    # where the value was written, in causes and for editors
    rate = project.graph.nodes[f"{MEMBERS[3]}/train"].steps[0].where["params.rate"]
    assert rate == ("targets.sweep.matrix.rate", "Sparkfile.yaml:11:27")
    project.close()


def test_a_profile_and_set_change_the_lists(sweep: Folder) -> None:
    quick = Project(sweep.path, profile="quick", sets=["targets.sweep.matrix.rate=[1e-4, 2e-4, 3e-4]"])
    assert [t for t in quick.graph.targets() if "sweep" in t] == [
        *MEMBERS[1::2],
        "model:sweep@rate=0.0003,seed=2",
    ]
    quick.close()


def test_a_name_that_nobody_knows_is_refused_at_its_line(sweep: Folder) -> None:
    sweep.edit("{rate: [1e-4, 2e-4], seed", "{raet: [1e-4, 2e-4], seed")
    told = sweep.spark("check", code=2).err
    assert "Sparkfile.yaml:11:14: 'raet' of the matrix is no param of recipe 'sft'" in told


def test_a_matrix_of_an_earlier_rule_checks_each_value_where_it_stands(folder: Folder) -> None:
    folder.sparkfile(
        "datasets: {d: {source: data}}\n"
        "recipes: {r: {use: causal_lm, with: {config: {model_type: llama, hidden_size: 32}}}}\n"
        "targets:\n  t: {recipe: r, dataset: d, matrix: {learning_rate: [1e-4, fast], config.hidden_size: [many]}}\n"
    )
    folder.write("data/a.md", "a")
    told = folder.spark("check", code=2).err
    assert "Sparkfile.yaml:6:61: recipe 'r': learning_rate:" in told


def test_what_has_a_tag_is_not_built(sweep: Folder) -> None:
    project = Project(sweep.path)
    with pytest.raises(UsageError, match="there is nothing to build"):
        project.plan("model:plain@v1")
    project.close()
