"""Figures, values and lists in words: `4 min 2 s`, `12.3 MB`, `2e-4`, `a.md, b.md and 12 more`."""

import json
import re
from collections.abc import Sequence
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ESCAPES = {"\n": "\\n", "\t": "\\t"}
_LONGEST_VALUE = 60


def duration(seconds: float) -> str:
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, below, size in (("d", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if whole >= size:
            rest = whole % size // {"h": 3600, "min": 60, "s": 1}[below]
            return f"{whole // size} {unit} {rest} {below}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def size(count: int) -> str:
    """Bytes, in powers of 1000."""
    if count < 1000:
        return f"{count} B"
    scaled, units = float(count), iter(("kB", "MB", "GB", "TB", "PB"))
    unit = "B"
    while scaled >= 999.5 and (following := next(units, None)):
        scaled, unit = scaled / 1000, following
    return f"{scaled:.3g} {unit}"


def number(value: float) -> str:
    """The shortest text that reads back as `value`; 2e-4 and not 0.0002."""
    if isinstance(value, int) or value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if 1e-3 <= abs(value) < 1e16:
        return repr(value)
    digits = next(d for d in range(18) if float(f"{value:.{d}e}") == value)
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def figure(value: float) -> str:
    """A measured figure to four digits; counts, and what is large, whole."""
    if 1e4 <= abs(value) < 1e15 or (abs(value) < 1e4 and float(value).is_integer()):
        return f"{value:.0f}"
    return f"{value:.4g}".replace("e-0", "e-")


def count(many: int, one: str, several: str | None = None) -> str:
    return f"{many} {one if many == 1 else several or one + 's'}"


def listed(names: Sequence[str], at_most: int = 3, *, more: int = 0) -> str:
    """`a.md, b.md, c.md and 12 more`; one name more than allowed is shown, not counted. `more`: beyond `names`."""
    shown = list(names) if len(names) + more <= at_most + 1 else list(names[:at_most])
    text, left = ", ".join(printable(name) for name in shown), len(names) + more - len(shown)
    return f"{text} and {left} more" if left else text


def value(given: Any) -> str:
    """A parameter as a Sparkfile would say it."""
    if given is None:
        return "unset"
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return number(given)
    if isinstance(given, str):
        return printable(given) if given.strip() else json.dumps(given)
    return printable(json.dumps(given, ensure_ascii=False, default=str))


def is_set(given: Any) -> bool:
    return given is not None and given not in ({}, [], ())


def change(old: Any, new: Any) -> str:
    """`old → new`; of long values the place where they begin to differ."""
    before, after = value(old), value(new)
    if before == after:  # 1 and "1": the types differ
        before, after = json.dumps(old, default=str), json.dumps(new, default=str)
    if max(len(before), len(after)) <= _LONGEST_VALUE:
        return f"{before} → {after}"
    shared = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, shared - 12)
    return f"{_cut(before, start)} → {_cut(after, start)}"


def _cut(text: str, start: int) -> str:
    piece = text[start : start + _LONGEST_VALUE]
    return ("…" if start else "") + piece + ("…" if start + _LONGEST_VALUE < len(text) else "")


def printable(text: str) -> str:
    """`text` on one line; control and direction characters written out: no name steers the terminal."""
    return _CONTROL.sub(lambda match: _ESCAPES.get(match[0]) or f"\\x{ord(match[0]):02x}", text)


def moment(iso: str) -> str:
    """A Record's time on this machine's clock, to the minute."""
    from datetime import datetime

    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M")


def short(digest: str) -> str:
    return digest[:12]
