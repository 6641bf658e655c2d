"""What an operation found just now, on its way into the item memo: a line each, there at once, whole or not at all.

A file is locked by who writes it; one that nobody holds was left by a kill, and whoever looks next takes it over.
"""

import base64
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from spark_build.core.digest import digest_bytes
from spark_build.storage.durable import Disk

SUFFIX = ".jottings"
_SYNC_SECONDS = 1.0
_CHECK_DIGITS = 16  # of a line's digest, which tells a line that a kill cut off


class Jottings:
    """One writer's file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        self._fd = os.open(
            self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        Disk().flush_folder(str(folder))  # a line counts for nothing in a file that is in no folder
        self._synced = 0.0
        self.keys: set[bytes] = set()

    def add(self, key: bytes, value: bytes) -> None:
        """Once it returns, no kill loses the line, and a loss of power no more than a second's. Errors: OSError."""
        text = base64.b64encode(key + value)
        os.write(self._fd, b"%s %s\n" % (_check(text), text))
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            os.fdatasync(self._fd)
            self._synced = time.monotonic()
        self.keys.add(key)

    def discard(self) -> None:
        """It stands elsewhere by now."""
        self.path.unlink(missing_ok=True)
        os.close(self._fd)


def left_behind(folder: Path, key_bytes: int) -> Iterator[tuple[Path, dict[bytes, bytes]]]:
    """Each file whose writer is gone, and what it holds; held by us until the next one is asked for."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with suppress(FileNotFoundError), open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if path.exists():  # else another one has just taken it over
                yield path, dict(_lines(file.read(), key_bytes))


def is_being_written(folder: Path) -> bool:
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError), open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _lines(data: bytes, key_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    for line in data.splitlines():
        check, _, text = line.partition(b" ")
        if check == _check(text):
            whole = base64.b64decode(text)
            yield whole[:key_bytes], whole[key_bytes:]


def _check(text: bytes) -> bytes:
    return digest_bytes(text)[:_CHECK_DIGITS].encode()
