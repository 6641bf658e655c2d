"""How far a transfer is, told by many threads and now and then only."""

import threading
import time
from collections.abc import Callable

_EVERY_SECONDS = 0.2


def counted(told: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """Takes how many bytes more have come; `told` gets those so far and `total`, by one thread at a time."""
    lock, done, last = threading.Lock(), 0, time.monotonic()

    def count(size: int) -> None:
        nonlocal done, last
        with lock:
            done += size
            now = time.monotonic()
            if done >= total or now - last >= _EVERY_SECONDS:
                last = now
                told(done, total)

    return count
