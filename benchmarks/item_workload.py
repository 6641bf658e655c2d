"""The workload of many items: one of thousands of files changed, and a stage that works item by item behind it."""

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.dvc import Dvc
from benchmarks.graph_workloads import Bench
from benchmarks.measure import Measured, measure
from benchmarks.projects import once, write_sparkfile
from benchmarks.rounds import Contender, Workload
from benchmarks.tools import Tool, stored_files

WORDS = ("river", "stone", "cloud", "lantern", "copper", "meadow", "harbour", "violin", "winter", "orchard")
LEAST_WORDS = 50
FILTER = f"""
import json, pathlib
with open("kept.jsonl", "w") as kept:
    for path in sorted(pathlib.Path("data").iterdir()):
        text = path.read_text()
        if len(text.split()) >= {LEAST_WORDS}:
            kept.write(json.dumps(text) + "\\n")
"""


def item_workload(bench: Bench) -> Workload:
    count = bench.size(10_000, 40)
    contenders = []
    if (spark := bench.tool("spark")) is not None:
        contenders.append(_spark_items(bench, spark, count))
    if (dvc := bench.tool("dvc")) is not None:
        contenders.append(_dvc_items(bench, dvc, count))
    contenders.append(_script_alone(bench, count))
    return Workload(
        "items", f"one of {count:,} files changed, per-item stage behind it", contenders, bench.asked(0.5)
    )


def _write_texts(folder: Path, count: int) -> None:
    (folder / "data").mkdir(exist_ok=True)
    for n in range(count):
        _write_text(folder, n)


def _change_one(folder: Path, count: int, token: str) -> None:
    """One of those that are kept, so that what comes out changes as well."""
    _write_text(folder, count // 2 + 1, token)


def _write_text(folder: Path, n: int, token: str = "") -> None:
    (folder / f"data/{n:05}.txt").write_text(_text(n, token))


def _text(n: int, token: str) -> str:
    """Every tenth has too few words to be kept. No line end: spark's reader takes it off, and texts are compared."""
    rnd = random.Random(n)
    words = rnd.choices(WORDS, k=LEAST_WORDS - 10 if n % 10 == 0 else LEAST_WORDS + 10)
    return f"Text {n} {token}: {' '.join(words)}."


def _spark_items(bench: Bench, tool: Tool, count: int) -> Contender:
    folder = bench.folder("items", tool.name)
    gate = {"use": "quality", "with": {"rules": ["word_count"], "min_words": LEAST_WORDS}}

    def kept() -> dict[str, str]:
        import pyarrow.parquet as pq

        files = stored_files(folder)["dataset:texts/version"]
        shards = [file for path, file in files.items() if path.startswith("data/")]
        return {"kept": json.dumps(sorted(t for s in shards for t in pq.read_table(s)["text"].to_pylist()))}

    def write(folder: Path) -> None:
        write_sparkfile(folder, {"datasets": {"texts": {"source": "data", "gates": [gate]}}})

    return Contender(
        tool.name,
        tool.build(),
        folder,
        prepare=lambda: _made_and_built(bench, tool, folder, count, write),
        before=lambda token: _change_one(folder, count, token),
        ran=tool.ran,
        must_run=3,  # ingest, filter, version
        outputs=kept,
        facts=lambda measured: {"handled": _handled(measured)},
        must_be={"handled": lambda handled: handled == 1},
        warms_up=False,
    )


def _handled(measured: Measured) -> int:
    """Of the stage that handled most."""
    events = map(json.loads, measured.out.splitlines())
    return max((e["items"]["handled"] for e in events if e["event"] == "stage" and e["items"]), default=0)


def _dvc_items(bench: Bench, tool: Tool, count: int) -> Contender:
    assert isinstance(tool, Dvc)
    folder = bench.folder("items", tool.name)

    def write(folder: Path) -> None:
        tool.initialise(folder)
        (folder / "filter.py").write_text(FILTER)
        stage = {"cmd": f"{bench.python} filter.py", "deps": ["data", "filter.py"], "outs": ["kept.jsonl"]}
        (folder / "dvc.yaml").write_text(json.dumps({"stages": {"filter": stage}}))

    return Contender(
        tool.name,
        tool.build(),
        folder,
        prepare=lambda: _made_and_built(bench, tool, folder, count, write),
        before=lambda token: _change_one(folder, count, token),
        ran=tool.ran,
        must_run=1,
        outputs=lambda: _kept_by_script(folder),
        facts=lambda measured: {"handled": count},
        warms_up=False,
    )


def _script_alone(bench: Bench, count: int) -> Contender:
    folder = bench.folder("items", "script")

    def write(folder: Path) -> None:
        (folder / "filter.py").write_text(FILTER)

    return Contender(
        "the script alone",
        [bench.python, "filter.py"],
        folder,
        prepare=lambda: _once(folder, count, write),
        before=lambda token: _change_one(folder, count, token),
        outputs=lambda: _kept_by_script(folder),
        facts=lambda measured: {"handled": count},
    )


def _kept_by_script(folder: Path) -> dict[str, str]:
    lines = (folder / "kept.jsonl").read_text().splitlines()
    return {"kept": json.dumps(sorted(map(json.loads, lines)))}


def _made_and_built(
    bench: Bench, tool: Tool, folder: Path, count: int, write: Callable[[Path], None]
) -> None:
    _once(folder, count, write)
    measure(tool.build(), folder, bench.env)


def _once(folder: Path, count: int, write: Callable[[Path], None]) -> None:
    once(folder, f"{count} items such as {_text(1, '')}", partial(_write_texts, count=count), write)
