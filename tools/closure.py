"""The code that a built-in rule can run: its module and all modules of spark_build that it imports, by digest.

Digests are taken over the syntax tree without docstrings, comments and descriptions of params: how code is
laid out, and what it says of itself, moves nothing.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest, digest_json

PACKAGE = "spark_build"
# `ctx` follows from the place of a name, `kind` says u"" or ""; neither does anything
_SAYS_NOTHING = ("ctx", "kind", "type_comment", "type_ignores")


@dataclass(frozen=True)
class Sources:
    """The package under `root`, as it lies on disk."""

    root: Path

    def closure(self, module: str) -> dict[str, Digest]:
        """Digest of `module` and of each module that it imports, by name; also imports within functions."""
        found: dict[str, Digest] = {}
        open_modules = [module]
        while open_modules:
            name = open_modules.pop()
            if name not in found:
                found[name] = self._code(name)
                open_modules += self._named_by(name)
        return dict(sorted(found.items()))

    def _code(self, module: str) -> Digest:
        return _read(self._source(module))[0]

    def _named_by(self, module: str) -> set[str]:
        """Modules that it imports or names in a string, and their packages, whose __init__ runs as well."""
        return {m for name in _read(self._source(module))[1] for m in self._modules(name)}

    def _modules(self, name: str) -> Iterator[str]:
        """The module that `name` stands for or lies in, and its packages; not spark_build itself."""
        parts = name.split(".")
        if parts[0] == PACKAGE:
            for length in range(2, len(parts) + 1):
                if self._file(module := ".".join(parts[:length])) is not None:
                    yield module

    def _source(self, module: str) -> bytes:
        file = self._file(module)
        if file is None:
            raise LookupError(f"BUG: there is no module {module} in {self.root}")
        return file.read_bytes()

    def _file(self, module: str) -> Path | None:
        place = self.root.joinpath(*module.split("."))
        files = (place.with_suffix(".py"), place / "__init__.py")
        return next((file for file in files if file.is_file()), None)


@cache
def _read(source: bytes) -> tuple[Digest, frozenset[str]]:
    """Digest of a module's code, and the names that it imports."""
    tree = ast.parse(source)
    _drop_type_checking(tree)
    return digest_json(_plain(tree)), frozenset(_names(tree))


def _names(tree: ast.AST) -> Iterator[str]:
    """What it imports, and strings that may name a module: `python -m spark_build.x` imports, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise LookupError(f"BUG: a relative import at line {node.lineno}; here it is `{PACKAGE}.…`")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_dotted(node.value):
            yield node.value


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _drop_type_checking(tree: ast.AST) -> None:
    """What stands under `if TYPE_CHECKING:` never runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]


def _plain(node: Any) -> Any:
    """The tree as JSON; the same under every Python that parses the file.

    `ast.dump` and `ast.unparse` are not: fields that are empty come and go with versions.
    """
    if isinstance(node, list):
        return [_plain(part) for part in node if not _is_docstring(part)]
    if isinstance(node, ast.Constant):
        return [type(node.value).__name__, repr(node.value)]
    if not isinstance(node, ast.AST):
        return None if node is None else str(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name not in _SAYS_NOTHING}
    if _is_param(node):
        fields["keywords"] = [k for k in fields["keywords"] if k.arg != "description"]
    return [type(node).__name__, {n: _plain(v) for n, v in fields.items() if v is not None and v != []}]


def _is_docstring(node: Any) -> bool:
    """A text that stands alone: of a module, class, function or attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_param(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field"
