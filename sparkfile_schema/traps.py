"""The traps of YAML: what a user wrote that YAML reads as something else, with the advice to quote."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from sparkfile_schema.problems import Position, Problem
from sparkfile_schema.scalars import quote, shown
from sparkfile_schema.text import place_of

_LONGEST_VALUE = 500
_WORD_WITH_COLON = re.compile(r"\s*(?:- )?([A-Za-z_][\w.-]*):([^\s/].*)")


class Trap(Struct, frozen=True):
    """A problem, and the characters that would let the rest be read if they were something harmless."""

    problem: Problem
    masked: tuple[int, ...] = ()


class Failure(Struct, frozen=True):
    """Where and why the YAML parser stopped: `context` began the construct, `value` is the last value."""

    reason: str
    index: int
    context: int
    value: int
    text: str
    file: str
    is_flow: bool

    def value_at(self, index: int) -> str:
        return value_text(self.text, index, self.is_flow)

    def at(self, index: int) -> Position:
        return place_of(self.text, index, self.file)

    def trap(self, index: int, message: str, fix: str, *masked: int) -> Trap:
        return Trap(Problem(self.at(index), message, fix), masked)


def diagnose(failure: Failure) -> Trap:
    """What the user most likely did, in the user's words."""
    for pattern, explain in _EXPLANATIONS:
        if pattern in failure.reason:
            return explain(failure)
    return failure.trap(
        failure.index, f"this is not YAML: {failure.reason}", "quote the text that stands here"
    )


def undefined_alias(failure: Failure) -> Trap:
    """`path: *.md`"""
    value = failure.value_at(failure.index)
    message = f"{shown(value)} is read as a YAML alias, and nothing before it is anchored so"
    return failure.trap(failure.index, message, f"quote it: {quote(value)}", failure.index)


def value_text(text: str, start: int, is_flow: bool) -> str:
    """The value that begins at `start`, as far as its line goes; in a flow mapping or list up to its end."""
    line = re.split("[\r\n]", text[start : start + _LONGEST_VALUE], maxsplit=1)[0]
    before = re.split("[\r\n]", text[max(start - _LONGEST_VALUE, 0) : start])[-1]
    is_flow = is_flow or before.count("{") + before.count("[") > before.count("}") + before.count("]")
    end = _end_in_flow(line) if is_flow else len(line)
    return line[:end].split(" #")[0].strip() or line.strip()


def _end_in_flow(line: str) -> int:
    depth = 0
    for i, character in enumerate(line):
        depth += (character in "{[") - (character in "}]")
        if depth < 0 or (depth == 0 and character == ","):
            return i
    return len(line)


def _block_text(failure: Failure) -> Trap:
    """`accuracy: > 0.9`"""
    value = failure.value_at(failure.context)
    message = f"{shown(value)} is read as the start of a block text"
    return failure.trap(failure.context, message, f"quote it: {quote(value)}", failure.context)


def _reserved_start(failure: Failure) -> Trap:
    """`{accuracy: > 0.9}`, `user: @me`, and tabs."""
    character = failure.text[failure.index : failure.index + 1]
    if character == "\t":
        return failure.trap(
            failure.index, "a tab stands here; YAML takes only spaces", "replace it by spaces"
        )
    value = failure.value_at(failure.index)
    message = f"{shown(value)} begins with {character}, which means something else to YAML"
    return failure.trap(failure.index, message, f"quote it: {quote(value)}", failure.index)


def _bad_anchor(failure: Failure) -> Trap:
    value = failure.value_at(failure.context)
    kind = "alias" if value.startswith("*") else "anchor"
    message = f"{shown(value)} is read as a YAML {kind}"
    return failure.trap(failure.context, message, f"quote it: {quote(value)}", failure.context)


def _flow_end(failure: Failure) -> Trap:
    """`{base: ${vars.base}}`, or a brace that is never closed."""
    if failure.reason.endswith("but got '{'") and _is_within_value(failure):
        return _braces(failure)
    opening = failure.text[failure.context : failure.context + 1]
    closing = "}" if opening == "{" else "]"
    if "<stream end>" in failure.reason:
        return failure.trap(
            failure.context, f"this '{opening}' is never closed", f"close it with '{closing}'"
        )
    opened = failure.at(failure.context)
    message = (
        f"',' or '{closing}' is missing before this, for the '{opening}' of {opened.line}:{opened.column}"
    )
    return failure.trap(failure.index, message, "add it; quote text that holds any of , : { } [ ]")


