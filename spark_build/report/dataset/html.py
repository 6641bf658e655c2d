"""HTML from parts that are escaped unless they are HTML already; so that no item can run or break a page."""

import html
from collections.abc import Iterable

from spark_build.report.words import printable

_VOID = ("meta", "link", "img")


class Html(str):
    """Markup as it stands; only what this module made or what is written out in code may be one."""

    __slots__ = ()


Part = str | int | None | Iterable["Part"]


def element(tag: str, /, *parts: Part, **attributes: str | int | bool | None) -> Html:
    """`class_` is `class`, `aria_label` is `aria-label`; an attribute that is None or False is left out."""
    told = "".join(
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{told}>" if tag in _VOID else f"<{tag}{told}>{joined(*parts)}</{tag}>")


def joined(*parts: Part) -> Html:
    return Html("".join(map(_part, parts)))


def multiline(text: str) -> str:
    """Text of several lines; what would steer a reader's eyes (control and direction characters) is written out."""
    return "\n".join(printable(line.expandtabs(4)) for line in text.splitlines())


def _part(part: Part) -> str:
    if part is None:
        return ""
    if isinstance(part, Html):
        return part
    if isinstance(part, str | int):
        return escaped(f"{part:,}" if isinstance(part, int) else part)
    return "".join(map(_part, part))


def _attribute(key: str, value: str | int | bool | None) -> str:
    key = key.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{escaped(str(value))}"'


def escaped(text: str) -> str:
    """As UTF-8 has it: halves of characters, which file names may hold, are replaced."""
    return html.escape(text.encode("utf-8", "replace").decode().replace("\0", "\ufffd"))
