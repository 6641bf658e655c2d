"""A remote store that falls silent in the middle of a build: what runs goes on, and it is done without for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from spark_build.core.errors import TransientError

T = TypeVar("T")

QUIET_SECONDS = 60.0  # before it is asked again


class Outage:
    """Tolerated by builds that are under way alone: before that a remote that does not answer is an error."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.is_tolerated = False
        self._warn, self._until = warn, 0.0

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self._until

    def without(self, ask: Callable[[], T]) -> T | None:
        """What is asked; None where nobody answers, which is no answer."""
        if self.lasts:
            return None
        try:
            return ask()
        except TransientError as error:
            if not self.is_tolerated:
                raise
            self._until = time.monotonic() + QUIET_SECONDS
            self._warn(f"the build goes on with what is here: {error.message}")
            return None
