"""Graphs of shell commands that every build tool can run: the same files, the same commands, for all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCES, OUTPUTS = "sources", "out"


@dataclass(frozen=True)
class Stage:
    name: str
    inputs: tuple[str, ...]  # names of sources and of stages
    run: str  # a shell command; {0}, {1} … are its inputs' paths, {out} its own file

    @property
    def file(self) -> str:
        return f"{self.name}.txt"


@dataclass(frozen=True)
class CommandGraph:
    sources: Mapping[str, str]  # name -> text
    stages: tuple[Stage, ...]  # each behind those that it reads

    def path_of(self, name: str) -> str:
        """Where a tool that writes into the project's folder has it."""
        return f"{SOURCES}/{name}" if name in self.sources else f"{OUTPUTS}/{name}.txt"

    def command(self, stage: Stage) -> str:
        return stage.run.format(*map(self.path_of, stage.inputs), out=self.path_of(stage.name))

    def write_sources(self, folder: Path) -> None:
        for part in (SOURCES, OUTPUTS):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for name, text in self.sources.items():
            (folder / SOURCES / name).write_text(text)

    def outputs(self, folder: Path) -> dict[str, Path]:
        return {stage.name: folder / OUTPUTS / stage.file for stage in self.stages}


def layered(stages: int, layers: int) -> CommandGraph:
    """Layers of equal width; each stage merges two files of the layer before it, sorted, without repeats."""
    width = stages // layers
    sources = {f"{n}.txt": f"line {n}\n" for n in range(width)}

    def before(layer: int, n: int) -> str:
        return f"{n % width}.txt" if layer == 0 else f"s-{layer - 1}-{n % width}"

    return CommandGraph(
        sources,
        tuple(
            Stage(f"s-{layer}-{n}", (before(layer, n), before(layer, n + 1)), "sort -u {0} {1} > {out}")
            for layer in range(layers)
            for n in range(width)
        ),
    )


def triangle(width: int) -> CommandGraph:
    """`width` layers of as many stages; a change of source 0 reaches one stage of the first layer, two of the second …

    So 55 of 100 run where width is 10. The first layer takes its source's first line alone, all others copy what one
    stage before them wrote: a change of the first line changes all 55, a change of the second line none but the first.
    """

    def stage(layer: int, n: int) -> Stage:
        if layer == 0:
            return Stage(f"t-0-{n}", (f"{n}.txt",), "head -n 1 {0} > {out}")
        return Stage(f"t-{layer}-{n}", (f"t-{layer - 1}-{max(n - 1, 0)}",), "cp {0} {out}")

    sources = {f"{n}.txt": triangle_source(n) for n in range(width)}
    return CommandGraph(sources, tuple(stage(layer, n) for layer in range(width) for n in range(width)))


def triangle_source(n: int, first: str = "first", second: str = "second") -> str:
    return f"{first} line of {n}\n{second} line of {n}\n"


def independent(count: int, seconds: float) -> CommandGraph:
    return CommandGraph({}, tuple(_sleep(f"w-{n}", (), seconds) for n in range(count)))


def critical_path(length: int, others: int, seconds: float) -> CommandGraph:
    """A chain, declared last, and stages that nobody waits for: quick only where the chain begins at once."""
    chain = [f"z-{n}" for n in range(length)]
    return CommandGraph(
        {},
        (
            *(_sleep(f"a-{n}", (), seconds) for n in range(others)),
            *(_sleep(name, tuple(chain[n - 1 : n] if n else ()), seconds) for n, name in enumerate(chain)),
        ),
    )


def _sleep(name: str, inputs: tuple[str, ...], seconds: float) -> Stage:
    return Stage(name, inputs, f"sleep {seconds:g} && echo {name} > {{out}}")


def shell_script(graph: CommandGraph) -> Iterator[str]:
    yield from (graph.command(stage) for stage in graph.stages)
