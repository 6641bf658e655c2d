"""Values written into a Sparkfile's text where they stand: comments, quotes, anchors and layout stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from sparkfile_schema.document import read_document
from sparkfile_schema.model import Path
from sparkfile_schema.nodes import Map, Node, Scalar, find
from sparkfile_schema.nodes import Sequence as List
from sparkfile_schema.overlay import with_overrides, with_profile
from sparkfile_schema.problems import Problem, SparkfileError
from sparkfile_schema.scalars import quote, resolve, shown
from sparkfile_schema.text import place_of

_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?")
_COMMENT = re.compile(r"(?:^|\s)#", re.MULTILINE)
_OF_VARS = re.compile(r"\$\{vars\.([^{}]*)\}")


class Change(Struct, frozen=True):
    """One value that the file gets."""

    path: Path
    old: str | None  # as it was written; None where nothing stood
    new: str


def with_kept(
    text: str, file: str, *, profile: str | None = None, overrides: Sequence[str] = ()
) -> tuple[str, list[Change]]:
    """The text as a profile and `--set` would have it, and what is changed in it.

    Errors: SparkfileError where a value can't be written without touching anything else.
    """
    root = _read(text, file)
    wanted, problems = with_profile(root, profile, file) if profile is not None else (root, [])
    wanted, more = with_overrides(wanted, overrides)
    if problems or more:
        raise SparkfileError([*problems, *more])
    edits = list(_edits(root, wanted, ()))
    written = _Editor(text, file, root).written(edits)
    if _plain(_read(written, file)) != _plain(wanted):
        raise SparkfileError([_by_hand(text, file, 0, "more than these values would change")])
    return written, [
        Change(e.path, _shown_old(root, e.path), _text_of(e.node, "", is_flow=True)) for e in edits
    ]


# -- what differs ------------------------------------------------------------------------------------


class _Edit(Struct, frozen=True):
    path: Path
    node: Node
    is_new: bool


def _edits(old: Node, new: Node, path: Path) -> Iterator[_Edit]:
    """The smallest parts of the document in which the two differ."""
    if isinstance(old, Map) and isinstance(new, Map):
        if old.entries.keys() - new.entries.keys():
            yield _Edit(path, new, is_new=False)
            return
        for key, entry in new.entries.items():
            if key not in old.entries:
                yield _Edit((*path, key), entry.node, is_new=True)
            else:
                yield from _edits(old.entries[key].node, entry.node, (*path, key))
    elif isinstance(old, List) and isinstance(new, List) and len(old.items) == len(new.items):
        for i, (before, after) in enumerate(zip(old.items, new.items, strict=True)):
            yield from _edits(before, after, (*path, i))
    elif _plain(old) != _plain(new):
        yield _Edit(path, new, is_new=False)


def _plain(node: Node | None) -> object:
    """The value with its types: 1, 1.0 and true differ."""
    if isinstance(node, Map):
        return {key: _plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, List):
        return [_plain(item) for item in node.items]
    return (type(node.value).__name__, node.value) if isinstance(node, Scalar) else object()


def _shown_old(root: Node, path: Path) -> str | None:
    found = find(root, path)
    return _text_of(found.node, "", is_flow=True) if found else None


# -- where it stands ---------------------------------------------------------------------------------


class _Span(Struct):
    """Where a node stands in the text, `end` behind its last character."""

    kind: Literal["scalar", "alias", "map", "list"]
    start: int
    end: int
    is_flow: bool = False
    style: str = ""
    anchor: str | None = None
    entries: dict[str, tuple[_Span, _Span]] = field(default_factory=dict)  # key -> its own span, its value's
    items: list[_Span] = field(default_factory=list)
    key: _Span | None = None  # that waits for its value

    def add(self, child: _Span, text: str) -> None:
        if self.kind == "list":
            self.items.append(child)
        elif self.key is None:
            self.key = child
        else:
            self.entries[_key_text(text, self.key)] = (self.key, child)
            self.key = None
        if not self.is_flow:
            self.end = max(self.end, child.end)


def _spans(text: str) -> tuple[_Span, dict[str, int]]:
    """The tree of spans, and of each anchor where it is used first."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    stack = [_Span("list", 0, 0)]
    aliases: dict[str, int] = {}
    for event in yaml.parse(text):
        name = type(event).__name__
        if name == "AliasEvent":
            aliases.setdefault(event.anchor, event.start_mark.index)
        if name in ("ScalarEvent", "AliasEvent"):
            stack[-1].add(_leaf(event, name), text)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            stack.append(_opened(event, name))
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            done = stack.pop()
            if done.is_flow:
                done.end = event.end_mark.index
            stack[-1].add(done, text)
    return stack[0].items[0], aliases


