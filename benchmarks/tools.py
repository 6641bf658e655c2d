"""Build tools, each given the same graph of commands: its files, its command lines, what ran, what came out."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.graphs import CommandGraph, Stage
from benchmarks.measure import Measured

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Tool:
    """A tool that works in a project's folder and is found on PATH."""

    name: str = field(default="", init=False)
    made: Sequence[str] = field(default=(), init=False)  # what it keeps, beside the outputs
    most_stages: int = field(default=10_000, init=False)  # beyond these a run takes minutes
    plans: bool = field(default=True, init=False)
    program: str = ""

    def version(self) -> str:
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False)
        return next(iter(re.findall(r"\d+(?:\.\d+)+", done.stdout)), "?")

    def write(self, folder: Path, graph: CommandGraph) -> None:
        raise NotImplementedError

    def build(self, jobs: int | None = None) -> list[str]:
        raise NotImplementedError

    def plan(self) -> list[str]:
        raise NotImplementedError

    def ran(self, measured: Measured) -> int:
        """How many stages ran, by the tool's own word."""
        raise NotImplementedError

    def outputs(self, folder: Path, graph: CommandGraph) -> dict[str, Path]:
        """The file of each stage."""
        return graph.outputs(folder)

    def forget(self, folder: Path) -> None:
        """Nothing was ever built here."""
        for name in (*self.made, "out"):
            remove(folder / name)
        (folder / "out").mkdir()


class Spark(Tool):
    """Its program is a Python interpreter that finds spark's libraries."""

    name = "spark"
    made = (".spark", "Sparkfile.lock")

    @property
    def command(self) -> list[str]:
        return [self.program, "-m", "spark_build"]

    def version(self) -> str:
        from spark_build import __version__

        return __version__

    def write(self, folder: Path, graph: CommandGraph) -> None:
        lines = ["version: 1", "project: speed", "targets:"]
        for stage in graph.stages:
            letters = {name: chr(ord("a") + n) for n, name in enumerate(stage.inputs)}
            places = [f"{{inputs.{a}}}" + _file_in(graph, name) for name, a in letters.items()]
            run = stage.run.replace("{out}", "{output}/" + stage.file)
            for n, place in enumerate(places):
                run = run.replace(f"{{{n}}}", place)
            inputs = {a: _reference(graph, name) for name, a in letters.items()}
            recipe = {"use": "command", "with": {"run": run, **({"inputs": inputs} if inputs else {})}}
            lines.append(f"  {stage.name}: {{recipe: {json.dumps(recipe)}}}")
        (folder / "Sparkfile.yaml").write_text("\n".join(lines) + "\n")

    def build(self, jobs: int | None = None) -> list[str]:
        return [*self.command, "build", "--json", *([] if jobs is None else ["--jobs", str(jobs)])]

    def plan(self) -> list[str]:
        return [*self.command, "plan"]

    def ran(self, measured: Measured) -> int:
        events = map(json.loads, measured.out.splitlines())
        return sum(e["event"] == "stage" and e["outcome"] == "ran" for e in events)

    def outputs(self, folder: Path, graph: CommandGraph) -> dict[str, Path]:
        files = stored_files(folder)
        return {s.name: files[f"model:{s.name}/train"][f"model/{s.file}"] for s in graph.stages}


