"""What a profile and `--set` lay over the file: file < profile < --set."""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Sequence as Sequential

from msgspec import Struct

from sparkfile_schema.document import DEEPEST, read_document
from sparkfile_schema.keys import NAMED, NOUNS, TOP
from sparkfile_schema.nodes import Entry, Map, Node, Scalar, Sequence, Unreadable
from sparkfile_schema.problems import Position, Problem
from sparkfile_schema.scalars import NumberError, resolve, shown
from sparkfile_schema.suggest import did_you_mean

_MOST_SHOWN = 14
NOT_IN_PROFILES = ("version", "project", "profiles")


def overlaid(base: Node, over: Node) -> Node:
    """`over` on `base`: mappings key by key, all else is replaced; another `use` drops the old `with`."""
    if not isinstance(over, Map) or not isinstance(base, Map):
        return over
    below = dict(base.entries)
    if _is_other_rule(base, over):
        below.pop("with", None)
    for key, entry in over.entries.items():
        old = below.get(key)
        below[key] = Entry(
            entry.key_at, overlaid(_long_form(key, old.node, entry.node), entry.node) if old else entry.node
        )
    return Map(below, base.at)


def _is_other_rule(base: Map, over: Map) -> bool:
    old, new = base.entries.get("use"), over.entries.get("use")
    if not old or not new or not isinstance(old.node, Scalar) or not isinstance(new.node, Scalar):
        return False
    return old.node.value != new.node.value


def _long_form(key: str, old: Node, over: Node) -> Node:
    """`source: data/tickets` as {use: files, with: {path: data/tickets}}, where more is laid over it."""
    if key != "source" or not isinstance(old, Scalar) or not isinstance(over, Map) or "use" in over.entries:
        return old
    params = Map({"path": Entry(old.at, old)}, old.at)
    use = Scalar("files", "files", old.at)
    return Map({"use": Entry(old.at, use), "with": Entry(old.at, params)}, old.at)


def with_profile(root: Map, name: str, file: str) -> tuple[Map, list[Problem]]:
    """The document as the profile changes it; a profile changes what is there and adds no names."""
    profiles = root.entries.get("profiles")
    known = list(profiles.node.entries) if profiles and isinstance(profiles.node, Map) else []
    if not profiles or not isinstance(profiles.node, Map) or name not in known:
        at = profiles.key_at if profiles else Position(file, 1, 1)
        return root, [Problem(at, f"no profile {shown(name)}", known_names(name, known, "profiles"))]
    overlay = profiles.node.entries[name].node
    if not isinstance(overlay, Map):
        return root, []  # reading the profiles says what is wrong with it
    overlay, problems = _without_unknown(root, overlay, name)
    changed = overlaid(root, overlay)
    assert isinstance(changed, Map)
    return changed, problems


def _without_unknown(root: Map, overlay: Map, profile: str) -> tuple[Map, list[Problem]]:
    problems: list[Problem] = []
    kept: dict[str, Entry] = {}
    for key, entry in overlay.entries.items():
        if key in NOT_IN_PROFILES:
            message = f"a profile can't change {shown(key)}"
            problems.append(Problem(entry.key_at, message, f"remove it from profile {shown(profile)}"))
        elif key not in TOP:
            fix = known_names(key, [k for k in TOP if k not in NOT_IN_PROFILES], "keys")
            problems.append(
                Problem(entry.key_at, f"unknown key {shown(key)} in profile {shown(profile)}", fix)
            )
        elif key in NAMED and isinstance(entry.node, Map):
            there = _names(root, key)
            unknown = [name for name in entry.node.entries if name not in there]
            for name in unknown:
                fix = known_names(name, there, key)
                message = f"profile {shown(profile)} changes {NOUNS[key]} {shown(name)}, which is not there"
                problems.append(Problem(entry.node.entries[name].key_at, message, fix))
            left = {n: e for n, e in entry.node.entries.items() if n not in unknown}
            kept[key] = Entry(entry.key_at, Map(left, entry.node.at))
        else:
            kept[key] = entry
    return Map(kept, overlay.at), problems


def _names(root: Map, section: str) -> list[str]:
    entry = root.entries.get(section)
    return list(entry.node.entries) if entry and isinstance(entry.node, Map) else []


def known_names(word: str, known: Iterable[str], noun: str) -> str:
    """The fix for a name that points at nothing."""
    names = list(known)
    meant = did_you_mean(word, names)
    if meant:
        return f"did you mean {shown(meant)}?"
    if not names:
        return f"there are no {noun} yet"
    more = ", …" if len(names) > _MOST_SHOWN else ""
    return f"{noun} here: {', '.join(names[:_MOST_SHOWN])}{more}"


# -- --set -------------------------------------------------------------------------------------------


def with_overrides(root: Map, overrides: Sequential[str]) -> tuple[Map, list[Problem]]:
    """The document as `--set PATH=VALUE` changes it, the last one winning."""
    problems: list[Problem] = []
    for text in overrides:
        changed = _with_override(root, text)
        if isinstance(changed, Problem):
            problems.append(changed)
        else:
            root = changed
    return root, problems


