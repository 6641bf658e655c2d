"""Uploads beside a build: what it made goes to the remote while later stages run."""

import queue
import threading
from collections.abc import Callable

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, TransientError
from spark_build.core.record import Record
from spark_build.remote.store import Pushed, RemoteStore

Told = Callable[[str, int, int], None]  # stage, bytes so far, of how many


class Uploads:
    """One thread, which pushes one result after the other; each push has many requests under way."""

    def __init__(
        self,
        remote: RemoteStore,
        *,
        settled: Callable[[Digest], None] = lambda key: None,
        told: Told = lambda stage, done, total: None,
    ) -> None:
        """`settled` is told of each key whose result is there, or will not come."""
        self._remote, self._settled, self._told = remote, settled, told
        self._queue: queue.SimpleQueue[tuple[Record, bool] | None] = queue.SimpleQueue()
        self._pending: set[Digest] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # not by `join`: where that is interrupted, the next one takes the thread for ended
        self._has_ended = threading.Event()
        self.is_stopped = False
        self._is_last_call = False  # the build is over
        self._is_unanswered = False  # the last one
        self.pushed = Pushed()
        self.left_out = 0  # because it was stopped, or nobody answers
        self.failed: list[tuple[str, SparkError]] = []  # stages, and why

    def add(self, record: Record, *, with_artifact: bool) -> None:
        with self._lock:
            self._pending.add(record.key)
        self._queue.put((record, with_artifact))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
            self._thread.start()

    def is_pending(self, key: Digest) -> bool:
        with self._lock:
            return key in self._pending

    def wait(self, told: Told | None = None, *, within: float | None = None) -> None:
        """Until all that was added is there, or has failed. Once nobody answers the rest is left out.

        `told` hears how far it is. What is not there `within` so many seconds is left out, too.
        """
        if told is not None:
            self._told = told
        if self._thread is not None:
            if not self._is_last_call:
                self._is_last_call = True
                self._queue.put(None)
            if not self._has_ended.wait(within):
                with self._lock:
                    self.left_out += len(self._pending)
                    self._pending.clear()
            self._thread = None

    def stop(self) -> None:
        """What is not there yet is not waited for."""
        self.is_stopped = True

    def _run(self) -> None:
        try:
            while (one := self._queue.get()) is not None:
                record, with_artifact = one
                try:
                    self._push_unless_stopped(record, with_artifact)
                finally:
                    with self._lock:
                        self._pending.discard(record.key)
                    self._settled(record.key)
        finally:
            self._has_ended.set()

    def _push_unless_stopped(self, record: Record, with_artifact: bool) -> None:
        if self.is_stopped or (self._is_last_call and self._is_unanswered):
            self.left_out += 1
            return
        try:
            self._push(record, with_artifact)
            self._is_unanswered = False
        except _Stopped:
            self.left_out += 1
        except SparkError as error:
            self._is_unanswered = isinstance(error, TransientError)
            self.failed.append((record.stage, error))
        except Exception as error:  # the build goes on, and says so
            self.failed.append((record.stage, SparkError(f"BUG: {type(error).__name__}: {error}")))

    def _push(self, record: Record, with_artifact: bool) -> None:
        pushed = self._remote.push(
            record,
            with_artifact=with_artifact,
            told=lambda done, total: self._tell(record.stage, done, total),
        )
        if with_artifact:
            self._remote.push_memo(record)
        self.pushed.artifacts += pushed.artifacts
        self.pushed.records += pushed.records
        self.pushed.bytes += pushed.bytes
        self.pushed.others += pushed.others

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self.is_stopped:
            raise _Stopped("stopped")
        self._told(stage, done, total)


class _Stopped(SparkError):
    """In the middle of an upload."""
