"""The project as rules may ask about it. Every answer is noted, so that a cached graph knows when to ask again."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spark_build.core.digest import digest_file
from spark_build.core.globs import files_matching, is_match
from spark_build.core.values import Struct, field
from spark_build.storage.stats import kind_at, stat_line_at


class ProjectView(Struct):
    """Paths are relative to the Sparkfile's folder; implements `contract.Project`."""

    root: Path
    present: dict[str, str] = field(default_factory=dict)  # 'absent', 'file', 'folder' or 'other'
    globs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    globbed: set[str] = field(default_factory=set)  # patterns asked for since somebody last cleared it
    sources: dict[str, str] = field(default_factory=dict)  # Python files that were read, by digest
    installed: dict[str, str | None] = field(
        default_factory=dict
    )  # files of rules that packages bring, by stat
    _imports: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each of them: project files

    def exists(self, path: str) -> bool:
        return self._kind(path) != "absent"

    def is_file(self, path: str) -> bool:
        return self._kind(path) == "file"

    def glob(self, pattern: str) -> tuple[str, ...]:
        self.globbed.add(pattern)
        self.globs[pattern] = found = files_matching(self.root, pattern)
        return found

    def digest(self, path: str) -> str | None:
        if not self.is_file(path):
            return None
        name = Path(path).as_posix()
        if name not in self.sources:
            self.sources[name] = digest_file(self.root / name)
        return self.sources[name]

    def _kind(self, path: str) -> str:
        if path not in self.present:
            self.present[path] = kind_at(os.path.join(self.root, path))
        return self.present[path]

    def python_closure(self, path: str) -> tuple[str, ...]:
        """`path` and the project files that it imports, found beside it or from the project's root."""
        found: set[str] = set()
        waiting = [Path(path).as_posix()]
        while waiting:
            current = waiting.pop()
            if current in found or not self.is_file(current):
                continue
            found.add(current)
            if current not in self._imports:
                self.sources[current] = digest_file(self.root / current)
                self._imports[current] = tuple(self._imported_by(current))
            waiting += self._imports[current]
        return tuple(sorted(found))

    def _imported_by(self, path: str) -> Iterator[str]:
        try:
            tree = ast.parse((self.root / path).read_bytes(), path)
        except (SyntaxError, ValueError):
            return  # it will say so itself when it runs
        beside = Path(path).parent
        for name, level in _imports(tree):
            for base in _search(beside, level):
                yield from self._files_of(base, name)

    def _files_of(self, base: Path, name: str) -> Iterator[str]:
        """Candidates for `import name` from `base`: the module and the packages above it."""
        parts = name.split(".") if name else []
        above = [] if base == Path() else [base.as_posix()]
        for length in range(len(parts) + 1):
            stem = "/".join([*above, *parts[:length]])
            for text in ([f"{stem}.py"] if length else []) + [
                f"{stem}/__init__.py" if stem else "__init__.py"
            ]:
                if not text.startswith("..") and self.exists(text):
                    yield text

    def below(self, folder: str) -> "ProjectView":
        """The project of an included Sparkfile."""
        return ProjectView(self.root / folder)

    def note_installed(self, file: str) -> None:
        """A package's rule may be edited where it lies, and states another revision then."""
        self.installed[file] = stat_line_at(file)

    def to_json(self) -> dict[str, Any]:
        return {
            "present": self.present,
            "globs": self.globs,
            "sources": self.sources,
            "installed": self.installed,
        }


class PinnedView(ProjectView, Struct):
    """The project as if every path that the lock pins were there."""

    pinned: tuple[str, ...] = ()

    def below(self, folder: str) -> "PinnedView":
        prefix = f"{folder}/"
        own = (path.removeprefix(prefix) for path in self.pinned if path.startswith(prefix))
        return PinnedView(self.root / folder, pinned=tuple(own))

    def exists(self, path: str) -> bool:
        name = Path(path).as_posix()
        is_pinned = any(pin == name or pin.startswith(f"{name}/") for pin in self.pinned)
        return is_pinned or super().exists(path)

    def glob(self, pattern: str) -> tuple[str, ...]:
        self.globbed.add(pattern)
        self.globs[pattern] = found = tuple(
            sorted({*files_matching(self.root, pattern), *(p for p in self.pinned if is_match(p, pattern))})
        )
        return found


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every imported name with its level; `from a import b` may mean the module a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = node.module or ""
            yield prefix, node.level
            yield from (((f"{prefix}.{a.name}" if prefix else a.name), node.level) for a in node.names)


def _search(beside: Path, level: int) -> list[Path]:
    if level == 0:
        return [beside] if beside == Path() else [beside, Path()]
    base = beside
    for _ in range(level - 1):
        base = base.parent
    return [base]