def _leaf(event: Any, name: str) -> _Span:
    kind: Literal["scalar", "alias"] = "scalar" if name == "ScalarEvent" else "alias"
    anchor = event.anchor if kind == "scalar" else None
    style = getattr(event, "style", None) or ""
    return _Span(kind, event.start_mark.index, event.end_mark.index, style=style, anchor=anchor)


def _opened(event: Any, name: str) -> _Span:
    kind: Literal["map", "list"] = "map" if name == "MappingStartEvent" else "list"
    start = event.start_mark.index
    return _Span(kind, start, start, is_flow=bool(event.flow_style), anchor=event.anchor)


def _key_text(text: str, span: _Span) -> str:
    node, _ = read_document(text[span.start : span.end], "")
    return str(node.written) if isinstance(node, Scalar) else ""


# -- writing -----------------------------------------------------------------------------------------


class _Editor:
    def __init__(self, text: str, file: str, root: Node) -> None:
        self.text, self.file, self.root = text, file, root
        self.top, self.aliases = _spans(text)
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def written(self, edits: Sequence[_Edit]) -> str:
        pieces = [self._piece(edit) for edit in edits]
        text = self.text
        # from the end, so that places before stay where they are
        ordered = sorted(enumerate(pieces), key=lambda item: (item[1][0], item[0]), reverse=True)
        for _, (start, end, new) in ordered:
            text = text[:start] + new + text[end:]
        return text

    def _piece(self, edit: _Edit) -> tuple[int, int, str]:
        parent, is_in_flow = self._parent(edit.path)
        key = edit.path[-1]
        if edit.is_new and parent.kind == "map":
            return self._inserted(parent, str(key), edit.node)
        if edit.is_new:  # `with:` and nothing behind it
            new = _text_of(Map({str(key): _entry(edit.node)}, self.root.at), "", is_flow=True)
            return self._replaced(parent, self._key_of(edit.path[:-1]), new)
        self._refuse_vars(edit.path)
        span = parent.items[key] if isinstance(key, int) else parent.entries[key][1]
        self._refuse_shared(span)
        is_flow = is_in_flow or isinstance(edit.node, Map | List)
        new = _text_of(edit.node, span.style if span.kind == "scalar" else "", is_flow=is_flow)
        return self._replaced(span, self._key_of(edit.path), new)

    def _parent(self, path: Path) -> tuple[_Span, bool]:
        """The span that holds the last step of `path`. Errors: SparkfileError where others share it."""
        span, is_in_flow = self.top, self.top.is_flow
        for step in path[:-1]:
            span = span.items[step] if isinstance(step, int) else span.entries[step][1]
            self._refuse_shared(span)
            if span.kind == "alias":
                raise SparkfileError(
                    [_by_hand(self.text, self.file, span.start, "the value stands in what an alias repeats")]
                )
            is_in_flow = is_in_flow or span.is_flow
        return span, is_in_flow

    def _key_of(self, path: Path) -> _Span | None:
        span, key = self.top, None
        for step in path:
            key, span = (None, span.items[step]) if isinstance(step, int) else span.entries[step]
        return key

    def _replaced(self, span: _Span, key: _Span | None, new: str) -> tuple[int, int, str]:
        old = self.text[span.start : span.end]
        if span.style in ("|", ">"):
            return span.start, span.end, new + self.newline
        is_block = span.kind in ("map", "list") and not span.is_flow
        if (is_block or not old) and key is not None:
            start = self.text.index(":", key.end) + 1
            self._refuse_comments(start, span.end)
            return start, max(start, span.end) if is_block else start, f" {new}"
        self._refuse_comments(span.start, span.end if span.kind != "scalar" else span.start)
        return span.start, span.end, new

    def _inserted(self, parent: _Span, key: str, node: Node) -> tuple[int, int, str]:
        new = f"{_scalar_text(key, '')}: {_text_of(node, '', is_flow=True)}"
        if parent.is_flow and not parent.entries:
            place = self.text.index("{", parent.start) + 1
            return place, place, new
        first, last = next(iter(parent.entries.values()))[0], list(parent.entries.values())[-1][1]
        if parent.is_flow:
            return last.end, last.end, f", {new}"
        indent = " " * (first.start - self.text.rfind("\n", 0, first.start) - 1)
        if self.text[: last.end].endswith("\n"):  # behind a block of text
            return last.end, last.end, f"{indent}{new}{self.newline}"
        line_end = self.text.find("\n", last.end)
        place = len(self.text) if line_end < 0 else line_end
        if self.text[:place].endswith("\r"):
            place -= 1
        return place, place, f"{self.newline}{indent}{new}"

    # what is refused

    def _refuse_vars(self, path: Path) -> None:
        found = find(self.root, path)
        node = found.node if found else None
        named = (
            _OF_VARS.search(node.value) if isinstance(node, Scalar) and isinstance(node.value, str) else None
        )
        if named:
            assert isinstance(node, Scalar)
            message = f"{shown('.'.join(map(str, path)))} is given by {named[0]}, which others may name too"
            fix = f"set the var instead: --set vars.{named[1]}=…"
            raise SparkfileError([Problem(node.at, message, fix)])

    def _refuse_shared(self, span: _Span) -> None:
        if span.anchor in self.aliases:
            assert span.anchor is not None
            line = place_of(self.text, self.aliases[span.anchor], self.file).line
            message = f"the value stands in &{span.anchor}, which is used on line {line} as well"
            raise SparkfileError([_by_hand(self.text, self.file, span.start, message)])

    def _refuse_comments(self, start: int, end: int) -> None:
        if _COMMENT.search(self.text[start:end]):
            message = "comments stand inside of what would be replaced"
            raise SparkfileError([_by_hand(self.text, self.file, start, message)])


