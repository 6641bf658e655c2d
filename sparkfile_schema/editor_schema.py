"""The JSON Schema of a whole Sparkfile, composed from the rules' Params, for editors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sparkfile_schema import keys
from sparkfile_schema.address import PARAM_PATTERN
from sparkfile_schema.keys import NAME_PATTERN, NUMERICS, OWN_RULE_PATTERN, RESOURCES, Keys

Schema = dict[str, Any]
Rules = Mapping[str, Mapping[str, Mapping[str, Any]]]

FAMILIES = ("source", "transform", "gate", "versioner", "recipe", "metric", "exporter", "server")
_PARTIAL = frozenset(("recipe",))  # a target's `with` may bring what a recipe lacks
_NAME = f"^{NAME_PATTERN}$"
_TEXT: Schema = {"type": "string", "minLength": 1}
_BOUND = r"^\s*(<=|>=|<|>|≤|≥)\s*[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?\s*%?\s*$"
_REFERENCE: Schema = {
    "type": "string",
    "pattern": r"\$\{(vars|env|secret|matrix)\.",
    "description": "A value from vars or the environment.",
}


def json_schema(rules: Rules) -> Schema:
    """The schema of a Sparkfile (draft 2020-12) whose `with:` are checked by the rule that `use:` names.

    `rules`: family -> rule -> JSON Schema of its Params, as pydantic writes them.
    """
    defs: Schema = {"reference": _REFERENCE, **_shared()}
    for family in FAMILIES:
        for rule, params in rules.get(family, {}).items():
            defs.update(_hoisted(f"{family}.{rule}", params))
        defs[family] = _use(family, rules.get(family, {}), defs)
    whole = _top()
    defs["profile"] = _profile(whole, defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sparkfile",
        "description": "Datasets, gates, recipes, targets and deployments of a project.",
        **whole,
        "$defs": defs,
    }


# -- the grammar -------------------------------------------------------------------------------------


def _top() -> Schema:
    sections = {
        "version": {"const": 1},
        "project": _or_reference({"type": "string", "pattern": _NAME}),
        "vars": _named({"type": ["string", "number", "boolean"]}),
        "include": {"type": "array", "items": _TEXT, "uniqueItems": True},
        "imports": _named({"anyOf": [_TEXT, _import()]}),
        "store": _object(keys.STORE, {**dict.fromkeys(keys.STORE, _TEXT), "keys": _public_keys()}),
        "environment": _object(
            keys.ENVIRONMENT,
            {"libraries": {"enum": list(keys.LIBRARIES)}, "hermetic": {"enum": list(keys.HERMETIC)}},
        ),
        "limits": _object(
            keys.LIMITS, {"ask_above": {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[smhd]$"}}
        ),
        "numerics": _ref("numerics"),
        "datasets": _named(_ref("dataset")),
        "gates": _named(_ref("gate")),
        "recipes": _named(_ref("recipe")),
        "targets": _named(_ref("target")),
        "deployments": _named(_ref("deployment")),
        "profiles": _named(_ref("profile")),
    }
    return _object(keys.TOP, sections, required=("version", "project"))


def _import() -> Schema:
    parts = {**dict.fromkeys(keys.IMPORT, _TEXT), "keys": _public_keys()}
    return _object(keys.IMPORT, parts, required=("url",))


def _public_keys() -> Schema:
    key = _or_reference({"type": "string", "pattern": f"^{keys.PUBLIC_KEY_PATTERN}$"})
    return {"type": "array", "minItems": 1, "items": key}


def _shared() -> Schema:
    return {
        "numerics": _numerics(),
        "resources": _object(RESOURCES, {"gpus": _count(0), "cpus": _count(1), "memory": _TEXT}),
        "bound": _bound(),
        "requirements": _map_of(_ref("bound")),
        "splits": _splits(),
        "dataset": _dataset(),
        "evaluation": _evaluation(),
        "target": _target(),
        "deployment": _deployment(),
    }


def _numerics() -> Schema:
    choices = {"device": keys.DEVICES, "dtype": keys.DTYPES, "isa": keys.ISAS}
    listed = {key: _or_reference({"enum": list(allowed)}) for key, allowed in choices.items()}
    return _object(NUMERICS, {**listed, "threads": _count(1), "world_size": _count(1)})


def _dataset() -> Schema:
    types: Schema = {"enum": list(keys.FIELD_TYPES)}
    parts = {
        "source": {"anyOf": [_TEXT, _ref("source")]},
        "fields": _map_of(types),
        "transforms": _list(_ref("transform")),
        "gates": _list({"anyOf": [{"type": "string", "pattern": _NAME}, _ref("gate")]}),
        "splits": _ref("splits"),
        "require": {
            **_object({}, {"items": _ref("bound"), "rejected": _ref("bound")}),
            "patternProperties": {r"^items\.": _ref("bound")},
        },
        "version": _ref("versioner"),
        "card": {"type": "object", "properties": {"license": _TEXT, "description": _TEXT}},
        "on_error": {"enum": list(keys.ON_ERROR)},
        "push": {"enum": list(keys.PUSH)},
        "matrix": _matrix(),
    }
    return _object(keys.DATASET, parts, required=("source",))


def _matrix() -> Schema:
    values = {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean", "null"]}}
    named = {"patternProperties": {f"^{PARAM_PATTERN}$": values}, "additionalProperties": False}
    return {"type": "object", "minProperties": 1, **named}


def _splits() -> Schema:
    share = _or_reference({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
    parts = {
        "ratios": _named(share),
        "group": _TEXT,
        "balance": _TEXT,
        "at_least": _map_of(_count(1)),
        "keep": {"type": "boolean"},
    }
    written = _object(keys.SPLITS, parts)
    written["additionalProperties"] = share
    written["propertyNames"] = {"pattern": _NAME, "not": {"enum": ["dev", "val", "valid"]}}
    return {"anyOf": [{"const": "keep"}, written]}


def _target() -> Schema:
    exporter = {"anyOf": [_rule_name("exporter"), _ref("exporter")]}
    parts = {
        "recipe": {"anyOf": [{"type": "string", "pattern": _NAME}, _ref("recipe")]},
        "dataset": _TEXT,
        "roles": _map_of(_TEXT),
        "base": _TEXT,
        "with": {"type": "object"},
        "eval": {"if": _looks_short(), "then": _ref("evaluation"), "else": _named(_ref("evaluation"))},
        "package": _list(exporter),
        "numerics": _ref("numerics"),
        "resources": _ref("resources"),
        "matrix": _matrix(),
    }
    return _object(keys.TARGET, parts, required=("recipe",))


def _looks_short() -> Schema:
    """One evaluation, where any of its keys stands; several by name otherwise."""
    return {"type": "object", "anyOf": [{"required": [key]} for key in keys.EVALUATION]}


def _evaluation() -> Schema:
    metric = {"anyOf": [_rule_name("metric"), _ref("metric")]}
    parts = {"dataset": _TEXT, "split": _TEXT, "metrics": _list(metric), "require": _ref("requirements")}
    return _object(keys.EVALUATION, parts, required=("metrics",))


def _deployment() -> Schema:
    """A server with the model that it serves; which keys may stand is said by the server's schema."""
    return {
        "type": "object",
        "properties": {"model": {**_TEXT, "description": keys.DEPLOYMENT["model"]}},
        "required": ["model"],
        "allOf": [_ref("server")],
    }