def stored_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Of each stage of a built project: path in its result -> the object that holds the file.

    From the lock and the store's files alone: asking spark would touch the caches of the next round.
    """
    lock = tomllib.loads((folder / "Sparkfile.lock").read_text())
    return {stage: dict(_listed(folder, block["output"])) for stage, block in lock["stages"].items()}


def _listed(folder: Path, tree: str) -> Iterator[tuple[str, Path]]:
    for path, _, digest, _ in json.loads(_object(folder, tree).read_bytes()):
        yield path, _object(folder, digest)


def _object(folder: Path, digest: str) -> Path:
    return folder / ".spark/objects" / digest[:2] / digest[2:]


def _reference(graph: CommandGraph, name: str) -> str:
    return graph.path_of(name) if name in graph.sources else f"model:{name}"


def _file_in(graph: CommandGraph, name: str) -> str:
    return "" if name in graph.sources else f"/{name}.txt"


class Ninja(Tool):
    name = "ninja"
    made = (".ninja_log", ".ninja_deps")

    def write(self, folder: Path, graph: CommandGraph) -> None:
        lines = ["rule run", "  command = $cmd"]
        for stage in graph.stages:
            lines.append(
                f"build {graph.path_of(stage.name)}: run {' '.join(map(graph.path_of, stage.inputs))}"
            )
            lines.append(f"  cmd = {graph.command(stage).replace('$', '$$')}")
        (folder / "build.ninja").write_text("\n".join(lines) + "\n")

    def build(self, jobs: int | None = None) -> list[str]:
        return [self.program, "-v", *([] if jobs is None else ["-j", str(jobs)])]

    def plan(self) -> list[str]:
        return [self.program, "-n", "-v"]

    def ran(self, measured: Measured) -> int:
        return len(re.findall(r"^\[\d+/\d+\]", measured.out, re.MULTILINE))


class Make(Tool):
    name = "make"

    def write(self, folder: Path, graph: CommandGraph) -> None:
        files = " ".join(graph.path_of(stage.name) for stage in graph.stages)
        lines = ["MAKEFLAGS += -rR", f"all: {files}"]
        for stage in graph.stages:
            lines.append(f"{graph.path_of(stage.name)}: {' '.join(map(graph.path_of, stage.inputs))}")
            lines.append("\t" + graph.command(stage).replace("$", "$$"))
        (folder / "Makefile").write_text("\n".join(lines) + "\n")

    def build(self, jobs: int | None = None) -> list[str]:
        return [self.program, *([] if jobs is None else ["-j", str(jobs)])]

    def plan(self) -> list[str]:
        return [self.program, "-n"]

    def ran(self, measured: Measured) -> int:
        return sum(not line.startswith("make") for line in measured.out.splitlines())


class Doit(Tool):
    name = "doit"
    made = (".doit.db", ".doit.db.dat", ".doit.db.dir", ".doit.db.bak", ".doit.db.db")
    plans = False

    def write(self, folder: Path, graph: CommandGraph) -> None:
        tasks = [
            {
                "name": stage.name,
                "actions": [graph.command(stage)],
                "file_dep": [graph.path_of(name) for name in stage.inputs],
                "targets": [graph.path_of(stage.name)],
                **({} if stage.inputs else {"uptodate": [True]}),
            }
            for stage in graph.stages
        ]
        text = f"TASKS = {tasks!r}\n\n\ndef task_stage():\n    yield from TASKS\n"
        (folder / "dodo.py").write_text(text)

    def build(self, jobs: int | None = None) -> list[str]:
        return [self.program, "run", *([] if jobs is None else ["-n", str(jobs)])]

    def ran(self, measured: Measured) -> int:
        return sum(line.startswith(".  ") for line in measured.out.splitlines())


class Snakemake(Tool):
    name = "snakemake"
    made = (".snakemake",)
    most_stages = 1000

    def write(self, folder: Path, graph: CommandGraph) -> None:
        files = [graph.path_of(stage.name) for stage in graph.stages]
        rules = [f"rule all:\n    input: {files!r}\n", *(self._rule(graph, s) for s in graph.stages)]
        (folder / "Snakefile").write_text("\n".join(rules))

    def _rule(self, graph: CommandGraph, stage: Stage) -> str:
        inputs = [graph.path_of(name) for name in stage.inputs]
        lines = [f"rule {stage.name.replace('-', '_')}:"]
        if inputs:
            lines.append(f"    input: {inputs!r}")
        lines.append(f"    output: {graph.path_of(stage.name)!r}")
        lines.append(f"    shell: {graph.command(stage)!r}")
        return "\n".join(lines) + "\n"

    def build(self, jobs: int | None = None) -> list[str]:
        return [self.program, "--cores", str(jobs or os.cpu_count() or 1)]

    def plan(self) -> list[str]:
        return [self.program, "--cores", "1", "--dry-run"]

    def ran(self, measured: Measured) -> int:
        return len(re.findall(r"^(?:local)?rule (?!all:)\w+:$", measured.err, re.MULTILINE))


def plain_python(where: Path) -> str:
    """An interpreter that sees this one's libraries, but runs none of what their `.pth` files ask for.

    Those of an editable install, of coverage or of a company's proxy cost every Python on this machine up to 50 ms, a
    plain installation of spark doesn't have them, and the other tools may or may not: they would blur what is compared.
    """
    python = where / "bin/python"
    if not python.exists():
        venv.create(where, symlinks=True)
        own = sysconfig.get_path("purelib", vars={"base": str(where)})
        libraries = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        Path(own, "libraries.pth").write_text("\n".join(libraries) + "\n")
    return str(python)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def environment(home: Path) -> Mapping[str, str]:
    """Settings and caches of the user's own stay out of it.

    Of Python's variables too: where bytecode may not be kept, each run compiles what it imports.
    """
    own = ("DVC_", "GIT_", "SNAKEMAKE_", "MAKE", "NINJA_", "PYTHON")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(own)},
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "NO_COLOR": "1",
    }  # fmt: skip
