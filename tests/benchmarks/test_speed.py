"""The one command that measures speed: it counts what ran, compares what came out, and counts disk once."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import graphs
from benchmarks.graph_workloads import Bench
from benchmarks.measure import disk_bytes, measure
from benchmarks.rounds import Contender, Outcome, Workload, run_rounds
from benchmarks.speed import main, workloads
from benchmarks.tools import Make, Ninja, Spark, Tool, environment

PYTHON = sys.executable


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    where = tmp_path_factory.mktemp("speed")
    (where / "home").mkdir()
    tools: list[Tool] = [Spark(PYTHON)]
    tools += [kind(program) for kind in (Ninja, Make) if (program := shutil.which(kind.name))]
    return Bench(where, environment(where / "home"), PYTHON, tools, is_full=False)


def outcome_of(bench: Bench, name: str) -> Outcome:
    workload = next(w for w in workloads(bench) if w.name == name)
    return run_rounds(workload, bench.env, "test", rounds=1, rounds_slow=1)


def ran(outcome: Outcome) -> dict[str, int | None]:
    return {result.contender: result.ran for result in outcome.results}


def test_a_changed_source_runs_the_same_stages_in_every_tool(bench: Bench) -> None:
    outcome = outcome_of(bench, "change")
    assert outcome.wrong == []
    assert ran(outcome) == dict.fromkeys((tool.name for tool in bench.tools), 6)


def test_early_cutoff_is_one_stage_of_spark_and_all_of_make(bench: Bench) -> None:
    outcome = outcome_of(bench, "cutoff")
    assert outcome.wrong == []
    assert ran(outcome) == {tool.name: 1 if tool.name == "spark" else 6 for tool in bench.tools}


def test_a_change_of_the_full_graph_reaches_fifty_five_of_a_hundred_stages() -> None:
    graph = graphs.triangle(10)
    reached = {"0.txt"}
    for stage in graph.stages:
        if reached.intersection(stage.inputs):
            reached.add(stage.name)
    assert (len(graph.stages), len(reached) - 1) == (100, 55)


def test_a_large_file_that_a_stage_writes_is_on_disk_once(bench: Bench) -> None:
    outcome = outcome_of(bench, "first-build-large-output")
    assert outcome.wrong == []
    spark = outcome.of("spark")
    assert spark is not None
    assert 1 <= spark.facts["disk"] < 1.3


def test_one_changed_item_is_the_only_one_that_is_handled(bench: Bench) -> None:
    outcome = outcome_of(bench, "items")
    assert outcome.wrong == []
    assert {r.contender: r.facts["handled"] for r in outcome.results} == {"spark": 1, "the script alone": 40}


def test_another_output_is_told(tmp_path: Path) -> None:
    outcome = run_rounds(_two_writers(tmp_path, "yes", "no"), {}, "test", rounds=2, rounds_slow=1)
    assert outcome.wrong == ["second and first differ in 1 outputs, the first result"] * 2
    assert outcome.verdict == "WRONG"


def test_equal_outputs_are_not_told(tmp_path: Path) -> None:
    outcome = run_rounds(_two_writers(tmp_path, "yes", "yes"), {}, "test", rounds=1, rounds_slow=1)
    assert outcome.wrong == []


def test_another_count_of_stages_is_told(tmp_path: Path) -> None:
    workload = _two_writers(tmp_path, "yes", "yes")
    workload.contenders[1].ran = lambda measured: 3
    workload.contenders[1].must_run = 1
    assert run_rounds(workload, {}, "test", rounds=1, rounds_slow=1).wrong == ["second ran 3 stages, not 1"]


def test_a_contender_that_fails_is_told_and_left_out(tmp_path: Path) -> None:
    workload = _two_writers(tmp_path, "yes", "yes")
    workload.contenders[0].command = ["sh", "-c", "exit 7"]
    outcome = run_rounds(workload, {}, "test", rounds=2, rounds_slow=1)
    assert [result.contender for result in outcome.results] == ["second"]
    assert "ended with exit code 7" in outcome.wrong[0]


def test_cpu_of_a_process_that_nobody_waits_for_counts(tmp_path: Path) -> None:
    busy = "import time; began = time.process_time()\nwhile time.process_time() < began + 0.2: pass"
    (tmp_path / "busy.py").write_text(busy)
    daemon = f"setsid {PYTHON} -I -S busy.py > /dev/null 2>&1 & exit 0"
    measured = measure(["sh", "-c", daemon], tmp_path)
    assert measured.cpu >= 0.2
    assert measured.left == 0


def test_a_file_with_two_names_takes_its_disk_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1_000_000)
    before = disk_bytes(tmp_path)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert disk_bytes(tmp_path) == before


def test_the_command_prints_every_contender_and_writes_json_and_markdown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: tmp_path / f"table.{name}" for name in ("json", "markdown")}
    options = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    code = main(["--scale", "small", "--only", "version", "--rounds", "1", "--tools", "spark,make", *options])
    printed = capsys.readouterr().out
    assert code == 0
    assert "spark 0." in printed
    assert "python -c pass" in printed
    (workload,) = json.loads(files["json"].read_text())["workloads"]
    assert {r["contender"] for r in workload["results"]} >= {"spark", "python -c pass"}
    assert "| `--version` |" in files["markdown"].read_text()


def _two_writers(folder: Path, first: str, second: str) -> Workload:
    def writer(name: str, text: str) -> Contender:
        own = folder / name
        return Contender(
            name,
            ["sh", "-c", f"printf {text} > result"],
            own,
            outputs=lambda: {"result": own / "result"},
        )

    return Workload("writers", "two writers", [writer("first", first), writer("second", second)])
