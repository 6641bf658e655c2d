"""Work on items over several processes: the same values, the same errors, and nothing that lives on."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from stage_bench import Bench, Ran, step

from spark_build.core.errors import SparkError, StageFailed
from spark_build.core.job import Job
from tests.executors.processes import eventually, living_with
from tests.spark import REPOSITORY

RULES = """
import os, signal, sys, time
from pathlib import Path
from spark_build.contract import Item, ItemGate, JoinGate, Transform, Verdict, Media
from spark_build.contract.media import new_file
from spark_build.core.errors import ItemRejected

IS_HELPER = "--helper" in sys.argv
print(f"loaded by {'a helper' if IS_HELPER else 'the stage'}")


class Who(ItemGate):
    batch_items = 4

    def measure(self, item):
        time.sleep(0.002)
        return os.getpid()

    def decide(self, found, params):
        return Verdict.keep(counts={f"process {found}": 1})


class Words(ItemGate):
    batch_items = 3

    def measure(self, item):
        time.sleep(0.001)
        text = item["text"]
        if "refused" in text:
            raise ItemRejected("refused", text)
        if "boom" in text:
            raise ZeroDivisionError(text)
        if "exit" in text:
            sys.exit(3)
        if "crash" in text and IS_HELPER:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "lookup" in text and IS_HELPER:
            Path(__file__).with_name("lookup.txt").read_text()
        if "sleep" in text:
            time.sleep(60)
        return len(text.split())

    def decide(self, found, params):
        return Verdict.keep() if found % 5 else Verdict.drop("fives", score=found)


class Written(Transform):
    def apply(self, item):
        time.sleep(0.002)
        file = new_file(".png")
        file.write_bytes(b"picture of " + item["text"].encode())
        return [{"picture": Media("image", file, ".png", {"format": "PNG"}), "text": item["text"]}]
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.write("rules.py", RULES)
    return bench


def rule(bench: Bench, name: str) -> Any:
    return step(name, impl=f"{bench.project / 'rules.py'}:{name}")


def ingested(bench: Bench, texts: Mapping[int, str], count: int = 120) -> Ran:
    for number in range(count):
        text = texts.get(number, f"text {number}" + " word" * (number % 7))
        bench.write(f"data/{number:04}.txt", text)
    return bench.ingest()


def filtered(bench: Bench, dataset: Ran, name: str, processes: int) -> Ran:
    return bench.cold().run_job(job(bench, dataset, name, processes))


def job(
    bench: Bench, dataset: Ran, name: str, processes: int, seconds: float = 0.0, hermetic: str = "warn"
) -> Job:
    more = {"processes": processes, "spread_after_seconds": seconds, "hermetic": hermetic}
    steps = [rule(bench, name)]
    return bench.job("filter", steps, {"dataset": dataset.output}, reads=("rules.py",), **more)


def failure(bench: Bench, dataset: Ran, processes: int) -> str:
    with pytest.raises((SparkError, SystemExit)) as raised:
        filtered(bench, dataset, "Words", processes)
    return f"{type(raised.value).__name__}: {raised.value}"


def test_several_processes_take_part(bench: Bench) -> None:
    ran = filtered(bench, ingested(bench, {}), "Who", 3)
    counted = ran.outcome.notes["gates"]["Who"]["counts"]
    assert f"process {os.getpid()}" in counted
    assert len(counted) == 3
    assert sum(counted.values()) == 120


@pytest.mark.parametrize("processes", [2, 3])
def test_the_result_is_that_of_one_process(bench: Bench, processes: int) -> None:
    dataset = ingested(bench, {7: "refused here", 90: "refused there", 91: "a b c d e"})
    one, several = (filtered(bench, dataset, "Words", count) for count in (1, processes))
    assert [*one.dataset.rejected()] == [*several.dataset.rejected()]
    assert one.tree == several.tree
    assert one.outcome == several.outcome


def test_what_was_found_by_helpers_is_remembered(bench: Bench) -> None:
    dataset, cold = ingested(bench, {}), bench.cold()
    first = cold.run_job(job(bench, dataset, "Words", 3))
    again = cold.run_job(job(bench, dataset, "Words", 1))
    assert (first.handled, again.handled) == (120, 0)


