"""YAML text as a tree of nodes with line and column, within limits that hostile text can't break."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from sparkfile_schema.nodes import Entry, Map, Node, Scalar, Sequence, Unreadable
from sparkfile_schema.problems import MOST_PROBLEMS, Position, Problem
from sparkfile_schema.scalars import NumberError, quote, resolve, shown
from sparkfile_schema.text import RefusedError, decoded, place_of
from sparkfile_schema.traps import Failure, Trap, diagnose, undefined_alias, value_text

MOST_ALIASES = 100
MOST_EXPANSION = 10
DEEPEST = 64
MOST_VALUES = 250_000  # the pure parser takes about 5 seconds for as many
_MOST_TRAPS = 20  # each one costs another reading of the text
_LARGEST_REREAD = 2**18
_NOWHERE = Position("", 0, 0)
_FORBIDDEN_INSIDE = re.compile("[\x00\ud800-\udfff]")  # kept out of the text, but an escape may bring them


def read_document(data: str | bytes, file: str) -> tuple[Node | None, list[Problem]]:
    """The root of the one document in `data`, None where it can't be read; what is wrong with its YAML."""
    try:
        text = decoded(data, file)
    except RefusedError as refused:
        return None, [refused.problem]
    return _read_with_masks(text, file)


def _read_with_masks(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Reads again with each trap masked, so that all of them are told at once."""
    traps: list[Trap] = []
    while True:
        composer = _Composer(text, file, frozenset(i for trap in traps for i in trap.masked))
        found = [trap.problem for trap in traps]
        try:
            return composer.document(), found + composer.problems
        except RefusedError as refused:
            return None, [*found, *composer.problems, refused.problem]
        except _TrapError as stop:
            traps.append(stop.trap)
        if not _has_new_mask(traps) or len(traps) >= _MOST_TRAPS or len(text) > _LARGEST_REREAD:
            return None, [trap.problem for trap in traps]


def _has_new_mask(traps: list[Trap]) -> bool:
    seen = {i for trap in traps[:-1] for i in trap.masked}
    return bool(set(traps[-1].masked) - seen)


class _TrapError(Exception):
    def __init__(self, trap: Trap) -> None:
        self.trap = trap


class _Anchored(Struct):
    """A node that aliases may repeat: how many values it holds, how deep they are nested."""

    node: Node
    size: int
    height: int


class _Open(Struct):
    """A collection that is being read; `key` is that of the value to come, None where that is dropped."""

    at: Position
    is_map: bool
    is_flow: bool
    anchor: str | None
    is_refused: bool
    awaits_key: bool
    key: str | None = None
    key_at: Position = _NOWHERE
    key_end: Position = _NOWHERE
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1

    def node(self) -> Node:
        if self.is_refused:
            return Unreadable(self.at)
        return Map(self.entries, self.at) if self.is_map else Sequence(tuple(self.items), self.at)


class _Composer:
    """Builds the tree from the parser's events; without recursion, and it stops at the first broken limit."""

    def __init__(self, text: str, file: str, masked: frozenset[int]) -> None:
        self.text, self.file, self.masked = text, file, masked
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Anchored] = {}
        self.open: list[_Open] = []
        self.root: Node | None = None
        self.values = self.aliases = self.expanded = self.last_value = 0
        self.largest_alias = (0, Position(file, 1, 1))

    def document(self) -> Node | None:
        handlers = {
            "ScalarEvent": self._scalar,
            "AliasEvent": self._alias,
            "MappingStartEvent": self._start,
            "SequenceStartEvent": self._start,
            "MappingEndEvent": self._end,
            "SequenceEndEvent": self._end,
        }
        for event in self._first_document():
            handler = handlers.get(type(event).__name__)
            if handler:
                handler(event)
        self._check_expansion()
        return self.root

    # -- the parser --------------------------------------------------------------------------------

    def _first_document(self) -> Iterator[Any]:
        has_begun = False
        for event in self._events():
            if type(event).__name__ == "DocumentStartEvent":
                if has_begun:
                    self._problem(self._at(event), "a second document begins here", "remove the '---'")
                    return
                has_begun = True
                self._check_version(event)
            yield event

    def _events(self) -> Iterator[Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.docinfo import DocInfo
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        yaml = YAML(typ="safe", pure=True)
        yaml.doc_infos.append(DocInfo())  # as YAML.parse does; a %TAG line needs them
        yaml.tags = {}
        _, parser = yaml.get_constructor_parser(self._masked_text())
        try:
            while parser.check_event():
                yield parser.get_event()
        except MarkedYAMLError as error:
            raise _TrapError(diagnose(self._failure(error))) from None
        except (YAMLError, ValueError, OverflowError, LookupError, TypeError, AttributeError, AssertionError):
            # ruamel itself fails on a few inputs, such as the escape "\UFFFFFFFF"
            at = Position(self.file, yaml.reader.line + 1, yaml.reader.column + 1)
            raise RefusedError(Problem(at, "this is not YAML", "quote the text that stands here")) from None

    def _masked_text(self) -> str:
        if not self.masked:
            return self.text
        characters = list(self.text)
        for index in self.masked:
            characters[index] = "_"
        return "".join(characters)

    def _failure(self, error: Any) -> Failure:
        mark = error.problem_mark or error.context_mark
        context = (error.context_mark or mark).index
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return Failure(reason, mark.index, context, self.last_value, self.text, self.file, self._is_flow())

    # -- events ------------------------------------------------------------------------------------

    def _scalar(self, event: Any) -> None:
        self._count(event)
        if self._awaits_key():
            self._set_key(event)
        else:
            self._add(self._scalar_node(event), event.anchor, 1, 1)

    def _alias(self, event: Any) -> None:
        at = self._at(event)
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            raise _TrapError(undefined_alias(self._failure_at(event)))
        self.aliases += 1
        if self.aliases > MOST_ALIASES:
            raise RefusedError(
                Problem(at, f"more than {MOST_ALIASES} aliases", "write some of the values out")
            )
        if self._awaits_key():
            raise RefusedError(Problem(at, "an alias can't be a key", "write the key out"))
        self._check_depth(at, anchored.height)
        self.expanded += anchored.size
        self.largest_alias = max(self.largest_alias, (anchored.size, at), key=lambda pair: pair[0])
        self._add(_moved(anchored.node, at), None, anchored.size, anchored.height)

    def _start(self, event: Any) -> None:
        at = self._at(event)
        self._count(event)
        self._check_depth(at, 1)
        if self._awaits_key():
            raise RefusedError(
                Problem(at, "a key has to be text, not a list or a mapping", "quote it if it is text")
            )
        is_map = type(event).__name__ == "MappingStartEvent"
        self.anchors.pop(event.anchor, None)  # inside of it, an alias to it points at nothing
        self.open.append(
            _Open(at, is_map, bool(event.flow_style), event.anchor, self._has_tag(event), awaits_key=is_map)
        )

    def _end(self, event: Any) -> None:
        done = self.open.pop()
        self._add(done.node(), done.anchor, done.size, done.height)

    # -- what they add -----------------------------------------------------------------------------

    def _add(self, node: Node, anchor: str | None, size: int, height: int) -> None:
        if anchor:
            self.anchors[anchor] = _Anchored(node, size, height)
        if not self.open:
            self.root = node
            return
        top = self.open[-1]
        top.size += size
        top.height = max(top.height, height + 1)
        if not top.is_map:
            top.items.append(node)
            return
        top.awaits_key = True
        if top.key is not None:
            self._check_space(top.key, node, top.key_at)
            top.entries[top.key] = Entry(top.key_at, node)

    def _set_key(self, event: Any) -> None:
        top = self.open[-1]
        top.awaits_key, top.key_at, top.size = False, self._at(event), top.size + 1
        top.key_end = Position(self.file, event.end_mark.line + 1, event.end_mark.column + 2)
        top.key = event.value if self._can_be_key(event) else None
        first = top.entries.get(event.value)
        if top.key is not None and first:
            message = f"duplicate key {shown(top.key)}, first on line {first.key_at.line}"
            self._problem(top.key_at, message, "keep one of the two")
            top.key = None
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(Scalar(event.value, event.value, top.key_at), 1, 1)

    def _can_be_key(self, event: Any) -> bool:
        at, name, is_plain = self._at(event), event.value, event.implicit[0]
        if self._has_tag(event) or self._is_masked(event) or self._holds_forbidden(event):
            return False
        if is_plain and name == "<<":
            self._problem(at, "YAML 1.2 has no merge key '<<'", 'write the keys out, or quote it: "<<"')
            return False
        if is_plain and not _reads_as_text(name):
            self._problem(
                at, f"a key has to be text, and {name or 'nothing'} is not", f"quote it: {quote(name)}"
            )
        return True

    def _scalar_node(self, event: Any) -> Node:
        at, text = self._at(event), event.value
        if (
            self._has_tag(event)
            or self._is_masked(event)
            or self._holds_forbidden(event)
            or self._is_empty_block(event)
        ):
            return Unreadable(at)
        if not event.implicit[0]:
            return Scalar(text, text, at)
        try:
            return Scalar(resolve(text), text, at if text else self._where_nothing_stands(at))
        except NumberError as error:
            self._problem(at, str(error), f"quote it if it is text: {quote(text[:60])}")
            return Unreadable(at)

    def _where_nothing_stands(self, at: Position) -> Position:
        """Behind the colon: the parser puts an empty value where the next line begins."""
        return self.open[-1].key_end if self.open and self.open[-1].is_map else at

    # -- what is refused ---------------------------------------------------------------------------

    def _has_tag(self, event: Any) -> bool:
        if event.tag is None:
            return False
        value = value_text(self.text, event.start_mark.index, self._is_flow())
        tag = next((word for word in value.split() if word.startswith("!")), str(event.tag))
        fix = f"remove the tag, or quote it if it is text: {quote(tag)}"
        self._problem(self._at(event), f"{shown(tag)} is a YAML tag, and none is allowed", fix)
        return True

    def _is_masked(self, event: Any) -> bool:
        return any(event.start_mark.index <= index < event.end_mark.index for index in self.masked)

    def _holds_forbidden(self, event: Any) -> bool:
        found = _FORBIDDEN_INSIDE.search(event.value)
        if found:
            message = f"an escape stands for the character U+{ord(found.group()):04X}, which is not allowed"
            self._problem(self._at(event), message, "remove it")
        return found is not None

    def _is_empty_block(self, event: Any) -> bool:
        """`accuracy: >1` begins a block text, and nothing follows."""
        if event.style not in (">", "|") or event.value.strip():
            return False
        value = value_text(self.text, event.start_mark.index, self._is_flow())
        message = f"{shown(value)} is read as the start of a block text"
        self._problem(self._at(event), message, f"quote it: {quote(value)}")
        return True

    def _check_space(self, key: str, node: Node, key_at: Position) -> None:
        """`{lr:1e-4}` is a key 'lr:1e-4' without a value."""
        name, colon, value = key.partition(":")
        is_empty = isinstance(node, Scalar) and node.value is None and not node.written
        if is_empty and colon and value and name.isidentifier():
            fix = f"put a space after the colon: {name}: {value}"
            self._problem(key_at, f"{shown(key)} is read as a key without a value", fix)

    def _check_version(self, event: Any) -> None:
        if event.version and tuple(event.version) != (1, 2):
            at = place_of(self.text, max(self.text.find("%YAML"), 0), self.file)
            raise RefusedError(Problem(at, "a Sparkfile is YAML 1.2", "remove this line"))

    def _check_depth(self, at: Position, height: int) -> None:
        if len(self.open) + height > DEEPEST:
            raise RefusedError(Problem(at, f"nested more than {DEEPEST} levels deep", "flatten it"))

    def _check_expansion(self) -> None:
        if self.values + self.expanded > MOST_EXPANSION * max(self.values, 1):
            message = f"aliases make the document more than {MOST_EXPANSION} times larger"
            raise RefusedError(Problem(self.largest_alias[1], message, "write some of the values out"))

    def _count(self, event: Any) -> None:
        self.values += 1
        self.last_value = event.start_mark.index
        if self.values > MOST_VALUES:
            fix = "keep data out of the Sparkfile"
            raise RefusedError(Problem(self._at(event), f"more than {MOST_VALUES} keys and values", fix))

    # -- helpers -----------------------------------------------------------------------------------

    def _awaits_key(self) -> bool:
        return bool(self.open) and self.open[-1].awaits_key

    def _failure_at(self, event: Any) -> Failure:
        index = event.start_mark.index
        return Failure("", index, index, index, self.text, self.file, self._is_flow())

    def _is_flow(self) -> bool:
        return bool(self.open) and self.open[-1].is_flow

    def _problem(self, at: Position, message: str, fix: str) -> None:
        if len(self.problems) + 1 >= MOST_PROBLEMS:
            raise RefusedError(Problem(at, message, fix))
        self.problems.append(Problem(at, message, fix))

    def _at(self, event: Any) -> Position:
        return Position(self.file, event.start_mark.line + 1, event.start_mark.column + 1)


def _moved(node: Node, at: Position) -> Node:
    """The node as an alias repeats it: it stands where the alias does, its insides where they were."""
    from msgspec.structs import replace

    return replace(node, at=at)


def _reads_as_text(word: str) -> bool:
    try:
        return isinstance(resolve(word), str)
    except NumberError:
        return False
