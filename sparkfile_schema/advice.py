"""What to write instead, where a scalar is not of the type that is meant: quotes, their absence, true."""

from __future__ import annotations

from typing import Literal

from sparkfile_schema.scalars import NumberError, quote, resolve

Wanted = Literal["text", "number", "boolean"]

_TRUTHS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_LONGEST = 40


def type_advice(wanted: Wanted, value: object, written: str) -> str | None:
    """The fix for a scalar of another type, such as `tag: 1.10`; `written` is its text in the file."""
    if wanted == "text":
        is_other = value is not None and isinstance(value, bool | int | float)
        return f"quote it: {quote(written)}" if is_other else None
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    return _number(value) if wanted == "number" else _boolean(value)


def _boolean(text: str) -> str | None:
    truth = _TRUTHS.get(text.lower())
    if truth:
        return f"write {truth}; YAML 1.2 reads {text} as text"
    return f"write {text.lower()}, without quotes" if text.lower() in ("true", "false") else None


def _number(text: str) -> str | None:
    """Quoted, with separators of thousands, or a percentage."""
    bare = text.replace("_", "").replace(",", "").strip()
    try:
        value = resolve(bare.removesuffix("%").strip())
    except NumberError:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"write {value / 100:.6g}" if bare.endswith("%") else f"write {bare}, without quotes"