def test_little_work_starts_no_process(bench: Bench) -> None:
    dataset = ingested(bench, {})
    ran = bench.cold().run_job(job(bench, dataset, "Who", 3, seconds=1.0))
    assert ran.outcome.notes["gates"]["Who"]["counts"] == {f"process {os.getpid()}": 120}


# errors


@pytest.mark.parametrize(
    "texts",
    [{60: "boom one", 80: "boom two"}, {1: "boom at once"}, {119: "boom at last"}, {40: "exit", 41: "boom"}],
    ids=str,
)
def test_an_error_is_that_of_one_process(bench: Bench, texts: dict[int, str]) -> None:
    dataset = ingested(bench, texts)
    assert failure(bench, dataset, 3) == failure(bench, dataset, 1)


def test_what_came_before_an_error_is_remembered(bench: Bench) -> None:
    dataset, cold = ingested(bench, {100: "boom"}), bench.cold()
    with pytest.raises(StageFailed, match="boom"):
        cold.run_job(job(bench, dataset, "Words", 3))
    bench.write("rules.py", RULES.replace('"boom" in text', "False"))
    assert cold.run_job(job(bench, dataset, "Words", 1)).handled <= 120 - 99, "whole batches"


def test_a_crash_of_a_helper_says_at_which_items(bench: Bench) -> None:
    dataset = ingested(bench, {number: f"crash {number}" for number in range(30, 120)})
    with pytest.raises(
        StageFailed, match=r"was ended by signal 11 at one of 3, from item '.*' of 0"
    ) as raised:
        filtered(bench, dataset, "Words", 2)
    first, last = re.findall(r"of (\d{4})\.txt", str(raised.value))
    assert 28 <= int(first) <= int(last) < int(first) + 3, "one batch"


def test_a_rule_that_no_helper_can_load_is_run_by_the_stage(bench: Bench) -> None:
    dataset = ingested(bench, {})
    bench.write("rules.py", RULES + "\nif IS_HELPER:\n    raise ValueError('not here')\n")
    assert len(filtered(bench, dataset, "Words", 2).rows()) > 90


def test_where_no_process_can_be_started_the_stage_does_it_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    dataset = ingested(bench, {})
    monkeypatch.setattr(os, "posix_spawn", refuse)
    assert len(filtered(bench, dataset, "Words", 3).rows()) > 90
    assert capsys.readouterr().out.count("no further process could be started") == 1


# what is around it


def test_media_that_helpers_make_are_in_the_store(bench: Bench) -> None:
    ingested(bench, {})
    steps = [bench.files(), rule(bench, "Written")]
    more = {"processes": 3, "spread_after_seconds": 0.0}
    trees = [bench.cold().run_job(bench.job("ingest", steps, **rest)).tree for rest in ({}, more)]
    assert trees[0] == trees[1]
    assert sum(entry.path.startswith("media/") for entry in trees[1].entries) == 120


def worker(bench: Bench, job: Job) -> "subprocess.Popen[str]":
    file = Path(job.output).with_name("job.json")
    job.save(file)
    Path(job.events).parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-P", "-m", "spark_build", "worker", str(file)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(words, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_no_helper_outlives_its_worker(bench: Bench) -> None:
    given = job(bench, ingested(bench, dict.fromkeys(range(10, 120), "sleep")), "Words", 3)
    running = worker(bench, given)
    helpers = f"{Path(given.output).with_name('job.json')}"
    eventually(lambda: len(living_with(helpers)) == 3)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    eventually(lambda: living_with(helpers) == [], seconds=5)


def test_what_a_helper_reads_and_prints_is_seen(bench: Bench) -> None:
    bench.write("lookup.txt", "x")
    dataset = ingested(bench, {number: f"lookup {number}" for number in range(30, 120)})
    given = job(bench, dataset, "Words", 2)
    said = worker(bench, given).communicate()[0]
    assert "loaded by a helper" in said
    assert '"undeclared": {"files": ["lookup.txt"]}' in Path(given.result).read_text()


def test_under_strict_no_helper_may_read_what_is_not_declared(bench: Bench) -> None:
    bench.write("lookup.txt", "x")
    dataset = ingested(bench, {number: f"lookup {number}" for number in range(30, 120)})
    given = job(bench, dataset, "Words", 2, hermetic="strict")
    worker(bench, given).communicate()
    told = "hermetic: strict: dataset:test/filter read lookup.txt, which is not among its inputs"
    assert told in Path(given.result).read_text()
