"""The examples for continuous integration: the script is run, the workflow is read."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from spark_build.cli.parser import parse
from tests.spark import REPOSITORY, Folder, spark_command

CI = REPOSITORY / "examples" / "ci"
WORKFLOW = CI / "github-workflow.yml"
SCRIPT = CI / "spark-ci.sh"
SPARKFILE = """\
targets:
  a: {recipe: {use: command, with: {run: "cp data/x {output}/x; echo 1 > {output}/y"}}}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("ci") / "project"
    path.mkdir()
    folder = Folder(path)
    folder.sparkfile(SPARKFILE)
    folder.write("data/x", "x\n")
    folder.build()
    return folder


@pytest.fixture
def project(built: Folder, tmp_path: Path) -> Folder:
    shutil.copytree(built.path, tmp_path / "project", symlinks=True)
    return Folder(tmp_path / "project")


def run(project: Folder, **env: str) -> subprocess.CompletedProcess[str]:
    words = {"SPARK": shlex.join(spark_command()), "GITHUB_ACTIONS": "", **env}
    return subprocess.run(
        ["sh", str(SCRIPT), str(project.path)],
        env={**project.environment, **words},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_script_passes_where_all_is_as_locked(project: Folder) -> None:
    ran = run(project, SPARK_VERIFY="model:a")
    assert ran.returncode == 0, ran.stderr
    steps = re.findall(r"^== spark (.*)$", ran.stdout, re.MULTILINE)
    assert steps == ["check", "plan --locked --check --format text", "build --locked", "verify model:a"]
    assert "model:a verified" in ran.stdout


def test_the_script_needs_neither_data_nor_store_for_the_lock(project: Folder) -> None:
    shutil.rmtree(project.path / ".spark")
    shutil.rmtree(project.path / "data")
    ran = run(
        project, SPARK_BUILD="no", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(project.path / "summary")
    )
    assert ran.returncode == 0, ran.stderr
    assert "### Sparkfile.lock fits" in (project.path / "summary").read_text()


def test_the_script_stops_at_a_stale_lock(project: Folder) -> None:
    project.edit("echo 1", "echo 2")
    ran = run(project)
    assert ran.returncode == 3
    assert "model:a/train" in ran.stdout
    assert "build" not in re.findall(r"^== spark (\w+)", ran.stdout, re.MULTILINE)


def test_the_script_stops_at_a_wrong_sparkfile(project: Folder) -> None:
    project.edit("recipe:", "recipi:")
    assert run(project, SPARK_BUILD="no").returncode == 2


def test_the_script_says_that_data_are_not_the_locked_ones(project: Folder) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project.path, check=True)
    project.write("data/x", "other\n")
    ran = run(project)
    assert ran.returncode == 4
    assert "data/x here is not what Sparkfile.lock pins" in ran.stderr
    assert "Sparkfile.lock does not fit" in ran.stderr


def test_the_script_is_posix_and_clean() -> None:
    assert SCRIPT.read_text().startswith("#!/bin/sh\n")
    assert os.access(SCRIPT, os.X_OK)
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell is not None
    subprocess.run([shell, "-n", str(SCRIPT)], check=True)
    if (checker := shutil.which("shellcheck")) is not None:
        subprocess.run([checker, str(SCRIPT)], check=True)


def workflow() -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe").load(WORKFLOW.read_text())
    return read


def steps() -> list[dict[str, Any]]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def test_every_action_is_pinned_by_commit_with_its_version_beside_it() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action) for action in used)
    lines = [line for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert len(lines) == len(used)
    assert all(re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line) for line in lines)


def test_every_command_of_the_workflow_exists() -> None:
    commands = [step["run"] for step in steps() if step.get("run", "").startswith("spark ")]
    assert [command.split()[1] for command in commands] == ["check", "plan", "build", "verify"]
    for command in commands:
        parse(shlex.split(command)[1:])


def test_the_workflow_can_only_read() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert all("timeout-minutes" in job for job in workflow()["jobs"].values())
