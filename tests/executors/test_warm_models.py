"""Training and evaluation share a worker that has loaded torch: the weights are those of a fresh interpreter."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from processes import ended, eventually, job_in, living_with
from rule_runs import contents, write_dataset

from spark_build.core.job import Job, JobStep
from spark_build.core.numerics import Numerics
from spark_build.executors.environment import environment_of
from spark_build.executors.local import LocalExecutor
from spark_build.executors.warm_links import WarmLinks
from tests.spark import Folder, documents

FRESH = [sys.executable, "-P", "-m", "spark_build", "worker"]
LIBRARIES = {"torch": "2", "transformers": "5"}
SPARKFILE = """\
datasets: {notes: {source: data}}
recipes:
  tiny: {use: causal_lm, with: {config: {model_type: llama}, tokenizer: {vocab_size: 300}, max_steps: 1}}
targets: {tiny: {recipe: tiny, dataset: notes}}
"""


def job(
    kind: str = "train", impl: str = "spark_build.recipes.causal_lm:CausalLm", **changed: Any
) -> dict[str, Any]:
    step = JobStep("r", impl, changed.pop("params", {}), "ab" * 32, manifest={"libraries": LIBRARIES})
    return {"kind": kind, "steps": (step,), "numerics": Numerics().to_json(), **changed}


def link_for(links: WarmLinks, store: Path, **given: Any) -> object:
    made = job_in(store, **given)
    return links.link_for(made, environment_of(made, {"MINE": "1"}))


def test_whoever_trains_and_evaluates_with_the_same_numerics_shares_a_worker(tmp_path: Path) -> None:
    links = WarmLinks(FRESH)
    of_datasets = link_for(links, tmp_path)
    assert link_for(links, tmp_path, **job("filter")) is None, "nobody knows whether it will load torch"
    of_models = link_for(links, tmp_path, **job())
    assert of_models not in (None, of_datasets)
    assert link_for(links, tmp_path, **job("eval")) is of_models
    assert link_for(links, tmp_path, **job("filter")) is of_models, "torch is loaded by now"
    assert link_for(links, tmp_path) is of_datasets
    assert not [link for link in links.links if link.is_open], "no process before the first order"


@pytest.mark.parametrize(
    "other",
    [
        {"numerics": Numerics(threads=2).to_json()},
        {"numerics": Numerics(device="cuda").to_json()},
        {"impl": "/home/me/project/mine.py:Mine"},
        {"env": ("MINE",)},
        {"hub": {"base": "org/name@1"}},
    ],
    ids=str,
)
def test_what_is_to_find_something_else_around_it_gets_a_fresh_interpreter(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    links = WarmLinks(FRESH)
    assert link_for(links, tmp_path, **job()) is not None
    assert link_for(links, tmp_path, **job(**other)) is None


def train(executor: LocalExecutor, store: Path, name: str, dataset: Path) -> dict[str, bytes]:
    params = {"config": {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}, "tokenizer": {"vocab_size": 300}, "max_length": 32, "batch_size": 2, "max_steps": 3, "learning_rate": 1e-2}  # fmt: skip # noqa: E501
    output = store / "output" / name
    output.mkdir(parents=True)
    made: Job = job_in(
        store,
        name,
        **job(params=params, inputs={"dataset": str(dataset)}, output=str(output), stage="model:m/train"),
    )
    handle = executor.start(made)
    status, result = ended(executor, handle, 120)
    assert (status, result and result.error) == (0, None), executor.log_tail(handle)
    return contents(output)


def test_a_fork_trains_to_the_weights_of_a_fresh_interpreter_whatever_was_trained_before(
    tmp_path: Path,
) -> None:
    rows = [{"text": f"line {n} of a text that is learnt, and {n * n} more"} for n in range(12)]
    dataset = write_dataset(tmp_path / "dataset", {"text": "text"}, train=rows)
    warm = LocalExecutor(tmp_path)
    try:
        first, second = (train(warm, tmp_path, name, dataset) for name in ("first", "second"))
    finally:
        warm.close()
    fresh = train(LocalExecutor(tmp_path, FRESH), tmp_path, "fresh", dataset)
    assert "model/model.safetensors" in fresh
    assert first == fresh
    assert second == fresh


def test_an_interrupt_while_torch_loads_waits_for_nothing(folder: Folder) -> None:
    folder.sparkfile(SPARKFILE)
    documents(folder, 3)
    folder.build("dataset:notes")
    marker = f"marker{time.monotonic_ns()}"  # HOME is what a worker is given
    folder.env["HOME"] = str(folder.path / marker)
    build = folder.start("build", "--json")
    eventually(lambda: bool(loading(marker)), 60)
    (process,) = loading(marker)
    subprocess.run(["kill", "-STOP", str(process)], check=True)  # it never gets there
    build.send_signal(signal.SIGINT)
    build.communicate(timeout=5)
    assert build.returncode == 130
    eventually(lambda: not living_with(marker))


def loading(marker: str) -> list[int]:
    def words(process: int) -> bytes:
        try:
            return Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            return b""

    return [process for process in living_with(marker) if b"--loads\0models" in words(process)]
