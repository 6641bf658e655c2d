"""ARCHITECTURE.md from the files themselves: `python -m tools.architecture` writes it, a test compares."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """\
# Architecture

One line per file, taken from its first line by `python -m tools.architecture`. How the parts work together
stands in [docs/design.md](docs/design.md); which of them may import which, in `[tool.importlinter]` of
pyproject.toml.
"""
FOLDERS = {
    ".": "The repository",
    "docs": "For users and developers",
    "sparkfile_schema": "Reads and checks a Sparkfile; imports nothing of spark_build",
    "spark_build": "The tool",
    "spark_build/cli": "Arguments in, text and exit code out",
    "spark_build/app": "Wires the parts together, and it alone; the Python API",
    "spark_build/pipeline": "Sparkfile to graph: the one place that knows the order of stages",
    "spark_build/report": "Plans, records and events as text",
    "spark_build/report/dataset": "A page about a dataset",
    "spark_build/engine": "Graph, actions, plan and build; knows no machine learning",
    "spark_build/storage": "The local store",
    "spark_build/executors": "Runs actions in processes of their own",
    "spark_build/stages": "What a worker does, per kind of stage",
    "spark_build/sources": "Leaves: where records come from",
    "spark_build/transforms": "Leaves: one item in, any number out",
    "spark_build/gates": "Leaves: what items have to pass",
    "spark_build/versioning": "Leaves: a dataset's card and metadata",
    "spark_build/recipes": "Leaves: how models are trained",
    "spark_build/metrics": "Leaves: figures of a model",
    "spark_build/packaging": "Leaves: exporters",
    "spark_build/serving": "Leaves: servers, and the runtime that keeps them as asked for",
    "spark_build/modalities": "A shelf of parts for leaves",
    "spark_build/modalities/text": "The shelf for text",
    "spark_build/training": "A shelf of parts for recipes and metrics",
    "spark_build/contract": "All that the author of a rule sees",
    "spark_build/core": "Digests, trees, records, ports, errors",
    "examples": "Projects to try and to copy from",
    "tests": "Tests, in folders named as what they test",
    "benchmarks": "What measures speed",
    "tools": "What developers run by hand",
}
_CODE = ("docs", "sparkfile_schema", "spark_build", "examples", "tests", "benchmarks", "tools")
_SUFFIXES = (".py", ".md", ".yaml", ".jinja")
_HIDDEN = (".ci/run", ".gitignore", ".pre-commit-config.yaml")
_GENERATED = ("build", "dist")


def rendered(root: Path = ROOT) -> str:
    """The whole of ARCHITECTURE.md."""
    folders: dict[str, list[str]] = {}
    for path in files(root):
        folders.setdefault(path.parent.relative_to(root).as_posix(), []).append(_line(path, root))
    order = {folder: place for place, folder in enumerate(FOLDERS)}
    chapters = sorted(folders, key=lambda folder: (_place(folder, order), folder))
    return "\n".join([INTRODUCTION, *(_chapter(folder, folders[folder]) for folder in chapters)])


def files(root: Path) -> Iterator[Path]:
    """All that a developer opens: not caches, not data of tests, no empty `__init__.py`."""
    for path in sorted(root.iterdir()):
        is_shown = not path.name.startswith(".") and path.name != "ARCHITECTURE.md"
        if path.is_file() and is_shown and not path.name.startswith("Sparkfile"):
            yield path
    yield from (root / name for name in _HIDDEN if (root / name).exists())
    for folder in _CODE:
        for path in sorted((root / folder).rglob("*")):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
            if path.is_file() and path.suffix in _SUFFIXES and path.stat().st_size and not hidden:
                yield path


def first_line(path: Path) -> str:
    """What a file says of itself: a docstring's first line, a heading, the first comment; or ''."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    lines = text.splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    return comments[0].removeprefix("# ") if comments else ""


def _line(path: Path, root: Path) -> str:
    told = first_line(path) or _TOLD.get(path.relative_to(root).as_posix(), "")
    return f"- `{path.name}`" + (f" {told}" if told else "")


_TOLD = {
    "LICENSE": "Apache-2.0",
    "pyproject.toml": "Package, extras, and the settings of ruff, mypy, pytest and import-linter",
    ".gitignore": "What git leaves alone",
}


def _chapter(folder: str, lines: list[str]) -> str:
    told = f"{FOLDERS[folder]}\n\n" if FOLDERS.get(folder) and folder != "." else ""
    title = FOLDERS["."] if folder == "." else f"{folder}/"
    return f"## {title}\n{told}" + "\n".join(lines) + "\n"


def _place(folder: str, order: dict[str, int]) -> int:
    """A folder without a text of its own stands with its nearest parent that has one."""
    while folder not in order and "/" in folder:
        folder = folder.rpartition("/")[0]
    return order.get(folder, 0)


if __name__ == "__main__":
    (ROOT / "ARCHITECTURE.md").write_text(rendered(), encoding="utf-8")
