"""Fields: values brought into one form, held against declared types, and typed by what they are."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from spark_build.contract.items import FIELD_TYPES, Raw
from spark_build.contract.media import MARK, MEDIA_KINDS, is_reference
from spark_build.contract.rows import RESERVED_COLUMNS
from spark_build.core.digest import canonical_row
from spark_build.core.errors import BadInput, ItemRejected

_EXACT_BELOW = 2**53  # whole numbers up to here are exact as float64
_EMPTY_LIST = "empty list"  # messages or json, as its neighbours are
_TRUE_FALSE = {True: "true", False: "false"}


def check_declared(declared: Mapping[str, str]) -> None:
    """Errors: BadInput for types that there are not."""
    for name, kind in declared.items():
        if name in RESERVED_COLUMNS:
            raise BadInput(
                f"fields.{name}: the name is taken by every dataset's own column", fix="rename the column"
            )
        if kind not in FIELD_TYPES:
            raise BadInput(f"fields.{name}: no type '{kind}'", fix=f"one of {', '.join(FIELD_TYPES)}")


def plain(value: Any) -> Any:
    """A whole number as a float where that is exact: what is stored, compared and digested is one form."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT_BELOW:
        return float(value)
    return value


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in fields.items()}


def checked_json(record: Mapping[str, Any]) -> bytes:
    """Canonical JSON. Errors: ItemRejected where a value has none (a date, NaN, half of a surrogate pair)."""
    try:
        return canonical_row(record)
    except (TypeError, ValueError, RecursionError) as error:
        raise ItemRejected("bad_value", str(error)) from None


def own_columns_out(raw: Raw) -> tuple[dict[str, Any], str | None, dict[str, Any]]:
    """A record's fields, id and meta: its own `id` names it, its own `source` and `meta` go to `meta`."""
    fields, meta, record_id = dict(raw.fields), dict(raw.meta), raw.id
    named = fields.pop("id", None)
    if record_id is None and isinstance(named, str | int | float) and str(named) != "":
        record_id = str(int(named)) if isinstance(named, float) and named.is_integer() else str(named)
    for name in ("source", "meta"):
        if name in fields:
            meta[name] = fields.pop(name)
    return fields, record_id, meta


def converted(fields: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """The fields, declared ones in their type. Errors: ItemRejected where one is missing or misfits."""
    for name in declared:
        if fields.get(name) is None:
            raise ItemRejected("missing_field", f"{name}: {'null' if name in fields else 'not there'}")
    return reconverted(fields, declared)


def reconverted(fields: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """As `converted`, of what a transform gave: it may leave a field out."""
    return {n: _as(declared[n], v, n) if n in declared and v is not None else v for n, v in fields.items()}


def typed(
    rows: Iterable[Mapping[str, Any]], declared: Mapping[str, str], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Every field's type, by name: the declared one, a `known` one that fits, else the narrowest for all values."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = seen.setdefault(name, set())
            if value is not None:
                kinds.add(type_of(value))
    found = {name: declared.get(name) or _narrowest(name, seen[name]) for name in sorted(seen)}
    fitting = {n: kind for n, kind in (known or {}).items() if n in seen and fits(kind, seen[n])}
    return {**found, **fitting, **{name: kind for name, kind in declared.items() if name in found}}


def fits(kind: str, kinds: set[str]) -> bool:
    """Whether values of these kinds (see `type_of`) can stand in a field of this one."""
    if kind == "json":
        return True
    if kind == "messages":
        return kinds <= {"messages", _EMPTY_LIST}
    return kinds <= {"text" if kind == "label" else kind}


def _narrowest(name: str, kinds: set[str]) -> str:
    if len(kinds) > 1 and (media := kinds.intersection(MEDIA_KINDS)):
        raise BadInput(
            f"the field '{name}' holds {' and '.join(sorted(kinds))}",
            fix=f"declare `fields: {{{name}: {min(media)}}}`, so that other values are rejected",
        )
    if len(kinds) > 1 and kinds <= {"messages", _EMPTY_LIST}:
        return "messages"
    return next(iter(kinds)) if len(kinds) == 1 and _EMPTY_LIST not in kinds else "json"


def type_of(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, float):
        return "number"
    if is_reference(value):
        return str(value[MARK])
    if value == []:
        return _EMPTY_LIST
    return "messages" if is_messages(value) else "json"


def is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_message(message) for message in value)


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and isinstance(value["role"], str)
        and isinstance(value["content"], str)
    )


def _as(kind: str, value: Any, name: str) -> Any:
    if kind in MEDIA_KINDS or is_reference(value):
        if is_reference(value) and value[MARK] == kind:
            return value
        what = f"{value[MARK]} ({value['path']})" if is_reference(value) else _shortened(value)
        raise ItemRejected("field_type", f"{name}: {what} is no {kind}")
    if kind == "json":
        return value
    if kind in ("text", "label") and isinstance(value, str | float | int):
        return _text(value)
    if kind == "number" and (number := _number(value)) is not None:
        return number
    if kind == "messages" and is_messages(value):
        return value
    raise ItemRejected("field_type", f"{name}: {_shortened(value)} is no {kind}")


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return _TRUE_FALSE[value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_BELOW:
        return str(int(value))  # a label 3 of a CSV or of JSON is '3', not '3.0'
    return str(value)


def _number(value: Any) -> float | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
