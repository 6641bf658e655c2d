"""Golden cases: for each built-in rule small fixed inputs, and what it gives for them.

`python -m tests.golden FILE` runs the cases of `FILE_cases.py`; tools/revisions.py compares what they give with
`tests/golden/<family>.json`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

FILES = ("data", "models", "packages")  # run side by side, each in a process of its own


@dataclass(frozen=True)
class Golden:
    """What a rule gave: `exact` parts are kept by digest, `figures` as numbers and compared within a tolerance.

    Figures are for what a float32 sum shapes: its last bits hang on the processor and on torch's build.
    """

    exact: Mapping[str, Any]  # part -> JSON
    figures: Mapping[str, float] = field(default_factory=dict)


Case = Callable[[Path], Golden]  # is given an empty folder
Named = tuple[str, str]  # family and rule; of a stage's runner 'stage' and its kind
_cases: dict[Named, Case] = {}


def golden(family: str, rule: str) -> Callable[[Case], Case]:
    """Marks the one case of a rule."""

    def mark(case: Case) -> Case:
        if (family, rule) in _cases:
            raise ValueError(f"{family}/{rule} has two golden cases")
        _cases[family, rule] = case
        return case

    return mark


def cases(file: str) -> dict[Named, Case]:
    """The cases of `FILE_cases.py`; importing it loads no heavy library."""
    module = import_module(f"tests.golden.{file}_cases").__name__
    return {named: case for named, case in _cases.items() if case.__module__ == module}


def rule_of(family: str, name: str) -> Any:
    from spark_build.rulebook import find

    return find(family, name, Path.cwd()).rule


def told(verdict: Any) -> dict[str, Any]:
    """A verdict as JSON; evidence only where there is some."""
    from spark_build.core.values import asdict

    return {name: value for name, value in asdict(verdict).items() if name != "detail" or value}


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class Heard:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.metrics: list[tuple[str, float, int | None]] = []
        self.notes: dict[str, Any] = {}

    def progress(self, done: int, total: int | None, unit: str = "items") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.metrics.append((name, value, step))

    def log(self, text: str) -> None: ...

    def checkpoint(self, step: int) -> None: ...

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = value
