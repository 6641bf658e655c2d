"""`kill -9` of the build at random moments: the next build goes on, and the weights are those of an undisturbed one.

The small variant trains for some ten seconds; `pytest --long` does the same on the quickstart's models.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.seeds import seed
from tests.spark import REPOSITORY, Folder, documents

SEED = seed("SPARK_KILL_SEED")
SPARKFILE = """\
datasets:
  notes: {source: data, splits: {train: 0.9, test: 0.1}}
recipes:
  tiny:
    use: causal_lm
    with:
      config: {model_type: llama, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 2}
      tokenizer: {vocab_size: 384}
      max_length: 64
      batch_size: 8
      max_steps: 240
      learning_rate: 2.0e-3
      checkpoint_every: 20
targets:
  tiny: {recipe: tiny, dataset: notes, eval: {metrics: [perplexity]}, package: [safetensors]}
"""
Moment = Callable[[Folder, random.Random], bool]  # whether it is time to kill


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, dict[str, str]]:
    folder = Folder(tmp_path_factory.mktemp("undisturbed"))
    folder.sparkfile(SPARKFILE)
    documents(folder, 150)
    return folder, folder.build().outputs


@pytest.fixture
def project(undisturbed: tuple[Folder, dict[str, str]], tmp_path: Path) -> Folder:
    """The same project with its dataset built and nothing trained."""
    folder = Folder(tmp_path / "project")
    shutil.copytree(
        undisturbed[0].path, folder.path, ignore=shutil.ignore_patterns(".spark", "Sparkfile.lock")
    )
    folder.build("dataset:notes")
    return folder


def test_killed_after_the_first_checkpoint_it_goes_on_to_the_same_weights(
    project: Folder, undisturbed: tuple[Folder, dict[str, str]]
) -> None:
    """Three times in one training."""
    print(f"SPARK_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    resumed_at = []
    for least in (20, 80, 140):
        _kill_when(project, lambda f, c, least=least: _newest_step(f) >= least, chance, after_seconds=0.5)
        resumed_at.append(_newest_step(project))
    built = project.build()
    assert built.outputs == undisturbed[1]
    log = project.spark("log", "model:tiny/train").out
    assert int(re.findall(r"resumed at step (\d+)", log)[-1]) >= resumed_at[-1] - 20
    steps = _progress(project)
    assert steps[0] > resumed_at[-1] - 20, "steps before the checkpoint were run again"


def test_killed_while_a_checkpoint_is_written_it_takes_the_one_before(
    project: Folder, undisturbed: tuple[Folder, dict[str, str]]
) -> None:
    chance = random.Random(SEED)
    _kill_when(project, lambda f, _: _newest_step(f) >= 20 and _is_writing(f), chance, poll_seconds=0.001)
    assert project.build().outputs == undisturbed[1]


def test_killed_while_packaging_nothing_is_trained_again(
    project: Folder, undisturbed: tuple[Folder, dict[str, str]]
) -> None:
    project.build("model:tiny/eval")
    _kill_when(project, lambda f, _: bool(_jobs(f, "package")), random.Random(SEED), after_seconds=1.0)
    built = project.build()
    assert built.outputs == undisturbed[1]
    assert built.ran <= {"model:tiny/package.safetensors"}


@pytest.mark.long
def test_the_quickstart_killed_at_random_gives_the_same_weights(tmp_path: Path) -> None:
    print(f"SPARK_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    whole, killed = (_quickstart(tmp_path / name) for name in ("whole", "killed"))
    outputs = whole.build("model:python-helper").outputs
    for model in ("python-base", "python-base", "python-helper"):
        _kill_when(killed, lambda f, _, model=model: _newest_step(f, model) > 0, chance, after_seconds=4.0)
    _kill_when(killed, lambda f, _: _is_writing(f), chance, poll_seconds=0.001)
    killed.build("model:python-helper/train")
    _kill_when(killed, lambda f, _: bool(_jobs(f, "package")), chance, after_seconds=1.0)
    assert killed.build("model:python-helper").outputs == outputs


def _quickstart(path: Path) -> Folder:
    shutil.copytree(REPOSITORY / "examples" / "quickstart", path, ignore=shutil.ignore_patterns(".spark"))
    return Folder(path)


def _kill_when(
    folder: Folder,
    is_time: Moment,
    chance: random.Random,
    *,
    after_seconds: float = 0.0,
    poll_seconds: float = 0.02,
) -> None:
    """Builds until it is time, waits at random, kills the build, and sees every process of it gone."""
    build = subprocess.Popen(
        [*_command(), "build", "--json"], cwd=folder.path, env=folder.environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    while not is_time(folder, chance):
        assert build.poll() is None, "the build ended before it was time"
        assert time.monotonic() < deadline
        time.sleep(poll_seconds)
    time.sleep(chance.random() * after_seconds)
    os.kill(build.pid, signal.SIGKILL)
    build.wait()
    deadline = time.monotonic() + 15
    while (left := _processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, f"left over: {left}"


def _command() -> list[str]:
    from tests.spark import spark_command

    return spark_command()


def _newest_step(folder: Folder, model: str = "tiny") -> int:
    """Of the newest sealed checkpoint of the model's training."""
    steps = [
        int(path.name.removeprefix("step-"))
        for job in _jobs(folder, "train", model)
        for path in (job.parent / "scratch").rglob("step-*")
    ]
    return max(steps, default=0)


def _is_writing(folder: Folder) -> bool:
    return any(any(job.parent.glob("scratch/**/writing")) for job in _jobs(folder, "train"))


def _jobs(folder: Folder, kind: str, model: str = "") -> list[Path]:
    found = []
    for job in (folder.path / ".spark" / "work").glob("*/job.json"):
        try:
            told = json.loads(job.read_text())
        except (OSError, ValueError):
            continue
        if told["kind"] == kind and told["stage"].startswith(f"model:{model}"):
            found.append(job)
    return found


def _processes_of(folder: Folder) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder.path) in command:
            found.append(command)
    return found


def _progress(folder: Folder) -> list[int]:
    """Steps that the last run of the training reported."""
    events = folder.spark("log", "model:tiny/train", "--json").out.splitlines()
    return [e["done"] for e in map(json.loads, events) if e["event"] == "progress"]
