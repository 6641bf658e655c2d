"""Colour on a terminal, without a library: `spark plan` has no time to import one."""

import os
from typing import TextIO

_CODES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "bold": "1", "dim": "2"}
STATES = {"fresh": "green", "restore": "blue", "run": "yellow", "maybe": "cyan"}
OUTCOMES = {"ran": "yellow", "restored": "blue", "fresh": "green", "failed": "red", "skipped": "dim"}


def is_colored(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colour; NO_COLOR says no (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


class Paint:
    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.color and text else text

    def state(self, state: str, width: int = 0) -> str:
        return self(state.ljust(width), STATES.get(state) or OUTCOMES.get(state, "bold"))
