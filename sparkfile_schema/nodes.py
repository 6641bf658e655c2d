"""The document as a tree that knows where everything stands."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from sparkfile_schema.problems import Position

Plain = str | int | float | bool | None


class Scalar(Struct, frozen=True):
    """`written` is the text in the file; `template` is set where `${env.X}` or `${secret.X}` stood in it."""

    value: Plain
    written: str
    at: Position
    template: str | None = None
    env: frozenset[str] = frozenset()
    names_secret: bool = False


class Unreadable(Struct, frozen=True):
    """Something that already has its problem, so nothing more is said about it."""

    at: Position


class Sequence(Struct, frozen=True):
    items: tuple[Node, ...]
    at: Position


class Entry(NamedTuple):
    key_at: Position
    node: Node


class Map(Struct, frozen=True):
    entries: dict[str, Entry]
    at: Position


Node = Scalar | Unreadable | Sequence | Map


def find(root: Node | None, path: tuple[str | int, ...]) -> Entry | None:
    """The entry at `path`; the key of a list's item is the item itself."""
    if root is None:
        return None
    found = Entry(root.at, root)
    for step in path:
        below = _child(found.node, step)
        if below is None:
            return None
        found = below
    return found


def _child(node: Node, step: str | int) -> Entry | None:
    if isinstance(node, Map):
        return node.entries.get(str(step))
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        return Entry(node.items[step].at, node.items[step])
    return None
