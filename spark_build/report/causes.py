"""A plan's causes in words (design section 5)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from spark_build.core.acceptance import is_accepted_note
from spark_build.core.forgotten import CAUSE
from spark_build.report.words import change, count, listed, printable, value

if TYPE_CHECKING:
    from spark_build.engine.explain import Reason


def cause_text(reason: "Reason", *, state: str = "run") -> str:
    """`threshold 0.9 → 0.8 at Sparkfile.yaml:22:55`, `data/tickets: 2 added, 1 changed (a.md)` …"""
    text = TEXTS[reason.kind](reason, state)
    has_place = reason.at and reason.kind in ("param", "numerics", "runtime")
    return f"{text} at {printable(reason.at or '')}" if has_place else text


def causes_text(reasons: Iterable["Reason"], state: str) -> list[str]:
    """The causes of one stage, each once; the stages that a `maybe` waits for together in the last."""
    reasons = list(reasons)
    waits_for = [r.name for r in reasons if r.kind == "upstream"] if state == "maybe" else []
    own = [r for r in reasons if not (state == "maybe" and r.kind == "upstream")]
    lines = list(dict.fromkeys(cause_text(r, state=state) for r in own))
    if not waits_for:
        return lines
    behind = f"behind {listed(waits_for, 2)}"
    return [f"{lines[0]}, {behind}"] if len(lines) == 1 else [*lines, behind]


def drift_lines(drift: Sequence[str], hint: str = "") -> list[str]:
    """What a result is taken for, though its key says otherwise: an acceptance, libraries that drifted."""
    accepted = [printable(line) for line in drift if is_accepted_note(line)]
    libraries = [printable(line) for line in drift if not is_accepted_note(line)]
    return [*accepted, *([f"drift: {', '.join(libraries)}{hint}"] if libraries else [])]


def _param(reason: "Reason", state: str) -> str:
    if (told := _list_change(reason)) is not None:
        return told
    if reason.name == CAUSE:
        return _forgotten_change(reason)
    # `at` says which of several it is, so that the last word of the name is enough
    name = _last_word(reason.name) if reason.at else reason.name
    return f"{printable(name)} {change(reason.old, reason.new)}"


def _forgotten_change(reason: "Reason") -> str:
    """`1 item was forgotten`, by how many there are on either side."""
    more = (reason.new or [0])[0] - (reason.old or [0])[0]
    if more == 0:
        return "other items are forgotten"
    items, is_one = count(abs(more), "item"), abs(more) == 1
    if more > 0:
        return f"{items} {'was' if is_one else 'were'} forgotten"
    return f"{items} {'is' if is_one else 'are'} no longer forgotten"


def _list_change(reason: "Reason") -> str | None:
    """`gates: pii added, short removed`, `order of gates near-dup, pii → pii, near-dup`."""
    word = reason.name.rpartition(".")[2]
    if word not in ("gates", "transforms", "metrics", "steps") or not isinstance(reason.new, list):
        return None
    old, new = list(reason.old or []), list(reason.new)
    groups = [("added", [n for n in new if n not in old]), ("removed", [n for n in old if n not in new])]
    told = ", ".join(f"{listed(names)} {what}" for what, names in groups if names)
    if told:
        return f"{word}: {told}"
    return f"order of {word} {listed(old, 6)} → {listed(new, 6)}"


def _last_word(name: str) -> str:
    if name.startswith("environment."):
        return name
    words = name.split(".")
    start = next((i for i in range(len(words) - 1, -1, -1) if not words[i].isdigit()), 0)
    return ".".join(words[start:])


def _input(reason: "Reason", state: str) -> str:
    name = printable(reason.name)
    if groups := _groups(reason):
        return f"{name}: {groups}"
    if _is_digest(reason.old) and _is_digest(reason.new):  # a tag, a revision of the hub
        return f"{name} {reason.old[:12]} → {reason.new[:12]}"
    if _is_plain(reason.old) and _is_plain(reason.new) and (reason.old or reason.new):
        return f"{name} {change(reason.old, reason.new)}"
    return f"{name} changed"


def _groups(reason: "Reason") -> str:
    """`2 added, 1 changed (a.md)`: what was added is named only where nothing else happened."""
    groups = [("added", reason.added), ("changed", reason.changed), ("removed", reason.removed)]
    groups = [(what, names) for what, names in groups if names]
    return ", ".join(
        _group(what, names, reason.more.get(what, 0), is_named=what != "added" or len(groups) == 1)
        for what, names in groups
    )


def _group(what: str, names: Sequence[str], more: int, *, is_named: bool) -> str:
    head = f"{len(names) + more} {what}"
    return f"{head} ({listed(names, more=more)})" if is_named else head


def _is_plain(given: object) -> bool:
    return (
        given is None
        or isinstance(given, int | float | bool)
        or (isinstance(given, str) and not _is_digest(given))
    )


def _is_digest(given: object) -> bool:
    return isinstance(given, str) and len(given) in (40, 64) and all(c in "0123456789abcdef" for c in given)


def _rule(reason: "Reason", state: str) -> str:
    if isinstance(reason.old, int) and isinstance(reason.new, int):
        return f"rule revision {reason.old} → {reason.new} ({printable(reason.name)})"
    groups = _groups(reason)
    return f"rule {printable(reason.name)}: {groups}" if groups else f"rule {printable(reason.name)} changed"


def _versions(reason: "Reason", state: str) -> str:
    old, new = (value(v) if v is not None else "not there" for v in (reason.old, reason.new))
    return f"{printable(reason.name)} {old} → {new}"


def _upstream(reason: "Reason", state: str) -> str:
    return (
        f"behind {printable(reason.name)}"
        if state == "maybe"
        else f"{printable(reason.name)} gave something else"
    )


def _runtime(reason: "Reason", state: str) -> str:
    if reason.name == "--again":
        return "asked for with --again"
    values = f" {change(reason.old, reason.new)}" if reason.old is not None or reason.new is not None else ""
    return f"{printable(reason.name)}{values}"


TEXTS: "Mapping[str, Callable[[Reason, str], str]]" = {
    "new": lambda reason, state: "never built",
    "param": _param,
    "input": _input,
    "env": lambda reason, state: f"env {printable(reason.name)} changed",
    "rule": _rule,
    "library": _versions,
    "tool": _versions,
    "numerics": lambda reason, state: f"numerics {printable(reason.name)} {change(reason.old, reason.new)}",
    "upstream": _upstream,
    "missing": lambda reason, state: "its result is in no store",
    "corrupt": lambda reason, state: "its result is damaged in the store",
    "runtime": _runtime,
}


def shown(lines: Sequence[str], at_most: int) -> list[str]:
    """At most so many of `lines`; what was left out is counted."""
    return (
        list(lines)
        if len(lines) <= at_most + 1
        else [*lines[:at_most], f"and {len(lines) - at_most} more causes"]
    )
