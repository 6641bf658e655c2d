"""The Python API does what the command line does."""

import os

import pytest

from spark_build import Project
from spark_build.core.errors import UsageError
from tests.spark import Folder, documents


@pytest.fixture
def project(folder: Folder) -> Project:
    folder.sparkfile("datasets:\n  notes: {source: data, splits: {train: 0.8, test: 0.2}}\n")
    documents(folder, 12)
    return Project(folder.path)


def test_plan_build_rows_and_figures(project: Project) -> None:
    assert project.plan().summary == {"fresh": 0, "restore": 0, "run": 1, "maybe": 1}
    assert project.build().exit_code == 0
    assert project.plan("dataset:notes").is_done
    data = project.dataset("notes")
    assert len(data.rows("train")) + len(data.rows("test")) == 12
    assert project.metrics("dataset:notes")["items"] == 12


def test_a_project_that_is_kept_sees_edits(project: Project) -> None:
    project.build()
    (project.root / "data" / "more.md").write_text("one more document, with words of its own\n")
    assert not project.plan().is_done
    project.build()
    assert project.metrics("dataset:notes")["items"] == 13


def test_problems_of_the_sparkfile_come_as_one_error(project: Project) -> None:
    project.request.file.write_text(
        "version: 1\nproject: t\ndatasets:\n  a: {sorce: x}\n  b: {source: y, gates: [z]}\n"
    )
    with pytest.raises(UsageError) as error:
        project.plan()
    assert "'source'" in str(error.value)
    assert "no gate 'z'" in str(error.value)


def test_get_copies_files_out(project: Project) -> None:
    folder = project.get("dataset:notes", project.root / "out")
    assert (folder / "README.md").exists()


def test_variables_that_are_given_are_those_of_the_sparkfile_and_of_the_commands(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("asr/Sparkfile.yaml", f"version: 1\nproject: a\n{MOODY}")
    folder.sparkfile(f"include: [asr/Sparkfile.yaml]\n{MOODY}")
    monkeypatch.setenv("MOOD", "of the process")
    monkeypatch.delenv("VOICE", raising=False)
    project = Project(folder.path, env={**os.environ, "MOOD": "calm", "VOICE": "low"})
    result = project.build()
    assert result.exit_code == 0, [r.error for r in result.results.values()]
    for model in ("model:m", "asr/model:m"):
        to = project.get(model, folder.path.parent / model.replace("/", "-"))
        assert (to / "model/x").read_text() == "calm low\n"
    assert Project(folder.path, env={**os.environ, "MOOD": "calm", "VOICE": "low"}).plan().is_done
    assert not Project(folder.path, env={**os.environ, "MOOD": "calm", "VOICE": "high"}).plan().is_done


MOODY = """\
targets:
  m: {recipe: {use: command, with: {run: "echo $MOOD ${env.VOICE} > {output}/x", env: [MOOD]}}}
"""
