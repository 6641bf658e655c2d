"""Workloads of many files and of one large file: a single stage over them, or none."""

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.dvc import Dvc
from benchmarks.graph_workloads import Bench
from benchmarks.measure import disk_bytes, measure
from benchmarks.projects import once, write_sparkfile
from benchmarks.rounds import Contender, Workload
from benchmarks.tools import Spark, Tool, remove, stored_files

SCAN = """
import os, sys
def walk(folder):
    for entry in os.scandir(folder):
        walk(entry.path) if entry.is_dir() else entry.stat()
walk(sys.argv[1])
"""
HASH = """
import os, sys
from blake3 import blake3
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        with open(os.path.join(folder, name), "rb") as file:
            blake3(file.read()).digest()
"""
HASH_LARGE = (
    "import sys, blake3; blake3.blake3(max_threads=blake3.blake3.AUTO).update_mmap(sys.argv[1]).digest()"
)
COUNT = "find {data} -type f | wc -l > {out}"
TAIL = "tail -c 64 {data} > {out}"
REPEAT = "for n in $(seq {times}); do cat {data}; done > {out}"


def file_workloads(bench: Bench) -> Iterator[Workload]:
    yield from _folder(bench, bench.size(100_000, 200))
    yield from _large_file(bench, bench.size(2000, 8))


# a folder of many files


def _folder(bench: Bench, count: int) -> Iterator[Workload]:
    data = partial(_many_files, count=count)
    cold, built = [], []
    for tool in _tools(bench, "spark", "dvc"):
        project = _one_stage(bench, tool, "folder", data, COUNT)
        cold.append(project(before=tool.forget, must_run=1))
        built.append(project(is_built=True, must_run=0))
    if (dvc := bench.tool("dvc")) is not None:
        cold.append(_dvc_add(bench, dvc, "folder-dvc-add", data))
    if shutil.which("git"):
        cold.append(_git(bench, data, ["git", "add", "data"], forgets=True))
        built.append(_git(bench, data, ["git", "status", "--short"], forgets=False))
    cold.append(_floor(bench, "read and blake3 alone", "folder", data, [bench.python, "-c", HASH, "data"]))
    built.append(_floor(bench, "scandir and stat alone", "folder", data, [bench.python, "-c", SCAN, "data"]))
    of = f"a folder of {count:,} files of 4 KB"
    yield Workload("first-build-folder", f"first build over {of}", cold, bench.asked(8.0))
    yield Workload("build-folder", f"no-op `build` over {of}", built, bench.asked(0.9))


def _many_files(folder: Path, count: int) -> None:
    rnd = random.Random(1)
    for n in range(count):
        if n % 1000 == 0:
            (folder / f"data/{n // 1000:03}").mkdir(parents=True, exist_ok=True)
        (folder / f"data/{n // 1000:03}/{n:06}.bin").write_bytes(rnd.randbytes(4096))


# one large file


