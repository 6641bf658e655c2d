"""Datasets of which memory holds a part alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stage_bench import Bench, Ran
from test_with_our_rules import documents, gates, ours

from spark_build.core import spool
from spark_build.core.values import replace
from spark_build.stages import items_memo, records

GROWING = """
import sys
from pathlib import Path
from spark_build.core.spool import Spool

spool, kept = Spool(Path(sys.argv[1])), []
for number in range(40_000):
    kept.append(spool.fields({"text": f"{number:010}" * 1000, "n": float(number)}))
assert [row["text"][:10] for row in kept[::997]] == [f"{n:010}" for n in range(0, 40_000, 997)]
assert all(row["n"] == n for n, row in enumerate(kept))
(most,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss counts who started it
print(int(most.split()[1]) // 1024)
"""


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 2000)
    monkeypatch.setattr(spool, "_SMALL_BYTES", 10)
    monkeypatch.setattr(items_memo, "_ASKED_AT_ONCE", 7)
    monkeypatch.setattr(records, "_LONG_BYTES", 500)


def built(bench: Bench) -> tuple[Ran, Ran]:
    source = replace(ours("files", path="data"), inputs={"path": str(bench.project / "data")})
    dataset = bench.ingest(
        source, ours("chunk", words=60, stride=10), splits={"ratios": {"train": 0.8, "test": 0.2}}
    )
    return dataset, bench.filter(dataset, *gates())


def project(bench: Bench) -> None:
    documents(bench, range(90))
    rows = [{"id": f"r{n}", "text": f"row {n} " * 40, "n": n, "more": {"of": [n, None]}} for n in range(40)]
    bench.write("data/rows.jsonl", "\n".join(json.dumps(row) for row in [*rows, rows[3], {"id": 1}]) + "\n")


def test_what_lies_on_the_disk_comes_out_as_what_lies_in_memory(
    bench: Bench, request: pytest.FixtureRequest
) -> None:
    project(bench)
    dataset, kept = built(bench)
    request.getfixturevalue("little_memory")
    other_dataset, other = built(bench.cold())
    assert (other_dataset.tree, other.tree) == (dataset.tree, kept.tree)
    assert (other_dataset.outcome, other.outcome) == (dataset.outcome, kept.outcome)


@pytest.mark.usefixtures("little_memory")
def test_of_a_file_that_is_too_long_to_be_remembered_new_rows_alone_are_handled(bench: Bench) -> None:
    project(bench)
    built(bench)
    dataset, kept = built(bench)
    assert (dataset.handled, kept.handled) == (0, 0)
    with (bench.project / "data/rows.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "one more row " * 30}) + "\n")
    dataset, kept = built(bench)
    assert dataset.handled == 1
    cold_dataset, cold = built(bench.cold())
    assert (dataset.tree, kept.tree) == (cold_dataset.tree, cold.tree)


def test_four_hundred_megabytes_of_fields_take_half_of_it(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", GROWING, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) < 220
    assert not [*tmp_path.iterdir()]
