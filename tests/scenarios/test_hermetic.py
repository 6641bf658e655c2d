"""Reads and calls that the Sparkfile does not declare: told by a build, refused under `hermetic: strict`."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_build import Project
from spark_build.app import BuildOptions
from spark_build.engine.build import BuildResult
from tests.spark import Folder

STRICT = "environment: {hermetic: strict}\n"
OFF = "environment: {hermetic: off}\n"
PREP = "import sys\nopen(sys.argv[1] + '/m', 'w').write(open('look' + 'up.csv').read())\n"
GATE = """
from pathlib import Path
from spark_build.contract import Decides, ItemGate, RuleParams, Verdict

class Listed(ItemGate):
    class Params(RuleParams):
        shortest: Decides[int] = 1

    def measure(self, item):
        return len(Path(__file__).with_name("lookup.csv").read_text())

    def decide(self, found, params):
        return Verdict.keep() if found >= params.shortest else Verdict.drop("short")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("lookup.csv", "a,b\n")
    folder.write("prep.py", PREP)
    folder.write("gate.py", GATE)
    folder.write("data/a.txt", "some words of a text\n")
    return folder


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that is no part of the build."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def build(folder: Folder, *again: str) -> BuildResult:
    return Project(folder.path).build(options=BuildOptions(again=again))


def command(run: str, more: str = "") -> str:
    return f"targets:\n  m: {{recipe: {{use: command, with: {{run: '{run}'{more}}}}}}}\n"


def with_gate(more: str = "") -> str:
    return f"datasets:\n  d: {{source: data, gates: [{{use: './gate.py:Listed'{more}}}]}}\n"


def test_a_command_that_reads_another_file_is_warned_of_at_its_line(folder: Folder) -> None:
    folder.sparkfile(command("python3 prep.py {output}"))
    (warning,) = build(folder).warnings
    assert warning.startswith(
        "Sparkfile.yaml:4:6: model:m/train read lookup.csv, which is not among its inputs"
    )


def test_under_strict_it_fails_by_the_name_of_the_file(folder: Folder) -> None:
    folder.sparkfile(STRICT + command("python3 prep.py {output}"))
    result = build(folder)
    assert result.exit_code == 1
    error = result.results["model:m/train"].error or ""
    assert error == "hermetic: strict: model:m/train read lookup.csv, which is not among its inputs"


def test_a_command_that_goes_on_without_the_file_fails_as_well(folder: Folder) -> None:
    folder.write("prep.sh", "n=up\ncat look$n.csv > $1/m || echo none > $1/m\n")
    folder.sparkfile(STRICT + command("sh prep.sh {output}"))
    assert build(folder).exit_code == 1


def test_what_is_declared_may_be_read_under_strict(folder: Folder) -> None:
    folder.sparkfile(STRICT + command("python3 prep.py {output}", ", inputs: {table: lookup.csv}"))
    result = build(folder)
    assert (result.exit_code, result.warnings) == (0, [])


def test_what_a_process_of_the_command_reads_is_seen(folder: Folder) -> None:
    folder.write("outer.sh", "(sh -c 'n=up; cat look$n.csv' > $1/m) & wait\n")
    folder.sparkfile(command("sh outer.sh {output}"))
    assert "lookup.csv" in build(folder).warnings[0]


def test_a_command_that_calls_a_host_that_it_does_not_name_is_refused(folder: Folder, port: int) -> None:
    call = f"import socket\nsocket.create_connection(('127.0.0.1', {port}))\n"
    folder.write("call.py", call + "open(__import__('sys').argv[1] + '/m', 'w').write('x')\n")
    folder.sparkfile(STRICT + command("python3 call.py {output}"))
    assert f"called 127.0.0.1:{port}" in (build(folder).results["model:m/train"].error or "")


def test_a_host_in_its_params_may_be_called(folder: Folder, port: int) -> None:
    call = "import socket, sys\nhost, port = sys.argv[2].split(':')\nsocket.create_connection((host, int(port)))\n"
    folder.write("call.py", call + "open(sys.argv[1] + '/m', 'w').write('x')\n")
    more = f', params: {{api: "127.0.0.1:{port}"}}'
    folder.sparkfile(STRICT + command("python3 call.py {output} {params.api}", more))
    assert build(folder).exit_code == 0


def test_off_says_nothing(folder: Folder) -> None:
    folder.sparkfile(OFF + command("python3 prep.py {output}"))
    assert build(folder).warnings == []


def test_a_rule_in_python_is_warned_of(folder: Folder) -> None:
    folder.sparkfile(with_gate())
    (warning,) = build(folder).warnings
    assert "dataset:d/filter read lookup.csv" in warning


def test_a_rule_in_python_is_refused_under_strict(folder: Folder) -> None:
    folder.sparkfile(STRICT + with_gate())
    error = build(folder).results["dataset:d/filter"].error or ""
    assert "lookup.csv, which is not among its inputs" in error


