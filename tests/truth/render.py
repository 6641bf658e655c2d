"""A Sparkfile's text from plain values, with the place of every value; comments, order and style as asked."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

Path = tuple[str | int, ...]
_TOP = ("version", "project")  # they stay first, whatever the order


@dataclass(frozen=True)
class Layout:
    """What has no meaning: each number draws another text of the same Sparkfile."""

    comments: int = 0
    spaces: int = 0
    order: int = 0


@dataclass
class Rendered:
    text: str
    places: dict[Path, str] = field(default_factory=dict)  # FILE:LINE:COLUMN of each value


def render(spec: dict[str, Any], layout: Layout) -> Rendered:
    work = _Render(layout)
    work.mapping(spec, (), 0)
    return Rendered("\n".join(work.lines) + "\n", work.places)


class _Render:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.lines: list[str] = []
        self.places: dict[Path, str] = {}
        self.indent = 2 + 2 * (layout.spaces % 2)

    def mapping(self, values: dict[str, Any], path: Path, column: int) -> None:
        for key in self._ordered(values, path):
            self._between((*path, key), column)
            self.places.setdefault(path, self._here(column))
            self.lines.append(" " * column + f"{_key(key)}:")
            self._value(values[key], (*path, key), column)

    def _value(self, value: Any, path: Path, column: int) -> None:
        """After `key:` or `-`, on the same line where it is flat."""
        if isinstance(value, dict) and value and not self._is_flat(value, path):
            self.mapping(value, path, column + self.indent)
        elif isinstance(value, list) and value and not self._is_flat(value, path):
            for index, item in enumerate(value):
                self._between((*path, index), column + self.indent)
                self.places.setdefault(path, self._here(column + self.indent))
                self.lines.append(" " * (column + self.indent) + "-")
                self._value(item, (*path, index), column + self.indent)
        else:
            self.lines[-1] += " "
            self._flat(value, path)
            if self._draws(path, "tail", self.layout.comments) == 1:
                self.lines[-1] += "  # why: so"

    def _flat(self, value: Any, path: Path) -> None:
        self.places[path] = f"Sparkfile.yaml:{len(self.lines)}:{len(self.lines[-1]) + 1}"
        if isinstance(value, dict):
            self._enclosed("{}", [(k, value[k]) for k in self._ordered(value, path)], path)
        elif isinstance(value, list):
            self._enclosed("[]", list(enumerate(value)), path)
        else:
            self.lines[-1] += _scalar(value)

    def _enclosed(self, ends: str, items: list[tuple[Any, Any]], path: Path) -> None:
        self.lines[-1] += ends[0]
        for number, (key, value) in enumerate(items):
            self.lines[-1] += (", " if number else "") + (f"{_key(key)}: " if ends == "{}" else "")
            self._flat(value, (*path, key))
        self.lines[-1] += ends[1]

    def _is_flat(self, value: Any, path: Path) -> bool:
        deep = any(isinstance(v, dict | list) for v in (value.values() if isinstance(value, dict) else value))
        return len(path) > 1 and not deep and self._draws(path, "flat", self.layout.spaces) < 2

    def _ordered(self, values: dict[str, Any], path: Path) -> list[str]:
        keys = sorted(values, key=lambda k: _draw(repr(path), k, str(self.layout.order)))
        return [k for k in _TOP if k in keys and not path] + [k for k in keys if path or k not in _TOP]

    def _between(self, path: Path, column: int) -> None:
        if len(path) > 1 and self._draws(path, "comment", self.layout.comments) == 0:
            self.lines.append(" " * column + f"# about {path[-1]}, note {self.layout.comments}")
        if len(path) > 1 and self._draws(path, "blank", self.layout.spaces) == 0:
            self.lines.append("")

    def _draws(self, path: Path, what: str, seed: int) -> int:
        return _draw(repr(path), what, str(seed)) % 5

    def _here(self, column: int) -> str:
        return f"Sparkfile.yaml:{len(self.lines) + 1}:{column + 1}"


def _draw(*words: str) -> int:
    return int.from_bytes(sha256("\0".join(words).encode()).digest()[:4], "big")


def _key(key: str) -> str:
    return key if key.replace("-", "_").isidentifier() else json.dumps(key)


def _scalar(value: Any) -> str:
    return json.dumps(value)
