"""A rule and its params: `{use: RULE, with: {…}}`, wherever one may stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct, field

from sparkfile_schema.keys import (
    DEVICES,
    DTYPES,
    ISAS,
    NAME_PATTERN,
    NUMERICS,
    OWN_RULE_PATTERN,
    RESOURCES,
    USE,
)
from sparkfile_schema.model import Path, Use
from sparkfile_schema.nodes import Map, Node, Sequence, Unreadable
from sparkfile_schema.overlay import known_names
from sparkfile_schema.reader import Part, Reader
from sparkfile_schema.scalars import shown
from sparkfile_schema.suggest import did_you_mean

_CHOICES = {"device": DEVICES, "dtype": DTYPES, "isa": ISAS}
_RULE = re.compile(NAME_PATTERN)
_OWN_RULE = re.compile(OWN_RULE_PATTERN)


class Params(Struct):
    """`with:` as plain values, and where each of them was written."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[Path, Path] = field(default_factory=dict)
    templates: dict[Path, str] = field(default_factory=dict)
    env: set[str] = field(default_factory=set)
    unreadable: set[Path] = field(default_factory=set)


def read_use(
    reader: Reader, part: Part, keys: Mapping[str, str] = USE, label: str | None = None
) -> Use | None:
    """The rule that `{use: …, with: …}` names; `label` is the name that the user gave it, if any."""
    if isinstance(part.value, str):
        reader.problem(
            part.at, f"{part.what} has to be a rule, not {shown(part.value)}", f"write {{use: {part.value}}}"
        )
        return None
    entries = use_entries(reader, part, keys)
    rule = read_rule(reader, entries["use"]) if "use" in entries else None
    params = read_params(reader, entries.get("with"))
    numerics, resources = (
        read_numerics(reader, entries.get("numerics")),
        read_resources(reader, entries.get("resources")),
    )
    if rule is None:
        return None
    return make_use(rule, label or rule_label(rule), part.path, params, numerics, resources)


def read_named_use(reader: Reader, part: Part) -> Use | None:
    """A rule that may stand as its bare name, as metrics and exporters do."""
    if not isinstance(part.value, str):
        return read_use(reader, part)
    rule = read_rule(reader, part)
    return make_use(rule, rule_label(rule), part.path, Params(), {}, {}) if rule else None


def make_use(
    rule: str,
    label: str,
    path: Path,
    params: Params,
    numerics: Mapping[str, object],
    resources: Mapping[str, object],
    options: Mapping[str, object] | None = None,
) -> Use:
    names = params.env | _declared_env(rule, params.values)
    return Use(
        rule=rule,
        label=label,
        params=params.values,
        path=path,
        origins=params.origins,
        templates=params.templates,
        env=frozenset(names),
        numerics=numerics,
        resources=resources,
        options=options or {},
        unreadable=frozenset(params.unreadable),
    )


def rule_label(rule: str) -> str:
    """What a rule is called where the user gave it no name: its own, or its class's."""
    return rule.rpartition(":")[2] if _OWN_RULE.fullmatch(rule) else rule


def read_rule(reader: Reader, part: Part) -> str | None:
    rule = reader.text(part.called("'use'") if part.path[-1:] == ("use",) else part)
    if rule is None or _RULE.fullmatch(rule) or _OWN_RULE.fullmatch(rule):
        return rule
    is_file = rule.endswith(".py") or ".py:" in rule or "/" in rule
    fix = "a rule of your own is ./my_gate.py:MyGate" if is_file else "use letters, digits, '.', '_' and '-'"
    reader.problem(part.at, f"{shown(rule)} can't be the name of a rule", fix)
    return None


def use_entries(reader: Reader, part: Part, keys: Mapping[str, str] = USE) -> dict[str, Part]:
    """Like Reader.section, but knows that params are often written beside `use` instead of under `with`."""
    entries = reader.mapping(part, "write {use: RULE, with: {…}}")
    for key, entry in entries.items():
        if key not in keys:
            fix = known_names(key, keys, "keys") if did_you_mean(key, keys) else _under_with(key)
            reader.unknown_key(entry.key_at, key, part.what, keys, fix)
    reader.check_required(part, ("use",), {"use": "add use: RULE"}, keys)
    return {key: entry for key, entry in entries.items() if key in keys}


def _under_with(key: str) -> str:
    return f"parameters of the rule stand under 'with:', as in with: {{{key}: …}}"


def _declared_env(rule: str, values: Mapping[str, object]) -> set[str]:
    listed = values.get("env") if rule == "command" else None
    return {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()


# -- params ------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """A node that may be laid over others, and where its document has it."""

    node: Node
    path: Path


def read_params(reader: Reader, *layers: Part | None, extra: Layer | None = None) -> Params:
    """The params of all layers, each over the one before: mappings key by key, anything else is replaced."""
    params = Params()
    stack: list[Layer] = []
    for part in layers:
        if part is None:
            continue
        reader.check_mapping(part, "such as with: {threshold: 0.9}")
        if isinstance(part.node, Map):
            stack.append(Layer(part.node, part.path))
        elif isinstance(part.node, Unreadable):
            params.unreadable.add(())
    if extra:
        stack.append(extra)
    if stack:
        values = _plain(reader, params, stack, ())
        params.values = values if isinstance(values, dict) else {}
        params.origins.pop((), None)
    return params


def _plain(reader: Reader, params: Params, layers: list[Layer], place: Path) -> object:
    """The value at `place`: that of the last layer, which a mapping shares with the mappings below it."""
    reader.spend()
    node, path = layers[-1].node, layers[-1].path
    params.origins[place] = path
    if isinstance(node, Map):
        return _plain_map(reader, params, layers, place)
    if isinstance(node, Sequence):
        items = enumerate(node.items)
        return [_plain(reader, params, [Layer(item, (*path, i))], (*place, i)) for i, item in items]
    if isinstance(node, Unreadable):
        params.unreadable.add(place)
        return None
    if node.template is not None:
        params.templates[place] = node.template
    params.env |= node.env
    return node.value


def _plain_map(reader: Reader, params: Params, layers: list[Layer], place: Path) -> dict[str, object]:
    below: dict[str, list[Layer]] = {}
    first = next((i for i in range(len(layers), 0, -1) if not isinstance(layers[i - 1].node, Map)), 0)
    for layer in layers[first:]:
        assert isinstance(layer.node, Map)
        for key, entry in layer.node.entries.items():
            below.setdefault(key, []).append(Layer(entry.node, (*layer.path, key)))
    return {key: _plain(reader, params, stack, (*place, key)) for key, stack in below.items()}


# -- numerics and resources --------------------------------------------------------------------------


def read_numerics(reader: Reader, *layers: Part | None) -> dict[str, object]:
    return _layered(reader, layers, NUMERICS)


def read_resources(reader: Reader, *layers: Part | None) -> dict[str, object]:
    return _layered(reader, layers, RESOURCES)


def _layered(reader: Reader, layers: Iterable[Part | None], keys: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for layer in layers:
        for key, part in (reader.section(layer, keys) if layer else {}).items():
            value = _setting(reader, key, part)
            if value is not None:
                values[key] = value
    return values


def _setting(reader: Reader, key: str, part: Part) -> object:
    if key in ("threads", "world_size"):
        return reader.integer(part, 1)
    if key == "gpus":
        return reader.integer(part, 0)
    if key == "cpus":
        return reader.integer(part, 1)
    return reader.memory(part) if key == "memory" else reader.choice(part, _CHOICES[key])
