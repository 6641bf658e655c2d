"""What is read of a model's answer: JSON, a number, or the text as it is."""

import json
import math
import re
from functools import lru_cache
from typing import Any

from spark_build.core.digest import canonical_json
from spark_build.core.errors import ItemRejected

_NUMBER = r"-?\d+(?:\.\d+)?"
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_MOST_SHOWN = 120  # characters of an answer in the reason


@lru_cache(maxsize=16)
def compiled(pattern: str | None) -> re.Pattern[str]:
    """Errors: ValueError."""
    try:
        return re.compile(_NUMBER if pattern is None else pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


def value_of(text: str, params: Any) -> Any:
    """Errors: ItemRejected where the answer is not what it should be."""
    if params.answer == "text":
        return text
    if params.answer == "json":
        return _in_json(text, params.key)
    number = _number(text, params)
    if (params.min is not None and number < params.min) or (params.max is not None and number > params.max):
        raise ItemRejected("out_of_range", f"{number:g}, of {_shown(text)}")
    return number


def _number(text: str, params: Any) -> float:
    if params.key is not None:
        value = _in_json(text, params.key)
        found = value if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    else:
        match = compiled(params.pattern).search(text)
        found = "" if match is None else next(iter(match.groups()), match[0]) or ""
    try:
        number = float(found)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ItemRejected("no_number", _shown(text))
    return number


def _in_json(text: str, key: str | None) -> Any:
    value = _parsed(text)
    for part in key.split(".") if key is not None else ():
        if not isinstance(value, dict) or part not in value:
            raise ItemRejected("no_key", f"no '{part}' in {_shown(text)}")
        value = value[part]
    return value


def _parsed(text: str) -> Any:
    """The whole answer, what stands between ``` in it, or its first object or list."""
    fenced = _FENCED.search(text)
    begin = re.search(r"[{\[]", text)
    for part in (text, fenced[1] if fenced else "", text[begin.start() :] if begin else ""):
        try:
            value, end = _DECODER.raw_decode(part.strip())
            canonical_json(value)  # no lone surrogates
        except (ValueError, RecursionError):
            continue
        if part is not text or end == len(part.strip()):
            return value
    raise ItemRejected("not_json", _shown(text))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _shown(text: str) -> str:
    return f"“{text.strip()[:_MOST_SHOWN]}”"
