"""Writes Python's own documentation as JSON lines: plain text, or pairs of question and answer.

One file per module, so that whole source files can be held out. Sources are parsed, never imported or run.
Usage: read_docs.py text|pairs FOLDER
"""

import ast
import json
import pydoc_data.topics
import sys
import sysconfig
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

SKIPPED = {"test", "tests", "idlelib", "site-packages", "__pycache__", "lib2to3", "pydoc_data", "turtledemo"}
SHORTEST = 40  # characters of a docstring that says something
MOST_PER_MODULE = 400
# packages of several source files: what a docstring is about can be told on files that were held out
TOPICS = {
    "asyncio", "ctypes", "distutils", "email", "encodings", "http", "importlib", "json", "language reference",
    "logging", "multiprocessing", "tkinter", "unittest", "urllib", "wsgiref", "xml",
}  # fmt: skip


def main(form: str, folder: str) -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    rows_of = {"text": text_rows, "pairs": pair_rows}[form]
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted(library.rglob("*.py")):
        name = file.relative_to(library).with_suffix("")
        if not SKIPPED & set(name.parts) and not name.name.startswith("_test"):
            write(target, ".".join(name.parts), rows_of(".".join(name.parts), file))
    if form == "text":
        for topic, text in sorted(pydoc_data.topics.topics.items()):
            write(
                target,
                f"topic-{topic}",
                iter([text_row(text.strip(), "language reference", f"topic {topic}")]),
            )


def write(target: Path, name: str, rows: Iterator[dict[str, str]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows][:MOST_PER_MODULE]
    if lines:
        (target / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def text_rows(module: str, file: Path) -> Iterator[dict[str, str]]:
    for _, _, _, text in documented(module, file):
        yield text_row(text, module.partition(".")[0], module)


def text_row(text: str, package: str, module: str) -> dict[str, str]:
    return {"text": text, "module": module, **({"topic": package} if package in TOPICS else {})}


def pair_rows(module: str, file: Path) -> Iterator[dict[str, str]]:
    for name, kind, signature, text in documented(module, file):
        if kind != "module":
            first = text.split("\n\n")[0]
            question = f"What does the {kind} {name}{signature} do?"
            yield {"question": question, "answer": first, "module": module}


def documented(module: str, file: Path) -> Iterator[tuple[str, str, str, str]]:
    """Name, kind, signature and docstring of all that a source file documents."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    yield from _walk(tree, module, "module")


def _walk(node: ast.AST, name: str, kind: str) -> Iterator[tuple[str, str, str, str]]:
    text = ast.get_docstring(node, clean=False) if isinstance(node, DOCUMENTED) else None
    if text and len(cleandoc(text)) >= SHORTEST:
        yield name, kind, _signature(node), cleandoc(text)
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.ClassDef):
            yield from _walk(inner, f"{name}.{inner.name}", "class")
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(inner, f"{name}.{inner.name}", "method" if kind == "class" else "function")


def _signature(node: ast.AST) -> str:
    return f"({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

if __name__ == "__main__":
    main(*sys.argv[1:])