def _is_within_value(failure: Failure) -> bool:
    between = failure.text[failure.value : failure.index]
    return 0 < len(between) < 1000 and not set(between) & set("\r\n,]}")


def _braces(failure: Failure) -> Trap:
    value = failure.value_at(failure.value)
    braces = [i for i in range(failure.value, failure.value + len(value)) if failure.text[i] in "{}"]
    message = f"the braces in {shown(value)} are read as a mapping"
    return failure.trap(failure.value, message, f"quote it: {quote(value)}", *braces)


def _second_colon(failure: Failure) -> Trap:
    """`description: Support: tickets`, or a key that is indented too far."""
    start = failure.text.rfind("\n", 0, failure.index) + 1
    line = failure.text[start : failure.index]
    key, colon, value = line.partition(": ")
    if colon and value.strip():
        begin = start + len(key) + 2 + len(value) - len(value.lstrip())
        whole = failure.value_at(begin)
        message = f"{shown(whole)} holds a ':', so it is read as a key"
        return failure.trap(begin, message, f"quote it: {quote(whole)}", failure.index)
    begin = start + len(line) - len(line.lstrip())
    message = f"the key {shown(line.strip())} can't stand here: the value above goes on"
    return failure.trap(begin, message, _colon_fix(failure, start), failure.index)


def _colon_fix(failure: Failure, line_start: int) -> str:
    above = failure.text[:line_start].rstrip().rpartition("\n")[2]
    if found := _WORD_WITH_COLON.match(above):
        return f"put a space after the colon: {found[1]}: {found[2]}"
    return "indent it like the keys beside it"


def _no_colon(failure: Failure) -> Trap:
    line = failure.value_at(failure.context)
    if found := _WORD_WITH_COLON.match(line):
        fix = f"put a space after the colon: {found[1]}: {found[2]}"
    else:
        fix = "a key ends with a colon and a space"
    return failure.trap(failure.context, f"{shown(line)} is no key", fix)


def _open_quote(failure: Failure) -> Trap:
    mark = failure.text[failure.context : failure.context + 1]
    return failure.trap(failure.context, "this quote is never closed", f"close it with {mark}")


def _escape(failure: Failure) -> Trap:
    index = max(failure.text.rfind("\\", 0, failure.index + 1), failure.context)
    message = f"{shown(failure.text[index : index + 2])} is no escape that double quotes know"
    return failure.trap(index, message, "use single quotes, or double the backslash")


def _indentation(failure: Failure) -> Trap:
    line_start = failure.text.rfind("\n", 0, failure.index) + 1
    before = failure.text[line_start : failure.index].strip()
    if before:
        message = "text stands behind a value that has ended"
        return failure.trap(failure.index, message, "quote the whole value")
    opened = failure.at(failure.context)
    message = f"this line does not fit the indentation of what begins at {opened.line}:{opened.column}"
    return failure.trap(failure.index, message, "indent it like the lines beside it")


def _no_value(failure: Failure) -> Trap:
    found = failure.text[failure.index : failure.index + 1]
    if not found:
        return failure.trap(failure.index, "the file ends where a value is expected", "add it")
    return failure.trap(
        failure.index, f"a value is missing before '{found}'", "add it, or quote it if it is text"
    )


def _list_in_value(failure: Failure) -> Trap:
    return failure.trap(
        failure.index, "a list can't begin behind a key", "begin it on the next line, or write [a, b]"
    )


_EXPLANATIONS: tuple[tuple[str, Callable[[Failure], Trap]], ...] = (
    ("while scanning a block scalar", _block_text),
    ("that cannot start any token", _reserved_start),
    ("while scanning an alias", _bad_anchor),
    ("while scanning an anchor", _bad_anchor),
    ("expected ',' or", _flow_end),
    ("mapping values are not allowed", _second_colon),
    ("could not find expected ':'", _no_colon),
    ("unexpected end of stream", _open_quote),
    ("unexpected document separator", _open_quote),
    ("escape", _escape),
    ("expected <block end>", _indentation),
    ("expected the node content", _no_value),
    ("sequence entries are not allowed", _list_in_value),
)
