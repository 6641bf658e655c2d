"""One remembered value per item: looked up, computed where it is missing, kept every now and then."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from spark_build.core.digest import Digest
from spark_build.core.ports import Memo, Services
from spark_build.core.spool import Picked, Values
from spark_build.stages.spreading import Work, spread

if TYPE_CHECKING:
    from spark_build.stages.progress import Progress

# a killed run keeps what it had, up to this much of work; a segment each, and many of them have to be merged
CHUNK_ITEMS, CHUNK_BYTES, CHUNK_SECONDS = 8192, 32 << 20, 10.0
_ASKED_AT_ONCE = 16_384  # keys; their values are in memory together

Compute = Callable[[Sequence[int]], Iterable[bytes]]  # values of these positions, in order
Found = tuple[int, bytes, bool]  # position, value, whether it is to be remembered
Usable = Callable[[Sequence[bytes]], Sequence[bool]]  # of remembered values, each


def remember(
    services: Services,
    operation: Digest,
    keys: Sequence[bytes],
    compute: Compute,
    *,
    batch: int = 1,
    progress: "Progress | None" = None,
    usable: Usable | None = None,
    stays: Callable[[bytes], bool] | None = None,
) -> tuple[Sequence[bytes], set[int]]:
    """A value for each key, and the positions that `compute` was asked for.

    Of equal keys the first alone is computed, and so is what is remembered and not `usable` any more. Where `compute`
    raises, what it gave before is kept; a value that does not stay is computed again the next time.
    """

    def computed(missing: Sequence[int]) -> Iterator[Found]:
        for position, value in _values(services, compute, missing, batch):
            yield position, value, stays is None or stays(value)

    return _filled(services, operation, keys, computed, progress, usable)


def _values(
    services: Services, compute: Compute, missing: Sequence[int], batch: int
) -> Iterator[tuple[int, bytes]]:
    if isinstance(compute, Work) and compute.is_pure and services.helpers.most:
        yield from spread(services.helpers, compute, missing, batch)
        return
    for start in range(0, len(missing), batch):
        positions = missing[start : start + batch]
        yield from zip(positions, compute(positions), strict=True)


def remember_each(
    services: Services,
    operation: Digest,
    keys: Sequence[bytes],
    compute: Callable[[Sequence[int]], Iterable[Found]],
    *,
    progress: "Progress | None" = None,
) -> tuple[Sequence[bytes], set[int]]:
    """As `remember`, of what has to be paid for: values come with their positions in any order, and each that is to
    be remembered is on the disk before the next is waited for.
    """

    def jotted(missing: Sequence[int]) -> Iterator[Found]:
        for position, value, is_kept in compute(missing) if missing else ():
            if is_kept:
                services.memo.jot(operation, keys[position], value)
            yield position, value, is_kept

    return _filled(services, operation, keys, jotted, progress)


def _filled(
    services: Services,
    operation: Digest,
    keys: Sequence[bytes],
    compute: Callable[[Sequence[int]], Iterable[Found]],
    progress: "Progress | None",
    usable: Usable | None = None,
) -> tuple[Sequence[bytes], set[int]]:
    numbers, values, missing = _known(services, operation, keys, usable, progress)
    chunk = Chunk(services.memo, operation)
    try:
        for position, value, is_kept in compute(missing):
            values[numbers[position]] = value
            if is_kept:
                chunk.add(keys[position], value)
            if progress is not None:
                progress.advance()
    finally:
        chunk.keep()
    return Picked(values, numbers), set(missing)


def _known(
    services: Services,
    operation: Digest,
    keys: Sequence[bytes],
    usable: Usable | None,
    progress: "Progress | None",
) -> tuple[list[int], Values, list[int]]:
    """Each key's number among the distinct ones, values by number, and the positions that lack one."""
    firsts: dict[bytes, int] = {}
    numbers = [firsts.setdefault(key, len(firsts)) for key in keys]
    values = services.spool.values(len(firsts))
    _look_up(services.memo, operation, [*firsts], values, usable)
    missing = _first_of_each(numbers, values)
    if progress is not None:
        progress.advance(len(keys) - len(missing))
    return numbers, values, missing


def _look_up(
    memo: Memo, operation: Digest, keys: Sequence[bytes], values: Values, usable: Usable | None
) -> None:
    for asked in _windows(keys):
        found = memo.get(operation, [keys[number] for number in asked])
        known = [(number, value) for number, value in zip(asked, found, strict=True) if value is not None]
        are_usable = [True] * len(known) if usable is None else usable([value for _, value in known])
        for (number, value), is_usable in zip(known, are_usable, strict=True):
            if is_usable:
                values[number] = value


def _windows(keys: Sequence[bytes]) -> Iterator[Sequence[int]]:
    """Numbers of many keys in the order of the keys: so do they lie in the memo, and each part of it is read once."""
    if len(keys) <= _ASKED_AT_ONCE:
        yield range(len(keys))
        return
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for start in range(0, len(order), _ASKED_AT_ONCE):
        yield order[start : start + _ASKED_AT_ONCE]


def _first_of_each(numbers: Sequence[int], values: Values) -> list[int]:
    """Positions of the first of each of the values that are not there."""
    following, missing = 0, []
    for position, number in enumerate(numbers):
        if number == following:  # they are counted as they come
            following += 1
            if not values.has(number):
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
