"""`matrix:` — one declaration for many: each combination of values is a member with an address of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import product

from msgspec import Struct, field
from msgspec.structs import replace

from sparkfile_schema.address import (
    PARAM_PATTERN,
    Parts,
    Selector,
    canonical,
    selected,
    selector_of,
    selector_text,
)
from sparkfile_schema.model import Path
from sparkfile_schema.nodes import Entry, Map, Node, Scalar, Sequence, Unreadable
from sparkfile_schema.overlay import known_names
from sparkfile_schema.problems import Position
from sparkfile_schema.reader import Part, Reader
from sparkfile_schema.scalars import quote, shown
from sparkfile_schema.uses import Params

MOST_MEMBERS = 1000
_LONGEST_VALUE = 200
_MOST_SHOWN = 6
_PARAM = re.compile(PARAM_PATTERN)
_MARK = re.compile("\x00([^\x00]*)\x00")  # as `interpolate` puts it; NUL is in no text of a Sparkfile


class Value(Struct, frozen=True):
    node: Scalar | Unreadable
    path: Path


class Member(Struct, frozen=True):
    """One combination of values; without any it is a declaration that has no matrix."""

    values: Mapping[str, Value] = field(default_factory=dict)
    used: frozenset[str] = frozenset()  # names that stand as ${matrix.NAME}

    @property
    def selector(self) -> Selector:
        return selector_of({n: v.node.value for n, v in self.values.items() if isinstance(v.node, Scalar)})

    def fill(self, reader: Reader, part: Part) -> Part:
        """The declaration as it is for this member."""
        if not isinstance(part.node, Map) or not self.values:
            return part
        left = {key: entry for key, entry in part.node.entries.items() if key != "matrix"}
        return replace(part, node=self._filled(reader, Map(left, part.node.at)))

    def _filled(self, reader: Reader, node: Node) -> Node:
        if isinstance(node, Map):
            entries = node.entries.items()
            return Map({k: Entry(e.key_at, self._filled(reader, e.node)) for k, e in entries}, node.at)
        if isinstance(node, Sequence):
            return Sequence(tuple(self._filled(reader, item) for item in node.items), node.at)
        if isinstance(node, Scalar) and isinstance(node.value, str) and "\x00" in node.value:
            reader.spend()
            return self._scalar(node, node.value)
        return node

    def _scalar(self, node: Scalar, text: str) -> Scalar | Unreadable:
        given = [self.values[name].node for name in _MARK.findall(text)]
        if any(isinstance(value, Unreadable) for value in given):
            return Unreadable(node.at)
        if _MARK.fullmatch(text) and isinstance(given[0], Scalar):
            return replace(node, value=given[0].value)
        template = None if node.template is None else _MARK.sub(self._text, node.template)
        return replace(node, value=_MARK.sub(self._text, text), template=template)

    def _text(self, found: re.Match[str]) -> str:
        node = self.values[found[1]].node
        assert isinstance(node, Scalar)
        return node.value if isinstance(node.value, str) else canonical(node.value)


PLAIN = Member()


class Matrix(Struct, frozen=True):
    """What a dataset or target declares: itself, or its members."""

    noun: str  # 'dataset' or 'target'
    members: tuple[Member, ...] = (PLAIN,)
    is_faulty: bool = False  # something of it has its problem already

    def resolve(self, reader: Reader, at: Position, found: Parts) -> str | None:
        """The whole name of the one that a reference means; None where the problem is told."""
        name = found.name
        if self.is_faulty:
            return None
        if not self.members[0].values and found.selector:
            reader.problem(at, f"{self.noun} {shown(name)} has no matrix", f"write {name}")
            return None
        meant = selected(found.selector, [(member, member.selector) for member in self.members])
        if len(meant) == 1:
            return name + selector_text(meant[0].selector)
        self._tell(reader, at, found, len(meant))
        return None

    def _tell(self, reader: Reader, at: Position, found: Parts, count: int) -> None:
        what, known = f"{self.noun} {shown(found.name)}", list(self.members[0].values)
        unknown = next((param for param, _ in found.selector if param not in known), None)
        listed = self._listed(found.name)
        if unknown is not None:
            message = f"the matrix of {what} has no {shown(unknown)}"
            reader.problem(at, message, known_names(unknown, known, "names"))
        elif count:
            message = f"{what} has a matrix, and {count} of its members are meant"
            reader.problem(at, message, f"name one: {listed}")
        else:
            asked = shown(found.name + selector_text(found.selector))
            reader.problem(at, f"no member of {what} is {asked}", f"there are {listed}")

    def _listed(self, name: str) -> str:
        names = [quote(name + selector_text(m.selector)) for m in self.members[: _MOST_SHOWN + 1]]
        return ", ".join(names[:_MOST_SHOWN]) + (", …" if len(names) > _MOST_SHOWN else "")


def read_matrix(reader: Reader, part: Part, noun: str) -> Matrix:
    """The members of a dataset or target: of one without `matrix:` just itself."""
    entry = part.node.entries.get("matrix") if isinstance(part.node, Map) else None
    if entry is None:
        return Matrix(noun)
    matrix = part.child("matrix", entry.node, entry.key_at, f"the matrix of {part.what}")
    before = len(reader.problems)
    lists = {name: _values(reader, values) for name, values in _names(reader, matrix)}
    members = math.prod(map(len, lists.values()))
    if members > MOST_MEMBERS:
        message = f"{matrix.what} has {members} members, at most {MOST_MEMBERS} are allowed"
        reader.problem(matrix.key_at, message, "take values out, or make two targets of it")
        lists = {name: values[:1] for name, values in lists.items()}
    used = frozenset(_marked(part.node))
    made = [Member(dict(zip(lists, values, strict=True)), used) for values in product(*lists.values())]
    return Matrix(noun, tuple(made), len(reader.problems) > before)


def refuse_unused(reader: Reader, part: Part, matrix: Matrix) -> None:
    """Of a dataset's matrix every name has to stand somewhere, else its members were all alike."""
    used = matrix.members[0].used
    for name, value in matrix.members[0].values.items() if "" not in used else ():
        if name not in used:
            at = _key_at(part, name)
            message = f"{shown(name)} of the matrix is used nowhere in {part.what}"
            reader.problem(at or value.node.at, message, f"write ${{matrix.{name}}} where its members differ")


