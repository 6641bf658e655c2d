"""Asks a node for what should stand there; where it doesn't, notes the problem and answers None."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from sparkfile_schema.address import Parts, parse_address
from sparkfile_schema.advice import Wanted, type_advice
from sparkfile_schema.keys import NAME_PATTERN, NOUNS
from sparkfile_schema.nodes import Map, Node, Scalar, Sequence, Unreadable
from sparkfile_schema.overlay import known_names
from sparkfile_schema.problems import MOST_PROBLEMS, Position, Problem
from sparkfile_schema.scalars import shown
from sparkfile_schema.suggest import did_you_mean

if TYPE_CHECKING:
    from sparkfile_schema.matrix import Matrix

MOST_VALUES_MADE = 500_000
NAME = re.compile(NAME_PATTERN)
_LONGEST_NAME = 200
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MEMORY = re.compile(r"[0-9]+(?:\.[0-9]+)?\s*(?:[KMGT]i?B)")


class TooManyError(Exception):
    """More problems than anyone reads; what was found so far is told."""


class Part(Struct, frozen=True):
    """A node where it stands: `what` names it in messages, as in "gate 'near-dup'"."""

    node: Node
    path: tuple[str | int, ...]
    key_at: Position
    what: str

    @property
    def at(self) -> Position:
        return self.node.at

    def child(self, step: str | int, node: Node, key_at: Position, what: str) -> Part:
        return Part(node, (*self.path, step), key_at, what)

    def called(self, what: str) -> Part:
        return Part(self.node, self.path, self.key_at, what)

    @property
    def is_empty(self) -> bool:
        return isinstance(self.node, Scalar) and self.node.value is None

    @property
    def is_map(self) -> bool:
        return isinstance(self.node, Map)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, Sequence)

    @property
    def value(self) -> str | int | float | bool | None:
        return self.node.value if isinstance(self.node, Scalar) else None


class Reader(Struct):
    """Collects the problems of one pass."""

    whole_file: Position
    names: Mapping[str, tuple[str, ...]]  # of datasets, gates and so on, as the file has them
    matrices: dict[str, Mapping[str, Matrix]] = field(default_factory=dict)  # section -> name -> its members
    problems: dict[Problem, None] = field(
        default_factory=dict
    )  # a recipe is read once for each of its targets
    values_made: int = 0

    def spend(self) -> None:
        """Counts a value that is made; many targets over one large recipe multiply."""
        self.values_made += 1
        if self.values_made > MOST_VALUES_MADE:
            fix = "keep data out of the Sparkfile"
            self.problem(
                self.whole_file, f"aliases and recipes make more than {MOST_VALUES_MADE} values", fix
            )
            raise TooManyError

    def problem(self, at: Position, message: str, fix: str) -> None:
        self.problems[Problem(at, message, fix)] = None
        if len(self.problems) >= MOST_PROBLEMS:
            raise TooManyError

    def expected(self, part: Part, wanted: str, fix: str) -> None:
        if not isinstance(part.node, Unreadable):
            self.problem(part.at, f"{part.what} has to be {wanted}, not {_described(part.node)}", fix)

    # -- collections -------------------------------------------------------------------------------

    def mapping(self, part: Part, fix: str = "write keys and values, as in {key: value}") -> dict[str, Part]:
        """The entries of a mapping; none where nothing stands."""
        if isinstance(part.node, Map):
            return {
                key: part.child(key, entry.node, entry.key_at, _called(key, part))
                for key, entry in part.node.entries.items()
            }
        self.check_mapping(part, fix)
        return {}

    def check_mapping(self, part: Part, fix: str) -> None:
        if not part.is_map and not part.is_empty:
            self.expected(part, "a mapping", fix)

    def section(self, part: Part, keys: Mapping[str, str], required: Iterable[str] = ()) -> dict[str, Part]:
        """The entries of a mapping with known keys; unknown and missing ones are problems."""
        entries = self.mapping(part)
        for key, entry in entries.items():
            if key not in keys:
                self.unknown_key(entry.key_at, key, part.what, keys)
        self.check_required(part, required, {key: f"add {key}: …" for key in required}, keys)
        return {key: entry for key, entry in entries.items() if key in keys}

    def unknown_key(
        self, at: Position, key: str, what: str, keys: Iterable[str], fix: str | None = None
    ) -> None:
        self.problem(at, f"unknown key {shown(key)} in {what}", fix or known_names(key, keys, "keys"))

    def check_required(
        self, part: Part, required: Iterable[str], fixes: Mapping[str, str], keys: Iterable[str]
    ) -> None:
        """Tells which keys are missing, but not those that an unknown key was meant to be."""
        there = tuple(part.node.entries) if isinstance(part.node, Map) else ()
        missing = [key for key in required if key not in there]
        if not missing or not (part.is_map or part.is_empty):
            return
        meant = {did_you_mean(key, keys) for key in there[:100] if key not in keys}
        for key in missing:
            if key not in meant:
                at = part.at if part.path else self.whole_file
                self.problem(at, f"missing key {shown(key)} in {part.what}", fixes[key])

    def named(self, part: Part, noun: str) -> Iterator[Part]:
        """The entries of a mapping whose keys are names of the user's own; `key` is the last of the path."""
        for name, entry in self.mapping(part).items():
            if self.is_name(name, entry.key_at, noun):
                yield entry.called(f"{noun} {shown(name)}")

    def items(self, part: Part, fix: str = "write a list, as in [a, b]") -> list[Part]:
        """The items of a list; none where nothing stands."""
        if isinstance(part.node, Sequence):
            return [part.child(i, node, node.at, part.what) for i, node in enumerate(part.node.items)]
        if not part.is_empty:
            self.expected(part, "a list", fix)
        return []

    # -- scalars -----------------------------------------------------------------------------------

    def text(self, part: Part) -> str | None:
        node = part.node
        if isinstance(node, Scalar) and isinstance(node.value, str):
            if node.names_secret:
                self.problem(
                    part.at, f"{part.what} can't hold a secret", "a secret stands only under 'with:'"
                )
                return None
            if node.value:
                return node.value
            self.problem(part.at, f"{part.what} is empty", "write its text, or remove the key")
            return None
        self.expected(part, "text", _advice(part, "text") or "write its text")
        return None

    def integer(self, part: Part, least: int) -> int | None:
        value = part.value
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self.expected(
            part, f"a whole number from {least}", _advice(part, "number") or f"write {least} or more"
        )
        return None

    def number(self, part: Part) -> float | None:
        value = part.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        self.expected(part, "a number", _advice(part, "number") or "write a number such as 0.5")
        return None

    def flag(self, part: Part) -> bool | None:
        if isinstance(part.value, bool):
            return part.value
        self.expected(part, "true or false", _advice(part, "boolean") or "write true")
        return None

    def choice(self, part: Part, allowed: tuple[str, ...]) -> str | None:
        if isinstance(part.value, str) and part.value in allowed:
            return part.value
        meant = did_you_mean(str(part.value), allowed) if isinstance(part.value, str) else None
        options = " or ".join([", ".join(allowed[:-1]), allowed[-1]])
        self.expected(part, options, f"did you mean {shown(meant)}?" if meant else f"write {options}")
        return None

    def duration(self, part: Part) -> float | None:
        """Seconds."""
        found = (
            _DURATION.fullmatch(part.value) if isinstance(part.value, str) and len(part.value) < 40 else None
        )
        if found:
            return float(found[1]) * _SECONDS[found[2]]
        is_bare = isinstance(part.value, int | float) and not isinstance(part.value, bool)
        fix = f"write {part.value}s for seconds" if is_bare else "write a number and one of s, m, h, d"
        self.expected(part, "a time such as 90s, 15m, 1h or 2d", fix)
        return None

    def memory(self, part: Part) -> str | None:
        if isinstance(part.value, str) and len(part.value) < 40 and _MEMORY.fullmatch(part.value):
            return part.value
        self.expected(part, "a size such as 512MiB or 8GiB", "write a number and its unit")
        return None

    # -- names and references ----------------------------------------------------------------------

    def is_name(self, name: str, at: Position, noun: str) -> bool:
        if NAME.fullmatch(name) and len(name) <= _LONGEST_NAME:
            return True
        fix = "use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 200"
        self.problem(at, f"{shown(name)} can't be the name of a {noun}", fix)
        return False

    def reference(self, part: Part, section: str) -> str | None:
        """The name of a dataset or target that the file has; 'dataset:' or 'model:' may stand before it."""
        text = self.text(part)
        if text is None:
            return None
        if "/" in text.partition("@")[0].partition(":")[0]:
            return text  # of an included Sparkfile or an import: the second pass looks there
        kind = {"datasets": "dataset", "targets": "model"}.get(section)
        prefix, colon, name = text.partition(":")
        if colon and prefix in ("dataset", "model") and prefix != kind:
            fix = known_names(name, self.names[section], section)
            self.problem(part.at, f"{part.what} has to be a {NOUNS[section]}, not {shown(text)}", fix)
            return None
        bare = name if colon and prefix == kind else text
        found = parse_address(bare)
        if found is None or found.stage or (found.tag and section != "targets"):
            self._unknown(part, bare, section)
            return None
        member = self.member(part, found, section)
        return member if member is None or found.tag is None else f"{member}@{found.tag}"

    def member(self, part: Part, found: Parts, section: str) -> str | None:
        """The whole name of the dataset or target that a reference means; None where it is none, or several."""
        if found.name not in self.names[section]:
            self._unknown(part, found.name, section)
            return None
        matrix = self.matrices.get(section, {}).get(found.name)
        return matrix.resolve(self, part.at, found) if matrix else found.name

    def _unknown(self, part: Part, name: str, section: str) -> None:
        known = self.names[section]
        self.problem(
            part.at, f"no {NOUNS[section]} {shown(name)} in '{section}:'", known_names(name, known, section)
        )


def _advice(part: Part, wanted: Wanted) -> str | None:
    return type_advice(wanted, part.node.value, part.node.written) if isinstance(part.node, Scalar) else None


def _called(key: str, parent: Part) -> str:
    return f"{shown(key)} of {parent.what}" if parent.path else shown(key)


def _described(node: Node) -> str:
    if isinstance(node, Map):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value if isinstance(node, Scalar) else None
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return shown(value)
    return f"the number {node.written}" if isinstance(node, Scalar) else "that"
