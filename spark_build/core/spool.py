"""What a stage holds of its items: in memory up to a limit, on the disk beyond it, until the stage ends.

A dataset may be larger than memory. What stays in memory of each item is what orders and names it.
"""

import os
import pickle
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MEMORY_BYTES = 128 << 20  # of what all items hold; Python takes about twice as much for it
_SMALL_BYTES = 128  # a value up to here takes about as much as the place where it would lie
_BUFFER_BYTES = 1 << 20
_RECENT = 4  # two items are compared at a time, each by its fields


class Spool:
    """One nameless file beside what the stage writes: it is gone when the process is."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._free = MEMORY_BYTES
        self._fd = -1
        self._written = 0  # bytes in the file; what comes behind is in the buffer
        self._buffer = bytearray()
        self._recent: dict[int, Mapping[str, Any]] = {}

    def fields(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same fields; they are not to be changed any more."""
        if isinstance(fields, Spooled):
            return fields
        if self._free > 0:
            self._free -= _size(fields)
            return fields
        return Spooled(self, *self._append(pickle.dumps(dict(fields), pickle.HIGHEST_PROTOCOL)))

    def values(self, count: int) -> "Values":
        """Room for so many values."""
        return Values(self, count)

    def value(self, value: bytes) -> "bytes | _Place":
        if len(value) <= _SMALL_BYTES or self._free > 0:
            self._free -= len(value)
            return value
        return self._append(value)

    def read(self, place: "_Place") -> bytes:
        offset, length = place
        if offset + length > self._written:
            self._flush()
        return os.pread(self._fd, length, offset)

    def loaded(self, place: "_Place") -> Mapping[str, Any]:
        found = self._recent.get(place[0])
        if found is None:
            while len(self._recent) >= _RECENT:
                self._recent.pop(next(iter(self._recent)))
            found = self._recent[place[0]] = pickle.loads(self.read(place))
        return found

    def _append(self, data: bytes) -> "_Place":
        place = self._written + len(self._buffer), len(data)
        self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES:
            self._flush()
        return place

    def _flush(self) -> None:
        if self._fd < 0:
            import tempfile

            with tempfile.TemporaryFile(dir=self._folder) as file:
                self._fd = os.dup(file.fileno())
        while self._buffer:
            count = os.pwrite(self._fd, self._buffer, self._written)
            self._written += count
            del self._buffer[:count]

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


_Place = tuple[int, int]  # offset, length


class Spooled(Mapping[str, Any]):
    """Fields that lie on the disk."""

    __slots__ = ("_length", "_offset", "_spool")

    def __init__(self, spool: Spool, offset: int, length: int) -> None:
        self._spool, self._offset, self._length = spool, offset, length

    def _load(self) -> Mapping[str, Any]:
        return self._spool.loaded((self._offset, self._length))

    def __getitem__(self, name: str) -> Any:
        return self._load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def items(self) -> ItemsView[str, Any]:
        return self._load().items()


class Values:
    """A value for each position, or none yet."""

    def __init__(self, spool: Spool, count: int) -> None:
        self._spool = spool
        self._held: list[bytes | _Place | None] = [None] * count

    def has(self, position: int) -> bool:
        return self._held[position] is not None

    def __setitem__(self, position: int, value: bytes) -> None:
        self._held[position] = self._spool.value(value)

    def __getitem__(self, position: int) -> bytes:
        held = self._held[position]
        if held is None:
            raise KeyError(position)
        return held if isinstance(held, bytes) else self._spool.read(held)


def _size(fields: Mapping[str, Any]) -> int:
    """About what they take; text is nearly all of it."""
    plain = (str, float, int, bool, type(None))
    return sum(
        len(value) if isinstance(value, str) else 24 if isinstance(value, plain) else len(pickle.dumps(value))
        for value in fields.values()
    )


class Picked(Sequence[bytes]):
    """Values by the numbers of a list."""

    def __init__(self, values: Values, numbers: Sequence[int]) -> None:
        self._values, self._numbers = values, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: Any) -> Any:
        return self._values[self._numbers[position]]