def _by_hand(text: str, file: str, index: int, message: str) -> Problem:
    return Problem(place_of(text, index, file), message, "change it by hand")


def _read(text: str, file: str) -> Map:
    root, problems = read_document(text, file)
    if problems or not isinstance(root, Map):
        raise SparkfileError(problems or [_by_hand(text, file, 0, "a Sparkfile is a mapping")])
    return root


def _entry(node: Node) -> Any:
    from sparkfile_schema.nodes import Entry

    return Entry(node.at, node)


def _text_of(node: Node, style: str, *, is_flow: bool) -> str:
    if isinstance(node, Map):
        inner = (
            f"{_scalar_text(k, '')}: {_text_of(e.node, '', is_flow=True)}" for k, e in node.entries.items()
        )
        return "{" + ", ".join(inner) + "}"
    if isinstance(node, List):
        return "[" + ", ".join(_text_of(item, "", is_flow=True) for item in node.items) + "]"
    assert isinstance(node, Scalar)
    if isinstance(node.value, str):
        return _scalar_text(node.value, style)
    return node.written or "null"


def _scalar_text(text: str, style: str) -> str:
    """The text in the quotes that stood there; without any where YAML reads it as text all the same."""
    if not text.isprintable() or style == '"':
        return json.dumps(text, ensure_ascii=False)
    if style == "'":
        return "'" + text.replace("'", "''") + "'"
    if _PLAIN.fullmatch(text) and isinstance(resolve(text), str):
        return text
    return quote(text)


__all__ = ["Change", "with_kept"]
