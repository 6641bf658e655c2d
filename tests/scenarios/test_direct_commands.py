"""Stages that are one command: spawned without a worker, with all that a worker kept."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.spark import Folder, spark_command

TRAIN = "model:m/train"


def recipe(folder: Folder, run: str | list[str], more: str = "") -> None:
    folder.sparkfile(f"targets:\n  m: {{recipe: {{use: command, with: {{run: {json.dumps(run)}{more}}}}}}}\n")


def lines_of(folder: Folder, name: str, address: str = "model:m") -> list[str]:
    folder.spark("get", address, "--to", "got")
    return (folder.path / "got" / name).read_text().splitlines()


def test_a_command_is_spawned_by_its_keeper_and_no_worker_is_started(folder: Folder) -> None:
    recipe(folder, "tr '\\0' ' ' < /proc/$PPID/cmdline > {output}/parent; ls {scratch}/.. > {output}/work")
    folder.build()
    assert " w.start(int(sys.argv[1]))" in lines_of(folder, "model/parent")[0]
    assert "job.json" not in (folder.path / "got/model/work").read_text()


def test_the_seed_of_a_matrix_is_what_a_command_gets(folder: Folder) -> None:
    recipe(folder, "echo {seed} > {output}/seed")
    folder.edit("  m: {", "  m: {matrix: {seed: [5, 7]}, ")
    folder.build()
    assert lines_of(folder, "model/seed", "model:m@seed=7") == ["7"]


def test_metric_and_exporter_are_spawned_too(folder: Folder) -> None:
    folder.sparkfile(
        """targets:
  m:
    recipe: {use: command, with: {run: "echo w > {output}/w"}}
    dataset: d
    eval: {metrics: [{use: command, with: {run: "ps -o args= $PPID >&2; echo '{\\"f\\": 2}' > {output}/metrics.json"}}]}
    package: [{use: command, with: {run: "ps -o args= $PPID > {output}/parent; cp {inputs.model}/w {output}"}}]
datasets: {d: {source: data}}
"""
    )
    folder.write("data/a.txt", "some words")
    folder.build()
    assert " w.start(int(sys.argv[1]))" in folder.spark("log", "model:m/eval", "--text").out
    assert '"name": "f", "value": 2.0' in folder.spark("log", "model:m/eval", "--json").out
    assert " w.start(int(sys.argv[1]))" in lines_of(folder, "parent", "model:m/package.command")[0]


def test_a_descriptor_of_whoever_started_the_build_reaches_no_command(folder: Folder) -> None:
    recipe(folder, "ls /proc/self/fd > {output}/open")
    held = os.open(folder.path, os.O_RDONLY)
    os.set_inheritable(held, True)
    build = subprocess.run(
        [*spark_command(), "build"], cwd=folder.path, env=folder.environment, pass_fds=[held], check=False
    )
    os.close(held)
    assert build.returncode == 0
    assert len(lines_of(folder, "model/open")) == 4  # the standard ones, and the listing itself


def test_what_still_prints_behind_a_command_is_waited_for(folder: Folder) -> None:
    recipe(folder, ["bash", "-c", "for n in 1 2 3; do echo $n; done > >(sleep 0.4; tee $0/log)", "{output}"])
    folder.build()
    assert lines_of(folder, "model/log") == ["1", "2", "3"]


def test_a_silent_child_left_in_the_background_does_not_hold_the_stage(folder: Folder) -> None:
    recipe(folder, "sleep 60 & echo $! > {output}/pid")
    began = time.monotonic()
    folder.build()
    assert time.monotonic() - began < 20
    assert not Path("/proc", lines_of(folder, "model/pid")[0]).exists()


def test_secrets_of_any_length_are_masked(folder: Folder) -> None:
    folder.env["PIN"] = "q7"
    recipe(folder, "echo pin $PIN {output}; exit 3", ", secrets: [PIN]")
    ran = folder.build(code=1)
    assert "q7" not in ran.out + ran.err + folder.spark("log", TRAIN, "--text").out
    assert "pin ***" in ran.err


def test_progress_is_heard_while_it_runs(folder: Folder) -> None:
    recipe(
        folder,
        "for n in 1 2; do echo '{\"step\": '$n', \"loss\": 0.5}' >> {scratch}/log; sleep 0.5; done; touch {output}/w",
        ", progress: log",
    )
    events = [e for e in folder.build().lines if e["event"] in ("progress", "metric", "stage")]
    assert [e["event"] for e in events] == ["progress", "metric", "progress", "metric", "stage"]


def test_the_error_stands_in_the_log_behind_what_the_command_said(folder: Folder) -> None:
    recipe(folder, "echo oh {output}; exit 3")
    folder.build(code=1)
    log = folder.spark("log", TRAIN, "--text").out.splitlines()
    assert log[0].startswith("oh /")
    assert log[1].startswith("the command ended with exit code 3: echo oh")


def test_an_input_that_nobody_gives_is_told_as_by_a_worker(folder: Folder) -> None:
    recipe(folder, "cp {inputs.dataset} {output}")
    ran = folder.build(code=1)
    assert "run: {inputs.dataset} is no input of this command" in ran.err


@pytest.mark.parametrize("killed", ["build", "watchdog", "keeper"])
def test_a_killed_build_takes_its_commands_along(folder: Folder, killed: str) -> None:
    recipe(folder, "echo $$ $PPID > pids; setsid sleep 1000 & sleep 1000; : {output}", ", code: none")
    build = folder.start("build", "--json")
    pids = folder.path / "pids"
    while not pids.exists() or not pids.read_text().endswith("\n"):
        time.sleep(0.02)
    command, keeper = map(int, pids.read_text().split())
    watchdog = int(Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1])
    left = [command, *map(int, Path(f"/proc/{command}/task/{command}/children").read_text().split())]
    os.kill({"build": build.pid, "watchdog": watchdog, "keeper": keeper}[killed], signal.SIGKILL)
    build.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{process}").exists() for process in left):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if killed != "build":
        assert build.returncode == 1
