"""One remembered value per item: looked up, computed where it is missing, kept every now and then."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from spark_build.core.digest import Digest
from spark_build.core.ports import Memo

if TYPE_CHECKING:
    from spark_build.stages.progress import Progress

# a killed run keeps what it had, up to this much of work
CHUNK_ITEMS, CHUNK_BYTES, CHUNK_SECONDS = 2000, 32 << 20, 10.0

Compute = Callable[[Sequence[int]], Iterable[bytes]]  # values of these positions, in order
Usable = Callable[[Sequence[bytes]], Sequence[bool]]  # of remembered values, each


def remember(
    memo: Memo,
    operation: Digest,
    keys: Sequence[bytes],
    compute: Compute,
    *,
    batch: int = 1,
    progress: "Progress | None" = None,
    usable: Usable | None = None,
) -> tuple[list[bytes], set[int]]:
    """A value for each key, and the positions that `compute` was asked for.

    Of equal keys the first alone is computed, and so is what is remembered and not `usable` any more. Where `compute`
    raises, what it gave before is kept.
    """
    known = _known(memo, operation, keys, usable)
    missing = _first_of_each(keys, known)
    if progress is not None:
        progress.advance(len(keys) - len(missing))
    chunk = Chunk(memo, operation)
    try:
        for start in range(0, len(missing), batch):
            positions = missing[start : start + batch]
            for position, value in zip(positions, compute(positions), strict=True):
                known[keys[position]] = value
                chunk.add(keys[position], value)
                if progress is not None:
                    progress.advance()
    finally:
        chunk.keep()
    return [known[key] for key in keys], set(missing)


def remember_each(
    memo: Memo,
    operation: Digest,
    keys: Sequence[bytes],
    compute: Callable[[Sequence[int]], Iterable[tuple[int, bytes]]],
    *,
    progress: "Progress | None" = None,
) -> tuple[list[bytes], set[int]]:
    """As `remember`, of what has to be paid for: values come with their positions in any order, and each is on the
    disk before the next is waited for.
    """
    known = _known(memo, operation, keys, None)
    missing = _first_of_each(keys, known)
    if progress is not None:
        progress.advance(len(keys) - len(missing))
    chunk = Chunk(memo, operation)
    try:
        for position, value in compute(missing) if missing else ():
            memo.jot(operation, keys[position], value)
            known[keys[position]] = value
            chunk.add(keys[position], value)
            if progress is not None:
                progress.advance()
    finally:
        chunk.keep()
    return [known[key] for key in keys], set(missing)


def _known(memo: Memo, operation: Digest, keys: Sequence[bytes], usable: Usable | None) -> dict[bytes, bytes]:
    distinct = list(dict.fromkeys(keys))
    found = memo.get(operation, distinct)
    known = {key: value for key, value in zip(distinct, found, strict=True) if value is not None}
    if usable is None:
        return known
    checked = zip(known.items(), usable(list(known.values())), strict=True)
    return {key: value for (key, value), is_usable in checked if is_usable}


def _first_of_each(keys: Sequence[bytes], known: dict[bytes, bytes]) -> list[int]:
    seen: set[bytes] = set()
    missing = []
    for position, key in enumerate(keys):
        if key not in known and key not in seen:
            seen.add(key)
            missing.append(position)
    return missing


class Chunk:
    """New values on their way into the memo."""

    def __init__(self, memo: Memo, operation: Digest) -> None:
        self._memo, self._operation = memo, operation
        self._begin()

    def _begin(self) -> None:
        self._entries: dict[bytes, bytes] = {}
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, key: bytes, value: bytes) -> None:
        self._entries[key] = value
        self._bytes += len(value)
        full = len(self._entries) >= CHUNK_ITEMS or self._bytes >= CHUNK_BYTES
        if full or time.monotonic() - self._since >= CHUNK_SECONDS:
            self.keep()

    def keep(self) -> None:
        if self._entries:
            self._memo.put(self._operation, self._entries)
        self._begin()
