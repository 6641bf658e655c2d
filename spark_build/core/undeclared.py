"""What a stage touched and the Sparkfile does not name for it: kept in the Record's notes, told by the build."""

from collections.abc import Mapping
from typing import Any

NOTE = "undeclared"  # {'files': […], 'more_files': 3, 'hosts': […]}
WATCHED = "watched"  # by whom: 'kernel' where it was asked of all that the stage opened, as under `hermetic: strict`
FIX = (
    "name files under inputs: or code:, hosts in the rule's params; or `environment: {hermetic: off}`"
    " where the result can't depend on them"
)
_MOST_TOLD = 5


def is_vouched(notes: Mapping[str, Any]) -> bool:
    """Whether a result is known to rest on what the Sparkfile names: looked at as closely as can be, and clean."""
    return WATCHED in notes and NOTE not in notes


def knows_more(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether the notes of one result say more for it than others of the same result."""
    return (NOTE not in new, WATCHED in new) > (NOTE not in old, WATCHED in old)


def touched_text(note: Mapping[str, Any]) -> str:
    """`read lookup.csv and 2 more, which are not among its inputs; called example.com, …`."""
    told = []
    if files := note.get("files", []):
        is_one = len(files) == 1
        names = _few(files, note.get("more_files", 0))
        told.append(f"read {names}, which {'is' if is_one else 'are'} not among its inputs")
    if hosts := note.get("hosts", []):
        names = _few(hosts, note.get("more_hosts", 0))
        told.append(f"called {names}, which the Sparkfile does not name for it")
    return "; ".join(told)


def _few(names: list[str], more: int) -> str:
    rest = len(names) - _MOST_TOLD + more
    return ", ".join(names[:_MOST_TOLD]) + (f" and {rest} more" if rest > 0 else "")