# -- what it lays over the params of a recipe --------------------------------------------------------


def lay_over(params: Params, member: Member) -> None:
    """A member's values over `with:`; what the recipe does not know is refused, or left out, later."""
    for name, value in member.values.items():
        place = _place(name, params.values)
        _put(params.values, place, value.node.value if isinstance(value.node, Scalar) else None)
        params.origins[place] = value.path
        params.templates.pop(place, None)
        params.unreadable.discard(place)
        if isinstance(value.node, Unreadable):
            params.unreadable.add(place)


def _place(name: str, values: Mapping[str, object]) -> Path:
    """`config.hidden_size` goes inside; the bare name of a command's own param among its `params`."""
    own, run = values.get("params"), values.get("run")
    words = run if isinstance(run, list) else [run]
    marks = {f"{{params.{name}}}", *(["{seed}"] if name == "seed" else [])}  # `{seed}` is params.seed
    is_named = any(mark in word for word in words if isinstance(word, str) for mark in marks)
    if name not in values and (is_named or (run is not None and isinstance(own, dict) and name in own)):
        return ("params", name)
    return tuple(name.split("."))


def _put(values: dict[str, object], place: Path, value: object) -> None:
    *above, last = map(str, place)
    for step in above:
        below = values.get(step)
        values[step] = values = dict(below) if isinstance(below, dict) else {}
    values[last] = value


# -- reading -----------------------------------------------------------------------------------------


def _names(reader: Reader, matrix: Part) -> Iterator[tuple[str, Part]]:
    fix = "such as matrix: {seed: [1, 2, 3]}"
    entries = reader.mapping(matrix, fix)
    if not entries and (matrix.is_map or matrix.is_empty):
        reader.problem(matrix.at, f"{matrix.what} names nothing", fix)
    for name, values in entries.items():
        if _PARAM.fullmatch(name):
            yield name, values.called(f"{shown(name)} of {matrix.what}")
        else:
            fix = "use letters, digits, '.', '_' and '-', beginning with a letter"
            reader.problem(values.key_at, f"{shown(name)} can't be a name in {matrix.what}", fix)


def _values(reader: Reader, part: Part) -> list[Value]:
    """The values of one name; at least one, which is unreadable where nothing can be read."""
    written = part.node.written if isinstance(part.node, Scalar) else ""
    is_short = 0 < len(written) < 40
    items = reader.items(part, f"write [{written}]" if is_short else "write a list, as in [1, 2, 3]")
    if not items and (part.is_list or part.is_empty):
        reader.problem(part.at, f"{part.what} lists nothing", "write its values, or remove the key")
    found: dict[tuple[bool, object], Value] = {}
    for item in items:
        value = _value(reader, item)
        if value is None:
            continue
        # 1 and 1.0 are one number, True is none
        same = (isinstance(value.value, bool), value.value)
        if same in found:
            reader.problem(
                item.at, f"{part.what} lists {canonical(value.value)} twice", "keep one of the two"
            )
        else:
            found[same] = Value(value, item.path)
    return list(found.values()) or [Value(Unreadable(part.at), part.path)]


def _value(reader: Reader, item: Part) -> Scalar | None:
    node = item.node
    if isinstance(node, Scalar) and (node.env or node.names_secret):
        fix = "write the value out; the names of members are made of it"
        reader.problem(item.at, f"a value of {item.what} can't come from the environment", fix)
        return None
    if isinstance(node, Scalar) and len(str(node.value)) > _LONGEST_VALUE:
        message = f"a value of {item.what} is longer than {_LONGEST_VALUE} characters"
        reader.problem(item.at, message, "the names of members are made of it: give a file's name, say")
        return None
    if isinstance(node, Scalar):
        return node
    if not isinstance(node, Unreadable):
        fix = "name several values together in ${matrix.…}, or make targets of their own"
        reader.expected(item.called(f"a value of {item.what}"), "text, a number, true, false or null", fix)
    return None


def _marked(node: Node) -> Iterator[str]:
    """Names that stand as `${matrix.NAME}`; '' where something has its problem already."""
    if isinstance(node, Map):
        for entry in node.entries.values():
            yield from _marked(entry.node)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _marked(item)
    elif isinstance(node, Unreadable):
        yield ""  # who knows what stood there
    elif isinstance(node, Scalar) and isinstance(node.value, str):
        yield from _MARK.findall(node.value)


def _key_at(part: Part, name: str) -> Position | None:
    matrix = part.node.entries["matrix"].node if isinstance(part.node, Map) else None
    entry = matrix.entries.get(name) if isinstance(matrix, Map) else None
    return entry.key_at if entry else None
