"""Results on their way from the remote store, beside the stages that run."""

from __future__ import annotations  # what they name need not be loaded

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError
from spark_build.core.values import Struct
from spark_build.engine.plan import StagePlan

if TYPE_CHECKING:
    import queue
    from concurrent.futures import ThreadPoolExecutor

_AT_ONCE = 2  # each has many requests under way


class Restorer(Protocol):
    def fetch(self, output: Digest, told: Callable[[int, int], None]) -> object:
        """`told` is told of bytes so far, of how many. Errors: StoreDamaged where these are not what they should be."""


class Fetched(Struct):
    """A fetch that has ended, and how."""

    plan: StagePlan
    seconds: float
    error: BaseException | None


class Restores:
    """Fetches side by side; what they tell is kept for who asks, in its own thread.

    Threads and queues are there from the first fetch on: most builds have none.
    """

    _told: queue.SimpleQueue[tuple[str, int, int]]
    _ended: queue.SimpleQueue[Fetched]

    def __init__(self, restorer: Restorer | None) -> None:
        self._restorer = restorer
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: dict[str, Digest] = {}  # by stage, what it fetches
        self._is_stopped = False

    def __contains__(self, stage: str) -> bool:
        return stage in self._under_way

    def __bool__(self) -> bool:
        return bool(self._under_way)

    def start(self, plan: StagePlan) -> None:
        """Unless it is on its way; where another stage fetches the same, it is looked at once that is here."""
        assert plan.output is not None
        if plan.stage in self._under_way or plan.output in self._under_way.values():
            return
        self._under_way[plan.stage] = plan.output
        self._opened().submit(self._fetch, plan)

    def _opened(self) -> ThreadPoolExecutor:
        if self._pool is None:
            import queue
            from concurrent.futures import ThreadPoolExecutor

            self._told, self._ended = queue.SimpleQueue(), queue.SimpleQueue()
            self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="restores")
        return self._pool

    def progress(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the stages have to tell since the last call, as events."""
        while self._pool is not None and not self._told.empty():
            stage, done, total = self._told.get()
            yield stage, {"event": "progress", "done": done, "total": total, "unit": "bytes"}

    def ended(self, seconds: float = 0.0) -> list[Fetched]:
        """Those that have ended since the last call; waits up to `seconds` for the first."""
        if self._pool is None:
            if seconds:
                time.sleep(seconds)
            return []
        import queue

        found: list[Fetched] = []
        try:
            found.append(self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait())
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        for one in found:
            del self._under_way[one.plan.stage]
        return found

    def stop(self) -> None:
        """What is on its way is given up, at its next piece, and not waited for; what came of it stays."""
        self._is_stopped = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, plan: StagePlan) -> None:
        assert self._restorer is not None
        assert plan.output is not None
        clock, error = time.monotonic(), None

        def told(done: int, total: int) -> None:
            if self._is_stopped:
                raise _Stopped("stopped")
            self._told.put((plan.stage, done, total))

        try:
            self._restorer.fetch(plan.output, told)
        except BaseException as found:  # it is raised where the build asks
            error = found
        self._ended.put(Fetched(plan, time.monotonic() - clock, error))


class _Stopped(SparkError):
    """In the middle of a fetch."""
