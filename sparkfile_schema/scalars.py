"""What a plain YAML 1.2 scalar means, and how to speak of one."""

from __future__ import annotations

import math
import re

from sparkfile_schema.nodes import Plain

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_DIGITS = 19  # of an integer; within 64 bits, so that every reader of our JSON agrees on it
_SHOWN = 60


class NumberError(ValueError):
    """A scalar that YAML reads as a number which nothing can use: infinite, NaN or too large."""


def resolve(text: str) -> Plain:
    """The value of a plain scalar under the YAML 1.2 core schema; a float is always finite.

    Errors: NumberError.
    """
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text, 10)
    if _OCTAL.fullmatch(text):
        return _integer(text[2:], 8)
    if _HEX.fullmatch(text):
        return _integer(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return _finite(text)
    if _INFINITE.fullmatch(text):
        raise NumberError(f"{text} is no number that can be used here")
    return text


def quote(text: str) -> str:
    """The text as a quoted YAML scalar: "…", or '…' where it holds quotes or backslashes."""
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def shown(text: str) -> str:
    """The text in single quotes, on one line and short enough for a message."""
    flat = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: _SHOWN + 1])
    return f"'{flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + '…'}'"


def _integer(digits: str, base: int) -> int:
    # digits are counted first: int() of a million digits takes seconds
    if len(digits.lstrip("+-0")) <= _MOST_DIGITS and -(2**63) <= (number := int(digits, base)) < 2**63:
        return number
    raise NumberError(f"{shown(digits)[1:-1]} is too large for a number: at most 64 bits are kept")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NumberError(f"{shown(text)[1:-1]} is too large for a number")
    return number
