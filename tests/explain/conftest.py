"""Small projects that are built already: a model that a command makes and a copy of it; a dataset with gates."""

import shutil
from pathlib import Path

import pytest

from spark_build import Project
from tests.spark import Folder

SPARKFILE = """\
targets:
  base:
    recipe:
      use: command
      with: {run: "sh words.sh > {output}/a.txt", inputs: {script: words.sh}, params: {n: 1}}
  copy:
    recipe: {use: command, with: {run: "cp {inputs.base}/a.txt {output}/b.txt", inputs: {base: "model:base"}}}
"""
BASE, COPY = "model:base/train", "model:copy/train"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Folder(tmp_path_factory.mktemp("built"))
    folder.sparkfile(SPARKFILE)
    folder.write("words.sh", "echo words\n")
    assert Project(folder.path).build().exit_code == 0
    return folder.path


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Project:
    """Built already: a project may be copied."""
    shutil.copytree(built, tmp_path / "project")
    return Project(tmp_path / "project")


def comment(project: Project, text: str = "# why\n") -> None:
    (project.root / "words.sh").write_text(f"{text}echo words\n")


def states(project: Project) -> dict[str, str]:
    return {s.stage: s.state for s in project.plan().stages}


def ran(project: Project) -> list[str]:
    return [s for s, r in project.build().results.items() if r.outcome == "ran"]


NOTES = """\
datasets:
  notes:
    source: data
    splits: {train: 0.8, test: 0.2}
    gates: [near-dup, short, own]
gates:
  near-dup: {use: near_duplicates, with: {threshold: 0.9}}
  short: {use: quality, with: {rules: [word_count], min_words: 3}}
  own: {use: "./gates.py:Long"}
targets:
  words:
    recipe: {use: command, with: {run: "ls {inputs.dataset} > {output}/a.txt", env: [FLAVOUR]}}
    dataset: notes
"""
GATE = """\
from spark_build.contract import ItemGate, RuleParams, Verdict
import helper

class Params(RuleParams): ...

class Long(ItemGate):
    Params = Params
    def measure(self, item): return len(item["text"])
    def decide(self, score, params): return Verdict.keep() if score < helper.MOST else Verdict.drop("long")
"""
INGEST, FILTER, VERSION = (f"dataset:notes/{s}" for s in ("ingest", "filter", "version"))
WORDS = "model:words/train"


@pytest.fixture(scope="session")
def notes_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Folder(tmp_path_factory.mktemp("notes"))
    folder.sparkfile(NOTES)
    folder.write("gates.py", GATE)
    folder.write("helper.py", "MOST = 1000\n")
    for n in range(8):
        folder.write(f"data/{n}.md", f"note {n} with some words of its own: {'x' * n}\n")
    assert Project(folder.path, env={"FLAVOUR": "plain"}).build().exit_code == 0
    return folder.path