def test_what_was_measured_while_nobody_refused_is_measured_again_under_strict(folder: Folder) -> None:
    folder.sparkfile(with_gate())
    build(folder)
    folder.sparkfile(STRICT + with_gate(", with: {shortest: 2}"))
    assert build(folder).results["dataset:d/filter"].outcome == "failed"


def test_a_result_of_undeclared_reads_does_not_count_under_strict(folder: Folder) -> None:
    folder.sparkfile(command("python3 prep.py {output}"))
    build(folder)
    folder.sparkfile(STRICT + command("python3 prep.py {output}"))
    plan = Project(folder.path).plan()["model:m/train"]
    assert plan.state == "run"
    assert [(r.kind, r.name, r.new) for r in plan.reasons] == [("runtime", "environment.hermetic", "strict")]


def test_a_clean_result_stays_fresh_under_strict(folder: Folder) -> None:
    run = command("python3 prep.py {output}", ", inputs: {table: lookup.csv}")
    folder.sparkfile(run)
    build(folder)
    folder.sparkfile(STRICT + run)
    assert Project(folder.path).plan()["model:m/train"].state == "fresh"


def test_a_result_that_turns_out_clean_counts_again(folder: Folder) -> None:
    folder.write("flag", "")
    prep = "import os, sys\nos.path.exists('fl' + 'ag') and open('look' + 'up.csv').read()\n"
    folder.write("prep.py", prep + "open(sys.argv[1] + '/m', 'w').write('x')\n")
    folder.sparkfile(command("python3 prep.py {output}"))
    build(folder)
    (folder.path / "flag").unlink()
    folder.sparkfile(STRICT + command("python3 prep.py {output}"))
    assert build(folder).results["model:m/train"].outcome == "ran"
    assert build(folder).results["model:m/train"].outcome == "fresh"


def test_what_is_remembered_of_an_undeclared_read_is_warned_of_again(folder: Folder) -> None:
    folder.sparkfile(with_gate())
    build(folder)
    folder.sparkfile(with_gate(", with: {shortest: 2}"))  # only decides: nothing is measured, nothing read
    (warning,) = build(folder).warnings
    assert "lookup.csv" in warning


def test_a_module_that_was_compiled_before_is_refused_under_strict(folder: Folder) -> None:
    folder.write("dyn.py", "X = 1\n")
    folder.write(
        "prep.py", "import sys\nopen(sys.argv[1] + '/m', 'w').write(str(__import__('dy' + 'n').X))\n"
    )
    folder.sparkfile(command("python3 prep.py {output}"))
    assert "dyn.py" in build(folder).warnings[0]
    assert list(folder.path.glob("__pycache__/dyn.*.pyc"))
    folder.sparkfile(STRICT + command("python3 prep.py {output}"))
    assert "dyn.py, which is not" in (build(folder).results["model:m/train"].error or "")


def test_a_file_behind_a_link_of_the_command_is_refused_under_strict(folder: Folder) -> None:
    folder.write("prep.sh", "n=up.csv; ln -s $PWD/look$n $2/l; cat $2/l > $1/m\n")
    folder.sparkfile(STRICT + command("sh prep.sh {output} {scratch}"))
    assert "lookup.csv, which is not" in (build(folder).results["model:m/train"].error or "")


def test_a_result_that_nobody_watched_so_closely_does_not_count_under_strict(folder: Folder) -> None:
    read = 'subprocess.run(["cat", Path(__file__).with_name("lookup.csv")], check=True)'
    gate = GATE.replace('Path(__file__).with_name("lookup.csv").read_text()', f"str({read})")
    folder.write("gate.py", f"import subprocess\n{gate}")
    folder.sparkfile(with_gate())
    assert build(folder).warnings == []  # nobody asks the kernel
    folder.sparkfile(STRICT + with_gate())
    assert "lookup.csv" in (build(folder).results["dataset:d/filter"].error or "")


def test_what_was_not_watched_so_closely_runs_once_under_strict(folder: Folder) -> None:
    gate = GATE.replace('Path(__file__).with_name("lookup.csv").read_text()', 'item["text"]')
    folder.write("gate.py", gate)
    folder.sparkfile(with_gate())
    build(folder)
    folder.sparkfile(STRICT + with_gate())
    assert {r.outcome for r in build(folder).results.values()} == {"ran"}
    assert {r.outcome for r in build(folder).results.values()} == {"fresh"}


def test_what_is_built_under_strict_stays_fresh_under_warn(folder: Folder) -> None:
    run = command("python3 prep.py {output}", ", inputs: {table: lookup.csv}")
    folder.sparkfile(STRICT + run)
    build(folder)
    folder.sparkfile(run)
    assert Project(folder.path).plan()["model:m/train"].state == "fresh"


def test_a_tool_in_the_project_is_declared(folder: Folder) -> None:
    folder.write("bin/listed", 'test "$1" = --version || echo x > $1/m\n')
    tool = folder.path / "bin" / "listed"
    tool.write_text("#!/bin/sh\n" + tool.read_text())
    tool.chmod(0o755)
    folder.sparkfile(STRICT + command("PATH=$PWD/bin:$PATH listed {output}", ", tools: [bin/listed]"))
    assert build(folder).exit_code == 0