def canonical_overrides(overrides: Sequential[str]) -> list[str]:
    """`PATH=VALUE` for each path once, the same for the same changes: 1e-4 and 0.0001 are one value.

    Only where one path lies inside of another does their order count.
    """
    changes: dict[str, str] = {}
    for text in overrides:
        dotted, _, value = text.partition("=")
        path, at = dotted.strip(), Position("", 0, 0)
        node = _value(value.strip(), at)
        changes.pop(path, None)
        changes[path] = value if isinstance(node, Problem) else _canonical(node)
    paths = list(changes)
    is_nested = any(a != b and a.startswith(f"{b}.") for a in paths for b in paths)
    return [f"{path}={changes[path]}" for path in (paths if is_nested else sorted(paths))]


def _canonical(node: Node) -> str:
    if isinstance(node, Map):
        inner = (f"{json.dumps(k)}: {_canonical(e.node)}" for k, e in node.entries.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(node, Sequence):
        return "[" + ", ".join(map(_canonical, node.items)) + "]"
    return json.dumps(node.value) if isinstance(node, Scalar) else "null"


def _with_override(root: Map, text: str) -> Map | Problem:
    dotted, equals, value_text = text.partition("=")
    at = Position(f"--set {dotted.strip()}", 0, 0)
    words = dotted.strip().split(".")
    if not equals or not all(words):
        return Problem(at, "PATH=VALUE is expected", "such as --set recipes.sft.with.learning_rate=1e-4")
    if len(words) > DEEPEST:
        return Problem(at, f"nested more than {DEEPEST} levels deep", "shorten the path")
    value = _value(value_text.strip(), at)
    if isinstance(value, Problem):
        return value
    changed = _Setting(at, value).set(root, tuple(words), ())
    if isinstance(changed, Problem):
        return changed
    assert isinstance(changed, Map)
    return changed


def _value(text: str, at: Position) -> Node | Problem:
    """A scalar as it stands, so that no trap of YAML bites on a command line; else [ { \" ' in YAML."""
    if text[:1] not in ("[", "{", '"', "'"):
        try:
            return Scalar(resolve(text), text, at)
        except NumberError as error:
            return Problem(at, str(error), "give another value")
    node, problems = read_document(text, at.file)
    if problems or node is None:
        first = problems[0] if problems else None
        return Problem(at, first.message if first else "there is no value", first.fix if first else "add one")
    return _placed(node, at)


def _placed(node: Node, at: Position) -> Node:
    if isinstance(node, Map):
        return Map({key: Entry(at, _placed(entry.node, at)) for key, entry in node.entries.items()}, at)
    if isinstance(node, Sequence):
        return Sequence(tuple(_placed(item, at) for item in node.items), at)
    return Scalar(node.value, node.written, at) if isinstance(node, Scalar) else Unreadable(at)


class _Setting(Struct, frozen=True):
    """One `--set`: walks down, names with dots first, and rebuilds what it passed on the way up."""

    at: Position
    value: Node

    def set(self, node: Node | None, words: tuple[str, ...], above: tuple[str, ...]) -> Node | Problem:
        if not words:
            return self.value
        if isinstance(node, Sequence):
            return self._in_list(node, words, above)
        if isinstance(node, Scalar) and above[-1:] == ("source",) and isinstance(node.value, str):
            node = _long_form("source", node, Map({}, self.at))
        if isinstance(node, Scalar) and node.value is not None:
            return Problem(
                self.at,
                f"{shown('.'.join(above))} is {shown(node.written)} and holds no keys",
                "shorten the path",
            )
        here = node if isinstance(node, Map) else Map({}, self.at)
        return self._in_map(here, words, above)

    def _in_map(self, here: Map, words: tuple[str, ...], above: tuple[str, ...]) -> Node | Problem:
        key, rest = self._key(here, words)
        old = here.entries.get(key)
        if (old is None or not above) and (problem := self._unknown(here, key, above)):
            return problem
        changed = self.set(old.node if old else None, rest, (*above, key))
        if isinstance(changed, Problem):
            return changed
        if key == "use" and not rest:
            here_entries = overlaid(here, Map({"use": Entry(self.at, changed)}, self.at))
            assert isinstance(here_entries, Map)
            return here_entries
        key_at = old.key_at if old and rest else self.at
        return Map({**here.entries, key: Entry(key_at, changed)}, here.at)

    def _key(self, here: Map, words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        for length in range(len(words), 0, -1):
            key = ".".join(words[:length])
            if key in here.entries:
                return key, words[length:]
        return words[0], words[1:]

    def _unknown(self, here: Map, key: str, above: tuple[str, ...]) -> Problem | None:
        """Keys of the grammar may be new, names of datasets, recipes and so on may not."""
        if not above and key in ("version", "profiles"):
            return Problem(self.at, f"--set can't change {shown(key)}", "change it in the file")
        if not above and key not in TOP:
            return Problem(self.at, f"unknown key {shown(key)}", known_names(key, TOP, "keys"))
        if len(above) == 1 and above[0] in NAMED:
            message = f"no {NOUNS[above[0]]} {shown(key)}"
            return Problem(self.at, message, known_names(key, here.entries, above[0]))
        return None

    def _in_list(self, node: Sequence, words: tuple[str, ...], above: tuple[str, ...]) -> Node | Problem:
        index = int(words[0]) if words[0].isdecimal() and len(words[0]) < 7 else -1
        if not 0 <= index < len(node.items):
            message = f"{shown('.'.join(above))} is a list of {len(node.items)}"
            return Problem(
                self.at, f"{message}, and {shown(words[0])} is none of its places", "places count from 0"
            )
        changed = self.set(node.items[index], words[1:], (*above, words[0]))
        if isinstance(changed, Problem):
            return changed
        return Sequence((*node.items[:index], changed, *node.items[index + 1 :]), node.at)
