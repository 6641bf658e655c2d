"""Work that waits for the disk or the network, beside what goes on."""

from __future__ import annotations  # what they name need not be loaded

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each gives, in order; several run in a thread each.

    Errors: that of the first one that failed, once all have ended.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    import threading

    given: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    def run(index: int) -> None:
        try:
            given[index] = calls[index]()
        except BaseException as error:
            errors[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:  # an interrupt does not leave them alone
        for thread in threads:
            thread.join()
    if errors:
        raise errors[min(errors)]
    return [given[index] for index in range(len(calls))]


@contextmanager
def pool_of(threads: int) -> Iterator[ThreadPoolExecutor]:
    """What was not begun when its user has had enough is not done; an interrupt does not wait for the rest either."""
    from concurrent.futures import ThreadPoolExecutor

    pool, waits = ThreadPoolExecutor(threads), True
    try:
        yield pool
    except KeyboardInterrupt:
        waits = False
        raise
    finally:
        pool.shutdown(wait=waits, cancel_futures=True)


def interruptible(call: Callable[[], T]) -> T:
    """What it gives. An interrupt, which the main thread alone is told of, does not wait for its end."""
    import threading

    if threading.current_thread() is not threading.main_thread():
        return call()
    given: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            given.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return given[0]


def ends_within(seconds: float, call: Callable[[], object]) -> bool:
    """Whether it has; else it goes on, and keeps no process from ending."""
    import threading

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