def _large_file(bench: Bench, megabytes: int) -> Iterator[Workload]:
    size, block = megabytes << 20, bench.size(50, 1) << 20
    of = f"a {megabytes / 1000:g} GB file"
    reading, writing = partial(_block, size=size), partial(_block, size=block)
    run = REPEAT.replace("{times}", str(size // block))
    read, written = [], []
    for tool in _tools(bench, "spark", "dvc"):
        project = _one_stage(bench, tool, "large-read", reading, TAIL)
        if not isinstance(tool, Dvc):
            read.append(_on_disk(project(before=tool.forget, must_run=1), size))
        project = _one_stage(bench, tool, "large-written", writing, run)
        written.append(_on_disk(project(before=tool.forget, must_run=1), size, beside=block))
    if (dvc := bench.tool("dvc")) is not None:
        read.append(_on_disk(_dvc_add(bench, dvc, "large-dvc-add", reading), size))
    command = [bench.python, "-c", HASH_LARGE, "data"]
    read.append(_floor(bench, "blake3 alone", "large-read", reading, command))
    shell = ["sh", "-c", run.format(data="data", out="result.txt")]
    written.append(_floor(bench, "the command alone", "large-written", writing, shell))
    yield Workload("first-build-large", f"first build, {of} is read, disk used once", read, bench.asked(2.5))
    # nothing is asked of this one: most of it is the command's own work
    yield Workload("first-build-large-output", f"first build, {of} is written, disk used once", written)


def _block(folder: Path, size: int) -> None:
    rnd = random.Random(2)
    with open(folder / "data", "wb") as file:
        for _ in range(0, size, 1 << 20):
            file.write(rnd.randbytes(1 << 20))


def _on_disk(contender: Contender, size: int, beside: int = 0) -> Contender:
    """Its project folder may hold the file once, and what else it notes; `beside` are bytes that it began with."""
    contender.facts = lambda measured: {"disk": round((disk_bytes(contender.folder) - beside) / size, 2)}
    if contender.name == "spark":
        contender.must_be = {"disk": lambda times: times <= 1 + max(0.02, (2 << 20) / size)}
    return contender


# one stage over `data`


def _one_stage(
    bench: Bench, tool: Tool, name: str, make_data: Callable[[Path], None], run: str
) -> Callable[..., Contender]:
    """A project whose only stage reads `data` and writes one file."""
    folder = bench.folder(name, tool.name)

    def write(folder: Path) -> None:
        if isinstance(tool, Dvc):
            tool.initialise(folder, {"cache.type": "hardlink"} if name.startswith("large") else {})
            stage = {
                "cmd": run.format(data="data", out="result.txt"),
                "deps": ["data"],
                "outs": ["result.txt"],
            }
            (folder / "dvc.yaml").write_text(json.dumps({"stages": {"only": stage}}))
        else:
            with_ = {
                "run": run.format(data="{inputs.data}", out="{output}/result.txt"),
                "inputs": {"data": "data"},
            }
            target = {"only": {"recipe": {"use": "command", "with": with_}}}
            write_sparkfile(folder, {"targets": target})

    def outputs() -> dict[str, Path]:
        if isinstance(tool, Spark):
            return {"result": stored_files(folder)["model:only/train"]["model/result.txt"]}
        return {"result": folder / "result.txt"}

    def contender(
        *, is_built: bool = False, before: Callable[[Path], None] | None = None, must_run: int
    ) -> Contender:
        def prepare() -> None:
            once(folder, f"{name} {run}", make_data, write)
            if is_built:
                measure(tool.build(), folder, bench.env)

        def forget(token: str) -> None:
            if before is not None:
                before(folder)
                remove(folder / "result.txt")

        return Contender(
            tool.name, tool.build(), folder, prepare, forget, tool.ran, must_run, outputs, warms_up=is_built
        )

    return contender


def _dvc_add(bench: Bench, dvc: Tool, name: str, make_data: Callable[[Path], None]) -> Contender:
    assert isinstance(dvc, Dvc)
    folder = bench.folder(name, dvc.name)
    settings = {"cache.type": "hardlink"} if name.startswith("large") else {}

    def forget(token: str) -> None:
        dvc.forget(folder)
        remove(folder / "data.dvc")

    return Contender(
        "dvc add",
        [dvc.program, "add", "-q", "data"],
        folder,
        prepare=lambda: once(folder, name, make_data, partial(dvc.initialise, settings=settings)),
        before=forget,
        warms_up=False,
    )


def _git(bench: Bench, make_data: Callable[[Path], None], command: list[str], *, forgets: bool) -> Contender:
    folder = bench.folder("folder", "git")

    def start_over(folder: Path) -> None:
        remove(folder / ".git")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True, env=bench.env)

    def prepare() -> None:
        once(folder, "git", make_data, start_over)
        if not forgets:
            name = ["-c", "user.name=speed", "-c", "user.email=speed@localhost"]
            subprocess.run(["git", "add", "data"], cwd=folder, check=True, env=bench.env)
            commit = ["git", *name, "commit", "-q", "-m", "data"]
            subprocess.run(commit, cwd=folder, env=bench.env, check=False, capture_output=True)

    return Contender(
        " ".join(command[:2]), command, folder, prepare, lambda token: start_over(folder) if forgets else None,
        warms_up=not forgets,
    )  # fmt: skip


def _floor(
    bench: Bench, title: str, name: str, make_data: Callable[[Path], None], command: list[str]
) -> Contender:
    """What the work costs without a tool; over spark's own files where those are there."""
    folder = bench.folder(name, "spark" if bench.tool("spark") else "floor")
    return Contender(
        title,
        command,
        folder,
        prepare=lambda: once(folder, title, make_data) if not bench.tool("spark") else None,
    )


def _tools(bench: Bench, *names: str) -> Iterator[Tool]:
    yield from (tool for name in names if (tool := bench.tool(name)) is not None)
