"""A small project that is built already: a model that a command makes, and a copy of it."""

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


@pytest.fixture(scope="module")
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
