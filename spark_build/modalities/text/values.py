"""Values of a row as a dataset keeps them: text, numbers, messages, or JSON."""

import datetime
import decimal
import math
from collections.abc import Mapping
from typing import Any

from spark_build.core.errors import ItemRejected

_EXACT = 2**53  # beyond it float64 skips whole numbers


def value_of(value: Any) -> Any:
    """`value` as text (str), number (float), messages or JSON; NaN is None.

    Whole numbers that float64 can't hold become text: an id of 18 digits stays what it is.
    Errors: ItemRejected for bytes, infinite numbers and text that is no Unicode.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return float(value) if abs(value) <= _EXACT else str(value)
    if _is_messages(value):
        return [{"role": _json(m["role"]), "content": _json(m["content"])} for m in value]
    return _json(value)


def _is_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(m, Mapping) and m.keys() == {"role", "content"} for m in value)
        and all(isinstance(m["role"], str) and isinstance(m["content"], str) for m in value)
    )


def _json(value: Any) -> Any:
    if isinstance(value, str):
        return _checked(value)
    if isinstance(value, float):
        if math.isinf(value):
            raise ItemRejected("not_finite", "an infinite number")
        return None if math.isnan(value) else value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {_checked(str(name)): _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    return _of_other_type(value)


def _checked(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ItemRejected("encoding", "half of a surrogate pair, which is no text") from None
    return text


def _of_other_type(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise ItemRejected("unsupported_type", f"a value of type {type(value).__name__}")
