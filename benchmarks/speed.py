"""spark beside the build tools that are installed: the same workloads, in turns, CPU seconds over whole process trees.

    python -m benchmarks.speed [--only change --only cutoff] [--tools spark,ninja] [--scale small]

Each tool works in a folder of its own on files of the same content. After each round what came out is compared byte by
byte, and the stages that ran are counted. The exit code is 1 where something came out wrong; a figure that is missed is
told. Sizes are those of docs/measurements.md, or small ones that show that everything works.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from benchmarks import report
from benchmarks.dvc import Dvc
from benchmarks.file_workloads import file_workloads
from benchmarks.graph_workloads import Bench, graph_workloads
from benchmarks.item_workload import item_workload
from benchmarks.rounds import Contender, Outcome, Workload, run_rounds
from benchmarks.tools import Doit, Make, Ninja, Snakemake, Spark, Tool, environment, plain_python

TOOLS: tuple[type[Tool], ...] = (Spark, Ninja, Make, Doit, Snakemake, Dvc)


def main(words: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(words)
    with tempfile.TemporaryDirectory(prefix="spark-speed-") as scratch:
        where = (options.keep or Path(scratch)).resolve()
        (where / "home").mkdir(parents=True, exist_ok=True)
        bench = _bench(options, where)
        versions = {tool.name: tool.version() for tool in bench.tools}
        print(*report.who(versions, options.tools.split(",")), sep="\n")
        print("median (least – most) of the rounds; 'spark 2.00 ×': spark takes twice as long as this one")
        outcomes = list(_outcomes(options, bench))
    report.save(outcomes, versions, options.json, options.markdown)
    return int(any(outcome.wrong for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rounds-slow", type=int, default=1, help="of what takes more than 5 s a round")
    parser.add_argument(
        "--only", action="append", metavar="WORKLOAD", default=[], help="a name, or a pattern: '*-folder'"
    )
    parser.add_argument("--list", action="store_true", help="the workloads' names, and nothing is run")
    parser.add_argument("--scale", choices=["small", "full"], default="full")
    parser.add_argument("--tools", default=",".join(tool.name for tool in TOOLS), help="default: %(default)s")
    parser.add_argument(
        "--tool-path", type=Path, help="a folder of programs that is looked through before PATH"
    )
    parser.add_argument(
        "--python",
        metavar="PROGRAM",
        help="what spark runs in (default: this Python and its libraries, without their `.pth` hooks)",
    )
    parser.add_argument(
        "--slow", action="store_true", help="also what takes minutes: DVC's first build of 1,000 stages"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="makes the workloads there, and finds them again"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser


def _bench(options: argparse.Namespace, where: Path) -> Bench:
    python = options.python or plain_python(where / "python")
    return Bench(
        where,
        environment(where / "home"),
        python,
        list(_found(options.tools.split(","), python, options.tool_path)),
        is_full=options.scale == "full",
        with_slow=options.slow,
    )


def _found(names: Sequence[str], python: str, tool_path: Path | None) -> Iterator[Tool]:
    for kind in TOOLS:
        if kind.name not in names:
            continue
        program = python if kind is Spark else None
        if tool_path is not None:
            program = program or shutil.which(kind.name, path=str(tool_path.resolve()))
        if program := program or shutil.which(kind.name):
            yield kind(program)


def _outcomes(options: argparse.Namespace, bench: Bench) -> Iterator[Outcome]:
    session = f"{time.time_ns():x}"
    for workload in workloads(bench):
        if options.only and not any(fnmatch(workload.name, pattern) for pattern in options.only):
            continue
        if options.list:
            print(f"{workload.name:28} {workload.title}")
            continue
        outcome = run_rounds(workload, bench.env, session, options.rounds, options.rounds_slow)
        print("", *report.table(outcome), sep="\n", flush=True)
        yield outcome


def workloads(bench: Bench) -> Iterator[Workload]:
    yield _start(bench)
    yield from graph_workloads(bench)
    yield from file_workloads(bench)
    yield item_workload(bench)


def _start(bench: Bench) -> Workload:
    folder = bench.folder("start", "all")
    contenders = [Contender("python -c pass", [bench.python, "-c", "pass"], folder)]
    for tool in bench.tools:
        program = tool.command if isinstance(tool, Spark) else [tool.program]
        contenders.append(Contender(tool.name, [*program, "--version"], folder))
    return Workload("version", "`--version`", contenders, bench.asked(0.03))


if __name__ == "__main__":
    raise SystemExit(main())
