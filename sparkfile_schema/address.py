"""The grammar of addresses: `[FOLDER/][KIND:]NAME[@PARAM=VALUE,…][@TAG][/STAGE]`; values are canonical JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from sparkfile_schema.nodes import Plain
from sparkfile_schema.scalars import NumberError, resolve

Selector = tuple[tuple[str, str], ...]  # parameters in order of their names, each value as canonical JSON
T = TypeVar("T")

KINDS = ("dataset", "model", "deployment")
PARAM_PATTERN = r"[A-Za-z_][A-Za-z0-9._-]*"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_VALUE = r'"(?:[^"\\\x00-\x1f]|\\.)*"|[^\s,@/"][^,@/"\x00-\x1f]*'
_PAIR = re.compile(rf"({PARAM_PATTERN})=({_VALUE})(?:,|$)")
_ADDRESS = re.compile(
    r'(?:(?:(?P<folder>[^\s:@"\\/][^\s:@"\\]*)/)?(?P<kind>dataset|model|deployment):)?'
    rf"(?P<name>{_NAME})"
    rf"(?:@(?P<selector>{PARAM_PATTERN}=(?:{_VALUE})(?:,{PARAM_PATTERN}=(?:{_VALUE}))*))?"
    rf"(?:@(?P<tag>{_NAME}))?"
    r"(?:/(?P<stage>[a-z]+(?:\.[A-Za-z0-9._-]+)?))?"
)


class Parts(NamedTuple):
    """What stands in an address; `kind` is None and `folder` '' where they were left out."""

    folder: str
    kind: str | None
    name: str
    selector: Selector
    tag: str | None
    stage: str | None


def parse_address(text: str) -> Parts | None:
    """None where the text is no address. A value may be typed as YAML has it (`1e-4`, `de`)."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    selector = _selector(match["selector"] or "")
    if selector is None:
        return None
    return Parts(match["folder"] or "", match["kind"], match["name"], selector, match["tag"], match["stage"])


def canonical(value: Plain) -> str:
    """A matrix's value as it stands in addresses: JSON on one line, in which nothing is invisible."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def selector_of(values: Mapping[str, Plain]) -> Selector:
    return tuple(sorted((name, canonical(value)) for name, value in values.items()))


def selector_text(selector: Selector) -> str:
    """`@learning_rate=0.0001,seed=1`; '' where nothing is selected."""
    return "@" + ",".join(f"{name}={value}" for name, value in selector) if selector else ""


def selected(selector: Selector, members: Iterable[tuple[T, Selector]]) -> list[T]:
    """The members that a selector means, in their order.

    Where none has such a value, a text may have been typed without its quotes: `tag=1` for `tag="1"`.
    """
    members = list(members)
    found = [member for member, own in members if _fits(selector, own, is_typed=False)]
    return found or [member for member, own in members if _fits(selector, own, is_typed=True)]


def _fits(selector: Selector, own: Selector, *, is_typed: bool) -> bool:
    values = dict(own)
    return all(name in values and _same(value, values[name], is_typed) for name, value in selector)


def _same(asked: str, own: str, is_typed: bool) -> bool:
    if asked == own:
        return True
    asked_value, own_value = json.loads(asked), json.loads(own)
    if is_typed and isinstance(own_value, str):
        return asked == own_value
    return _is_number(asked_value) and _is_number(own_value) and bool(asked_value == own_value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _selector(text: str) -> Selector | None:
    """None where a parameter stands twice, or a quoted value is no JSON."""
    try:
        pairs = [(match[1], canonical(_value(match[2]))) for match in _pairs(text)]
    except ValueError:
        return None
    return tuple(sorted(pairs)) if len(dict(pairs)) == len(pairs) else None


def _pairs(text: str) -> Iterator[re.Match[str]]:
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:  # the whole pattern has matched, so this can't be
            raise ValueError(text)
        yield match
        place = match.end()


def _value(text: str) -> Plain:
    if text.startswith('"'):
        return str(json.loads(text))
    try:
        return resolve(text)
    except NumberError:
        return text


__all__ = [
    "KINDS", "PARAM_PATTERN", "Parts", "Selector", "canonical", "parse_address", "selected", "selector_of",
    "selector_text",
]  # fmt: skip
