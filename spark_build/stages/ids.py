"""Ids that are unique: what is taken gets the number of its occurrence, in canonical order."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spark_build.core.digest import canonical_row, digest_bytes

ID_DIGITS = 32  # of a content digest


def content_id(content: Any) -> str:
    return digest_bytes(canonical_row(content))[:ID_DIGITS]


def unique(wanted: Sequence[str]) -> list[str]:
    """'a', 'b', 'a', 'a' -> 'a', 'b', 'a-2', 'a-3'; an 'a-2' that somebody chose stays theirs."""
    chosen, taken, counts = set(wanted), set[str](), Counter[str]()
    ids = []
    for name in wanted:
        counts[name] += 1
        own = name if counts[name] == 1 else f"{name}-{counts[name]}"
        while own in taken or (own != name and own in chosen):
            counts[name] += 1
            own = f"{name}-{counts[name]}"
        taken.add(own)
        ids.append(own)
    return ids


def numbered(base: str, count: int) -> list[str]:
    """Ids of what one item became: its own where that is one, else 'x#0', 'x#1' …"""
    return [base] if count == 1 else [f"{base}#{index}" for index in range(count)]
