"""Leases over S3: one machine of many runs an action; a dead one's lease is taken over when its time is up.

A lease is a small object, written with `If-None-Match: *`, renewed and taken over with `If-Match`; the time is the
server's own (`Last-Modified`), so that nobody's clock has to be right. It only saves work: what a builder publishes
that was stopped for long and goes on is refused by its Record's own condition.
"""

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol

from spark_build.core.digest import Digest, canonical_json
from spark_build.core.errors import SparkError, TransientError
from spark_build.core.threads import ends_within
from spark_build.remote.bucket import Bucket
from spark_build.remote.layout import clock_path, lease_path

LEASE_SECONDS = 60.0
LEAVING_SECONDS = 2.0  # for all that an interrupted build still has to say
_ASK_EVERY_SECONDS = 1.0  # while another has it
_SANE_SECONDS = (1.0, 3600.0)


class Lease(Protocol):
    def fileno(self) -> int: ...

    def release(self) -> None: ...


class Leases(Protocol):
    def acquire(self, key: Digest, *, is_shared: bool = True) -> Lease | None: ...

    def holder(self, key: Digest) -> str: ...


class RemoteLeases:
    """Implements `engine.build.Leases`: the lease of this machine, then that of all machines."""

    def __init__(
        self,
        local: Leases,
        bucket: Bucket,
        scope: str,
        *,
        seconds: float = LEASE_SECONDS,
        are_kept: Callable[[], bool] = lambda: True,
        is_published: Callable[[Digest], bool] = lambda key: False,
        keeps: Callable[[Digest], bool] = lambda key: False,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`are_kept`: whether the endpoint honours conditions, asked before the first; `is_published` looks anew.

        `keeps` says of a released one that its result is still on its way.
        """
        self._local, self._bucket, self._scope, self.seconds = local, bucket, scope, seconds
        self._are_kept, self._is_published, self._keeps, self._warn = are_kept, is_published, keeps, warn
        self._name = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._held: dict[Digest, _Held] = {}
        self._released: set[Digest] = set()
        self._others: dict[Digest, _Other] = {}
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._renewing: threading.Thread | None = None
        self._ahead: float | None = None  # the server's clock, from ours
        self._is_useless: bool | None = None
        self._leaves_by: float | None = None  # once it has to hurry

    def acquire(self, key: Digest, *, is_shared: bool = True) -> "Lease | None":
        if not is_shared:  # nobody waits for what stays on this machine
            return self._local.acquire(key)
        if key in self._others and _now() < self._others[key].asked_again_at:
            return None
        local = self._local.acquire(key)
        if local is None or self._is_useless:
            return local
        try:
            is_mine = self._is_ours(key)
        except SparkError as error:  # without a lease work may be done twice, never wrongly
            self._is_useless = True
            self._warn(f"no leases over the remote store, another machine may do the same: {error.message}")
            return local
        except BaseException:
            local.release()
            raise
        if not is_mine:
            local.release()
            return None
        return _Both(local, lambda: self.let_go(key))

    def holder(self, key: Digest) -> str:
        return self._others[key].who if key in self._others else self._local.holder(key)

    def let_go(self, key: Digest) -> None:
        """Of all machines' lease; once the result is published, where it is on its way."""
        with self._lock:
            if key in self._held and self._keeps(key):
                self._released.add(key)
                return
        self._give_back(key)

    def settle(self, key: Digest) -> None:
        """The result of `key` is there, or will not come: a lease that was kept for it goes."""
        with self._lock:
            is_waiting = key in self._released
        if is_waiting:
            self._give_back(key)

    def close(self) -> None:
        self._closed.set()
        if self._renewing is not None:
            self._renewing.join(None if self._leaves_by is None else max(0.0, self._leaves_by - _now()))
        for key in list(self._held):
            self._give_back(key)

    def _is_ours(self, key: Digest) -> bool:
        """Whether this process may run the action, or need not, as its result is there by now."""
        if self._is_useless is None:
            self._is_useless = not self._are_kept()
        if self._is_useless:
            return True
        with self._lock:
            if key in self._held:  # released, while its result is on its way
                self._released.discard(key)
                return True
        is_ours = self._take(key)
        if is_ours:
            self._others.pop(key, None)
        return is_ours

    def _take(self, key: Digest) -> bool:
        """What was waited for is not written before somebody has looked whether it is there still."""
        path, was_waited_for = lease_path(self._scope, key), key in self._others
        standing = self._bucket.read(path) if was_waited_for else None
        if standing is None:
            if was_waited_for and self._is_published(key):
                return True
            if self._hold(key, lambda body: self._bucket.put_new(path, body)):
                self._is_published(key)  # so that what is known of it is of now
                return True
            standing = self._bucket.read(path)
        if standing is None:  # just given back
            return self._later(key, "another machine")
        seconds, who = _told(standing.data)
        # both times are whole seconds: the later one may be a second nearer than it seems
        if self._server_now() < standing.modified + seconds + 1:
            return self._later(key, who)
        if not self._hold(key, lambda body: self._bucket.put_over(path, body, standing.etag)):
            return self._later(key, "another machine")
        self._is_published(key)
        return True

    def _hold(self, key: Digest, write: Callable[[bytes], str | None]) -> bool:
        asked_at = _now()
        etag = write(self._body())
        if etag is None:
            return False
        with self._lock:
            self._held[key] = _Held(etag, asked_at + self.seconds)
        self._start_renewing()
        return True

    def _later(self, key: Digest, who: str) -> bool:
        """Not at the same moment as others who wait."""
        wait = random.uniform(_ASK_EVERY_SECONDS / 2, _ASK_EVERY_SECONDS)
        self._others[key] = _Other(_now() + wait, who)
        return False

    def _body(self) -> bytes:
        """Another one each time, so that each has an ETag of its own."""
        nonce = os.urandom(8).hex()
        return canonical_json({"version": 1, "by": self._name, "seconds": self.seconds, "nonce": nonce})

    def _server_now(self) -> float:
        """At most what the server's clock says, asked once: by writing something, and looking when that was."""
        if self._ahead is None:
            path = clock_path(self._scope)
            self._bucket.put(path, self._name.encode())
            found = self._bucket.head(path)
            if found is None:
                raise TransientError(f"{self._bucket}: {path} is gone as soon as it was written")
            self._ahead = found.modified - _now()
        return _now() + self._ahead

    def hurry(self) -> None:
        self._leaves_by = _now() + LEAVING_SECONDS

    def _give_back(self, key: Digest) -> None:
        """In a hurry it is not waited for: a lease that stands ends by itself."""
        if self._leaves_by is None:
            self._give_back_now(key)
        else:
            ends_within(max(0.0, self._leaves_by - _now()), partial(self._give_back_now, key))

    def _give_back_now(self, key: Digest) -> None:
        with self._lock:
            held = self._held.pop(key, None)
            self._released.discard(key)
        if held is None:
            return
        with held.lock:  # a renewal that is under way would write it again
            left = held.until - _now()
            if left > 0:  # else it may be another's by now
                with suppress(SparkError):  # its time will be up
                    self._bucket.delete(lease_path(self._scope, key), within=left)

    def _start_renewing(self) -> None:
        with self._lock:
            if self._renewing is None:
                self._renewing = threading.Thread(target=self._renew_all, name="leases", daemon=True)
                self._renewing.start()

    def _renew_all(self) -> None:
        while not self._closed.wait(self.seconds / 3):
            for key, held in list(self._held.items()):
                with held.lock:
                    self._renew(key, held)

    def _renew(self, key: Digest, held: "_Held") -> None:
        asked_at = _now()
        if self._held.get(key) is not held or asked_at >= held.until:
            return  # given back; or it may be another's by now
        path, left = lease_path(self._scope, key), held.until - asked_at
        with suppress(SparkError):  # tried again in a while
            etag = self._bucket.put_over(path, self._body(), held.etag, within=left)
            if etag is None:
                held.until = asked_at  # another's
            else:
                held.etag, held.until = etag, asked_at + self.seconds


class _Held:
    """A lease that is ours."""

    def __init__(self, etag: str, until: float) -> None:
        self.etag = etag
        self.until = until  # by this machine's clock: after that it may be another's
        self.lock = threading.Lock()


class _Other(NamedTuple):
    """A lease that is another's."""

    asked_again_at: float
    who: str


def _told(body: bytes) -> tuple[float, str]:
    """For how long a lease was taken, and by whom; it may be anything."""
    try:
        told = json.loads(body)
        seconds = min(_SANE_SECONDS[1], max(_SANE_SECONDS[0], float(told["seconds"])))
        return seconds, f"a build on {str(told['by']).partition(':')[0][:64]}"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return LEASE_SECONDS, "another machine"


def _now() -> float:
    """Seconds that nobody sets, and that go on while the machine sleeps."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class _Both:
    """The lease of this machine; with it that of all machines goes."""

    def __init__(self, local: Lease, also: Callable[[], None]) -> None:
        self._local, self._also = local, also

    def fileno(self) -> int:
        return self._local.fileno()

    def release(self) -> None:
        self._also()
        self._local.release()
