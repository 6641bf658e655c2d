"""Work that waits for the disk, side by side."""

from collections.abc import Callable, Sequence
from typing import TypeVar

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