def _bound() -> Schema:
    figure = _or_reference(
        {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\s*[\d.]+\s*%\s*$"}]}
    )
    form = {"type": "string", "pattern": _BOUND, "examples": ["> 0.9", "<= 40%"]}
    return {"anyOf": [form, _object(keys.BOUNDS, {"min": figure, "max": figure}), _ref("reference")]}


# -- rules -------------------------------------------------------------------------------------------


def _use(family: str, rules: Mapping[str, Mapping[str, Any]], defs: Schema) -> Schema:
    """`{use, with}` where `with` is checked by the Params of the rule that `use` names."""
    own = {"type": "string", "pattern": f"^{OWN_RULE_PATTERN}$", "description": "A rule of your own."}
    named = [{"const": rule, "description": _title(params)} for rule, params in rules.items()]
    parts: Schema = {
        "use": {"anyOf": [*named, own]},
        "with": {"type": "object"},
        "numerics": _ref("numerics"),
        "resources": _ref("resources"),
    }
    described: Keys = keys.USE
    if family == "transform":
        parts["only"], described = _TEXT, keys.TRANSFORM
    if family == "server":
        parts["model"], described = _TEXT, keys.DEPLOYMENT
    schema = _object(described, parts, required=("use",))
    schema["allOf"] = [_params_of(family, rule, defs) for rule in rules]
    defs[f"{family}.name"] = {"anyOf": [*named, own]}
    if not rules:
        del schema["allOf"]
    return schema


def _params_of(family: str, rule: str, defs: Schema) -> Schema:
    params = defs[f"{family}.{rule}"]
    needs_with = bool(params.get("required")) and family not in _PARTIAL
    if family in _PARTIAL:
        params.pop("required", None)
    then: Schema = {"properties": {"with": _ref(f"{family}.{rule}")}}
    if needs_with:
        then["required"] = ["with"]
    return {"if": {"properties": {"use": {"const": rule}}, "required": ["use"]}, "then": then}


def _hoisted(name: str, params: Mapping[str, Any]) -> Schema:
    """The Params and the definitions that they bring, under names of their own."""
    own = params.get("$defs", {})
    moved = {f"#/$defs/{key}": f"#/$defs/{name}.{key}" for key in own}
    main = {key: value for key, value in params.items() if key not in ("$defs", "$schema", "$id")}
    hoisted = {f"{name}.{key}": _open_to_references(_moved(value, moved)) for key, value in own.items()}
    return {name: _open_to_references(_moved(main, moved | {"#": f"#/$defs/{name}"})), **hoisted}


def _moved(schema: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(schema, Mapping):
        return {
            key: moved.get(value, value) if key == "$ref" and isinstance(value, str) else _moved(value, moved)
            for key, value in schema.items()
            if key != "discriminator"  # OpenAPI's, with references of its own
        }
    return [_moved(item, moved) for item in schema] if isinstance(schema, list) else schema


def _open_to_references(schema: Any) -> Any:
    """The schema of a param, which may be written as ${vars.X} whatever its type."""
    if not isinstance(schema, dict):
        return schema
    opened = dict(schema)
    if isinstance(schema.get("properties"), dict):
        opened["properties"] = {
            key: _or_reference(_open_to_references(v)) if isinstance(v, dict) else v
            for key, v in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            opened[key] = _or_reference(_open_to_references(schema[key]))
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list):
            opened[key] = [_open_to_references(part) for part in schema[key]]
    return opened


def _or_reference(schema: Schema) -> Schema:
    told: Schema = {
        key: schema[key]
        for key in ("title", "description", "default", "examples", "deprecated")
        if key in schema
    }
    bare = {key: value for key, value in schema.items() if key not in told}
    return {**told, "anyOf": [bare, _ref("reference")]}


def _title(params: Mapping[str, Any]) -> str:
    return str(params.get("description") or params.get("title") or "").split("\n")[0]


# -- profiles ----------------------------------------------------------------------------------------


def _profile(whole: Schema, defs: Schema) -> Schema:
    """What a profile may change: the same grammar, with nothing required and any `with`."""
    allowed = {k: v for k, v in whole["properties"].items() if k not in ("version", "project", "profiles")}
    for name in [*_shared(), *FAMILIES]:
        defs[f"profile.{name}"] = _partial(defs[name])
    partial: Schema = _partial({"type": "object", "properties": allowed, "additionalProperties": False})
    return partial


def _partial(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_partial(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {k: _partial(v) for k, v in schema.items() if k != "required" or not isinstance(v, list)}
    if "if" in schema:  # which of several forms it is: asked as before
        changed["if"] = schema["if"]
    if "$ref" in schema:
        changed["$ref"] = _partial_reference(schema["$ref"])
    return changed


def _partial_reference(reference: str) -> str:
    name = reference.removeprefix("#/$defs/")
    return f"#/$defs/profile.{name}" if name in (*_shared(), *FAMILIES) else reference


# -- words -------------------------------------------------------------------------------------------


def _object(described: Keys, parts: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """A mapping with known keys, each with its description."""
    properties = {
        key: {"description": described[key], **part} if key in described else part
        for key, part in parts.items()
    }
    schema: Schema = {"type": ["object", "null"], "properties": properties, "additionalProperties": False}
    if required:
        schema |= {"type": "object", "required": list(required)}
    return schema


def _named(schema: Schema) -> Schema:
    return {"type": ["object", "null"], "patternProperties": {_NAME: schema}, "additionalProperties": False}


def _map_of(schema: Schema) -> Schema:
    return {"type": ["object", "null"], "additionalProperties": schema}


def _list(schema: Schema) -> Schema:
    return {"type": ["array", "null"], "items": schema}


def _count(least: int) -> Schema:
    return _or_reference({"type": "integer", "minimum": least})


def _rule_name(family: str) -> Schema:
    return _ref(f"{family}.name")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
