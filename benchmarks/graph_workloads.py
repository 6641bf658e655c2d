"""Workloads of many small commands: the same graph in every tool, each in a folder of its own."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import graphs
from benchmarks.dvc import Dvc
from benchmarks.graphs import CommandGraph
from benchmarks.measure import measure
from benchmarks.projects import once
from benchmarks.rounds import Contender, Workload
from benchmarks.tools import Tool

Edit = Callable[[Path, str], None]


@dataclass(frozen=True)
class Bench:
    """Where the workloads lie, which tools there are, and how much is asked of them."""

    where: Path
    env: Mapping[str, str]
    python: str
    tools: Sequence[Tool]
    is_full: bool = True
    with_slow: bool = False

    def size(self, full: int, small: int) -> int:
        return full if self.is_full else small

    def asked(self, seconds: float) -> float | None:
        return seconds if self.is_full else None

    def tool(self, name: str) -> Tool | None:
        return next((t for t in self.tools if t.name == name), None)

    def folder(self, project: str, tool: str) -> Path:
        return self.where / project / tool


def graph_workloads(bench: Bench) -> Iterator[Workload]:
    yield from _many_stages(bench, bench.size(1000, 20), 0.10)
    yield from _many_stages(bench, bench.size(5000, 40), 0.25)
    yield from _a_change(bench, bench.size(10, 3))
    yield from _sleeping(bench, 1.0 if bench.is_full else 0.2)


def _many_stages(bench: Bench, count: int, asked: float) -> Iterator[Workload]:
    graph = graphs.layered(count, 10)
    of, name, none = f"{count:,} `command` stages in 10 layers", f"{count}-stages", 0
    yield Workload(
        f"first-build-{name}",
        f"first build, {of}",
        [
            _contender(bench, tool, name, graph, tool.build(), count, before=_forget(tool))
            for tool in _able(bench, count)
            if not isinstance(tool, Dvc) or bench.with_slow or not bench.is_full
        ],
    )
    yield Workload(
        f"build-{name}",
        f"no-op `build`, {of}",
        [_built(bench, tool, name, graph, tool.build(), none) for tool in _able(bench, count)],
        bench.asked(asked),
    )
    yield Workload(
        f"plan-{name}",
        f"no-op `plan`, {of}",
        [_built(bench, tool, name, graph, tool.plan(), None) for tool in _able(bench, count) if tool.plans],
        bench.asked(asked),
    )


def _a_change(bench: Bench, width: int) -> Iterator[Workload]:
    graph = graphs.triangle(width)
    count, reached = width * width, width * (width + 1) // 2

    def contenders(edit: Edit, must_run: Callable[[Tool], int | None]) -> list[Contender]:
        return [
            _built(bench, tool, "change", graph, tool.build(), must_run(tool), edit) for tool in bench.tools
        ]

    by_first_line = contenders(_first_line, lambda tool: reached)
    for contender in by_first_line:
        contender.warms_up = False  # the build before it has done that

    yield Workload(
        "change",
        f"one source of {count} stages changed, {reached} `cp` stages follow",
        by_first_line,
        bench.asked(1.0),
    )
    yield Workload(
        "cutoff",
        "early cutoff in that graph",
        contenders(_second_line, lambda tool: 1 if tool.name == "spark" else None),
        bench.asked(0.15),
    )


def _first_line(folder: Path, token: str) -> None:
    (folder / graphs.SOURCES / "0.txt").write_text(graphs.triangle_source(0, token))


def _second_line(folder: Path, token: str) -> None:
    """The first stage's output stays the same, once the warm-up has set the first line."""
    (folder / graphs.SOURCES / "0.txt").write_text(graphs.triangle_source(0, second=token))


def _sleeping(bench: Bench, seconds: float) -> Iterator[Workload]:
    for name, title, graph, jobs, ideal in (
        ("independent", f"16 independent `sleep {seconds:g}`, 8 jobs", graphs.independent(16, seconds), 8, 2),
        ("critical-path", f"critical path of 3 `sleep {seconds:g}` and 6 others, 3 jobs",
         graphs.critical_path(3, 6, seconds), 3, 3),
    ):  # fmt: skip
        yield Workload(
            name,
            title,
            [
                _contender(
                    bench, tool, name, graph, tool.build(jobs), len(graph.stages), before=_forget(tool)
                )
                for tool in bench.tools
            ],
            bench.asked(1.1 * ideal),
            is_wall=True,
        )


# contenders


def _contender(
    bench: Bench, tool: Tool, project: str, graph: CommandGraph, command: list[str], must_run: int | None,
    before: Edit = lambda folder, token: None, *, is_built: bool = False,
) -> Contender:  # fmt: skip
    folder = bench.folder(project, tool.name)
    return Contender(
        tool.name,
        command,
        folder,
        prepare=partial(_prepare, bench, tool, folder, graph, is_built=is_built),
        before=partial(before, folder),
        ran=None if command == _plan_of(tool) else tool.ran,
        must_run=must_run,
        outputs=partial(tool.outputs, folder, graph),
        warms_up=is_built,
    )


def _built(
    bench: Bench, tool: Tool, project: str, graph: CommandGraph, command: list[str], must_run: int | None,
    before: Edit = lambda folder, token: None,
) -> Contender:  # fmt: skip
    return _contender(bench, tool, project, graph, command, must_run, before, is_built=True)


def _plan_of(tool: Tool) -> list[str] | None:
    return tool.plan() if tool.plans else None


def _able(bench: Bench, count: int) -> Iterable[Tool]:
    return [tool for tool in bench.tools if bench.with_slow or count <= tool.most_stages]


def _forget(tool: Tool) -> Edit:
    """So that everything runs: no cache may outlive what `forget` deletes."""
    return lambda folder, token: tool.forget(folder)


def _prepare(bench: Bench, tool: Tool, folder: Path, graph: CommandGraph, *, is_built: bool) -> None:
    spec = json.dumps([dict(graph.sources), [[s.name, s.inputs, s.run] for s in graph.stages]])
    once(folder, spec, graph.write_sources, lambda folder: tool.write(folder, graph))
    if not is_built:
        return
    if isinstance(tool, Dvc) and bench.is_full and not (folder / "dvc.lock").exists():
        tool.pretend_built(folder, graph)
    measure(tool.build(), folder, bench.env)
