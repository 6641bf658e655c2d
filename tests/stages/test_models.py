"""Train, evaluate and package, with rules that take no time."""

import json
import zipfile
from pathlib import Path

import pytest
from stage_bench import Bench, Ran, step

from spark_build.core.errors import StageFailed

MANIFEST = {"numerics": {"device": "cpu", "threads": 1}, "inputs": {"dataset": {"data/train-*": "ab" * 32}}}
OWN = {"rule": "Counting", "revision": 2, "params": {"epochs": 3}, "libraries": {"numpy": "2.4"}}


def dataset(bench: Bench) -> Path:
    for number in range(3):
        bench.write(f"data/train/{number}.txt", f"text {number}")
    bench.write("data/test/t.txt", "held out")
    return bench.ingest(splits={"keep": True}).output


def train(bench: Bench, rule: str = "Counting", name: str | None = None, **params: object) -> Ran:
    made = step(rule, params, manifest=OWN)
    if name is not None:
        made = type(made)(name, made.impl, made.params, made.operation, manifest=OWN)
    return bench.run("train", [made], {"dataset": dataset(bench)}, manifest=MANIFEST)


def test_a_model_comes_with_what_the_key_holds_of_its_training(bench: Bench) -> None:
    ran = train(bench, epochs=3)
    assert (ran.output / "model" / "weights.safetensors").read_text() == "3 rows, 3 epochs"
    assert json.loads((ran.output / "training.json").read_text()) == {**OWN, **MANIFEST}


def test_training_json_holds_no_path_of_this_machine(bench: Bench) -> None:
    assert str(bench.folder) not in (train(bench).output / "training.json").read_text()


def test_a_recipe_that_leaves_no_model_fails(bench: Bench) -> None:
    with pytest.raises(StageFailed, match="'Idle' ended without a model"):
        train(bench, "Idle")


@pytest.mark.parametrize(
    "name", ["model/training_args.bin", "model/x.pkl", "adapter/weights.pt", "model/a.ckpt"]
)
def test_a_pickle_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(StageFailed, match=f"'Counting' left a pickle: {name}"):
        train(bench, leaves=name)


def test_a_command_keeps_what_it_wrote_and_its_pickles_are_noted(bench: Bench) -> None:
    ran = train(bench, name="command", leaves="model/weights.pt")
    assert ran.outcome.notes == {"pickles": ["model/weights.pt"]}


def test_a_torch_archive_is_seen_under_any_name(tmp_path: Path) -> None:
    from spark_build.stages.pickles import pickles_in

    with zipfile.ZipFile(tmp_path / "weights.dat", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with zipfile.ZipFile(tmp_path / "fine.zip", "w") as archive:
        archive.writestr("a.txt", b"")
    assert pickles_in(tmp_path) == ["weights.dat"]


def evaluate(bench: Bench, *metrics: tuple[str, dict[str, object]], split: str = "test") -> Ran:
    steps = [step(rule, params) for rule, params in metrics]
    return bench.run("eval", steps, {"dataset": dataset(bench)}, {"split": split})


def test_metrics_share_what_they_work_out_and_give_one_flat_file(bench: Bench) -> None:
    ran = evaluate(bench, ("Size", {}), ("After", {}))
    assert ran.outcome.metrics == {"before": 1.0, "rows": 1.0}
    assert (ran.output / "metrics.json").read_bytes() == b'{"before":1.0,"rows":1.0}\n'
    assert ran.heard.of("metric") == [("rows", 1.0), ("before", 1.0)]


def test_a_metric_may_leave_more_than_figures(bench: Bench) -> None:
    ran = evaluate(bench, ("Size", {}), ("After", {}))
    assert sorted(f.relative_to(ran.output).as_posix() for f in ran.output.rglob("*") if f.is_file()) == [
        "1-After/table.csv", "metrics.json",
    ]  # fmt: skip


def test_the_split_under_test_is_the_one_that_was_asked_for(bench: Bench) -> None:
    assert evaluate(bench, ("Size", {}), split="train").outcome.metrics == {"rows": 3.0}


@pytest.mark.parametrize("value", ["nan", "inf", "many"])
def test_a_figure_that_is_no_number_fails(bench: Bench, value: str) -> None:
    with pytest.raises(StageFailed, match=r"metric 'Size' gave .* for 'rows'"):
        evaluate(bench, ("Size", {"bad": value}))


def test_two_metrics_that_disagree_on_one_figure_fail(bench: Bench) -> None:
    with pytest.raises(StageFailed, match=r"metric 'Size' gives 7.0 for 'rows', not 1.0"):
        evaluate(bench, ("Size", {}), ("Size", {"bad": 7}))


def package(bench: Bench, name: str) -> Ran:
    trained = train(bench).output
    return bench.run(
        "package", [step("Copy", {"name": name})], {"trained": trained, "model": trained / "model"}
    )


def test_an_exporter_writes_the_package(bench: Bench) -> None:
    assert (package(bench, "weights.safetensors").output / "weights.safetensors").exists()


def test_an_exporter_that_writes_nothing_fails(bench: Bench) -> None:
    with pytest.raises(StageFailed, match="'Copy' wrote nothing"):
        package(bench, "")


def test_an_exporter_that_leaves_a_pickle_fails(bench: Bench) -> None:
    with pytest.raises(StageFailed, match=r"'Copy' left a pickle: pytorch_model\.bin"):
        package(bench, "pytorch_model.bin")
