"""What chance is drawn from: the same in every run, unless the environment or `pytest --long` says otherwise."""

import os
import time

DEFAULT = 20_261_128
_is_new = False  # whether each run draws its own


def draw_new() -> None:
    """From now on a seed that no variable gives is one that no run had before."""
    global _is_new
    _is_new = True


def seed(variable: str) -> int:
    """The environment's where it names one; a test that draws from it prints `variable` with it."""
    if given := os.environ.get(variable):
        return int(given)
    return time.time_ns() % 1_000_000 if _is_new else DEFAULT
