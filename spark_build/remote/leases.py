"""Leases over S3: one machine of many runs an action; a dead one's lease is taken over when its time is up.

A lease is a small object, written with `If-None-Match: *`, renewed and taken over with `If-Match`; the time is the
server's own (`Last-Modified`), so that nobody's clock has to be right. It only saves work: what a builder publishes
that was stopped for long and goes on is refused by its Record's own condition.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from spark_build.core.digest import Digest, canonical_json
from spark_build.core.errors import SparkError, TransientError
from spark_build.core.values import Struct
from spark_build.remote.bucket import Bucket
from spark_build.remote.layout import lease_path

LEASE_SECONDS = 60.0
_ASK_EVERY_SECONDS = 1.0  # while another has it
_SANE_SECONDS = (1.0, 3600.0)


class Lease(Protocol):
    def fileno(self) -> int: ...

    def release(self) -> None: ...


class Leases(Protocol):
    def acquire(self, key: Digest) -> Lease | None: ...

    def holder(self, key: Digest) -> str: ...


class _Held(Struct):
    etag: str
    until: float  # by this process's own clock: after that it may be another's


class RemoteLeases:
    """Implements `engine.build.Leases`: the lease of this machine, then that of all machines."""

    def __init__(
        self,
        local: Leases,
        bucket: Bucket,
        scope: str,
        *,
        seconds: float = LEASE_SECONDS,
        acquired: Callable[[Digest], None] = lambda key: None,
        keeps: Callable[[Digest], bool] = lambda key: False,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`acquired` is told of each; `keeps` says of a released one that its result is still on its way."""
        self._local, self._bucket, self._scope, self.seconds = local, bucket, scope, seconds
        self._acquired, self._keeps, self._warn = acquired, keeps, warn
        self._name = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._held: dict[Digest, _Held] = {}
        self._released: set[Digest] = set()
        self._others: dict[Digest, tuple[float, str]] = {}  # when to ask again, and who has it
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._renewing: threading.Thread | None = None
        self._ahead: float | None = None  # the server's clock, from our monotonic one
        self._is_useless = False

    def acquire(self, key: Digest) -> "Lease | None":
        if key in self._others and time.monotonic() < self._others[key][0]:
            return None
        local = self._local.acquire(key)
        if local is None or self._is_useless:
            return local
        try:
            is_mine = self._take(key)
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
        self._acquired(key)
        return _Both(local, lambda: self.let_go(key))

    def holder(self, key: Digest) -> str:
        return self._others[key][1] if key in self._others else self._local.holder(key)

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
            self._renewing.join()
        for key in list(self._held):
            self._give_back(key)

    def _give_back(self, key: Digest) -> None:
        with self._lock:
            held = self._held.pop(key, None)
            self._released.discard(key)
        if held is not None and time.monotonic() < held.until:  # else it may be another's by now
            with suppress(SparkError):  # its time will be up
                self._bucket.delete(lease_path(self._scope, key))

    def _take(self, key: Digest) -> bool:
        path, asked_at = lease_path(self._scope, key), time.monotonic()
        etag = self._bucket.put_new(path, self._body())
        if etag is None:
            standing = self._bucket.head(path)
            if standing is None:  # just given back
                return self._later(key, "another machine")
            seconds, who = self._told(path)
            if self._server_now() < standing.modified + seconds:
                return self._later(key, who)
            asked_at = time.monotonic()
            etag = self._bucket.put_over(path, self._body(), standing.etag)
            if etag is None:
                return self._later(key, "another machine")
        with self._lock:
            self._others.pop(key, None)
            self._held[key] = _Held(etag, asked_at + self.seconds)
        self._start_renewing()
        return True

    def _later(self, key: Digest, who: str) -> bool:
        self._others[key] = (time.monotonic() + _ASK_EVERY_SECONDS, who)
        return False

    def _body(self) -> bytes:
        """Another one each time, so that each has an ETag of its own."""
        nonce = os.urandom(8).hex()
        return canonical_json({"version": 1, "by": self._name, "seconds": self.seconds, "nonce": nonce})

    def _told(self, path: str) -> tuple[float, str]:
        """For how long a lease was taken, and by whom; it may be anything."""
        try:
            told = json.loads(self._bucket.get(path) or b"{}")
            seconds = min(max(float(told["seconds"]), _SANE_SECONDS[0]), _SANE_SECONDS[1])
            return seconds, f"a build on {str(told['by']).partition(':')[0][:64]}"
        except (ValueError, KeyError, TypeError, AttributeError):
            return LEASE_SECONDS, "another machine"

    def _server_now(self) -> float:
        """Asked once, by writing something and looking when that was."""
        if self._ahead is None:
            path = lease_path(self._scope, f"clock-{os.urandom(8).hex()}")
            self._bucket.put(path, b"")
            found = self._bucket.head(path)
            if found is None:
                raise TransientError(f"{self._bucket}: {path} is gone as soon as it was written")
            self._ahead = found.modified - time.monotonic()
            self._bucket.delete(path)
        return time.monotonic() + self._ahead

    def _start_renewing(self) -> None:
        with self._lock:
            if self._renewing is None:
                self._renewing = threading.Thread(target=self._renew_all, name="leases", daemon=True)
                self._renewing.start()

    def _renew_all(self) -> None:
        while not self._closed.wait(self.seconds / 3):
            for key, held in list(self._held.items()):
                self._renew(key, held)

    def _renew(self, key: Digest, held: _Held) -> None:
        path, asked_at = lease_path(self._scope, key), time.monotonic()
        if asked_at >= held.until:
            return  # it may be another's by now
        try:
            etag = self._bucket.put_over(path, self._body(), held.etag)
        except SparkError:  # tried again in a while
            return
        with self._lock:
            if key in self._held and etag is not None:
                self._held[key] = _Held(etag, asked_at + self.seconds)


class _Both:
    """The lease of this machine; with it that of all machines goes."""

    def __init__(self, local: Lease, also: Callable[[], None]) -> None:
        self._local, self._also = local, also

    def fileno(self) -> int:
        return self._local.fileno()

    def release(self) -> None:
        self._also()
        self._local.release()
