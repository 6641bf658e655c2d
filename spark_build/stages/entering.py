"""What came into a gate that compares items: remembered per shard, so that unchanged rows need not be read again.

It follows from a row and from the gates before alone, as long as none of these changed the row in the light of others
(`stages/gate_changes.py` goes on only where that is so). A row that an earlier gate compared away stays unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_build.core.digest import Digest, digest_json
from spark_build.core.job import Job
from spark_build.core.ports import Memo
from spark_build.core.values import Struct
from spark_build.stages.joining import Joining

if TYPE_CHECKING:
    import numpy as np

_MARK = b"entering 1\n"  # what a remembered part begins with
UNKNOWN, STAYS, JOINS = range(3)  # STAYS: it has nothing to compare
_DIGEST_BYTES = 32

Shard = tuple[str, Digest, int]  # split, digest, rows


class Entering(Struct, frozen=True):
    """By row, in canonical order."""

    state: "np.ndarray[Any, Any]"  # (rows,) uint8
    digests: "np.ndarray[Any, Any]"  # (rows, 32) uint8
    priorities: "np.ndarray[Any, Any]"  # (rows,) float64

    @classmethod
    def unknown(cls, rows: int) -> "Entering":
        import numpy as np

        return cls(np.zeros(rows, np.uint8), np.zeros((rows, _DIGEST_BYTES), np.uint8), np.zeros(rows))

    def note(self, came_in: Sequence[int], joined: Sequence[Joining]) -> None:
        """Of rows by their numbers."""
        import numpy as np

        self.state[np.asarray(came_in, np.int64)] = STAYS
        numbers = np.fromiter((item.number for item in joined), np.int64, len(joined))
        self.state[numbers] = JOINS
        found = np.frombuffer(b"".join(item.digest for item in joined), np.uint8)
        self.digests[numbers] = found.reshape(-1, _DIGEST_BYTES)
        self.priorities[numbers] = [item.priority for item in joined]

    @classmethod
    def one_behind_the_other(cls, parts: "Sequence[Entering]") -> "Entering":
        import numpy as np

        return cls(*map(np.concatenate, zip(*(part._columns for part in parts), strict=True)))

    def take_over(self, other: "Entering", begin: int, to: int, count: int) -> None:
        for own, theirs in zip(self._columns, other._columns, strict=True):
            own[to : to + count] = theirs[begin : begin + count]

    @property
    def _columns(self) -> "tuple[np.ndarray[Any, Any], ...]":
        return self.state, self.digests, self.priorities

    def joining(self, numbers: "np.ndarray[Any, Any]", names: Sequence[tuple[str, str]]) -> list[Joining]:
        """Of these rows, whose ids and sources are `names`."""
        digests, priorities = self.digests[numbers].tobytes(), self.priorities[numbers].tolist()
        return [
            Joining(number, *name, digests[start : start + _DIGEST_BYTES], priority)
            for number, name, start, priority in zip(
                numbers.tolist(), names, range(0, len(digests), _DIGEST_BYTES), priorities, strict=True
            )
        ]

    def part(self, start: int, rows: int) -> bytes:
        """Of some rows, for the memo: digests of those that join, no others."""
        state, joins = self.state[start : start + rows], self.state[start : start + rows] == JOINS
        columns = (self.priorities[start : start + rows][joins], self.digests[start : start + rows][joins])
        return b"".join([_MARK, state.tobytes(), *(column.tobytes() for column in columns)])

    @classmethod
    def of_part(cls, value: bytes, rows: int) -> "Entering | None":
        """None where it is no such part."""
        import numpy as np

        if not value.startswith(_MARK) or len(value) < len(_MARK) + rows:
            return None
        value, found = value[len(_MARK) :], cls.unknown(rows)
        found.state[:] = np.frombuffer(value, np.uint8, rows)
        joins = found.state == JOINS
        count = int(joins.sum())
        if len(value) != rows + count * (8 + _DIGEST_BYTES):
            return None
        found.priorities[joins] = np.frombuffer(value, np.float64, count, rows)
        digests = np.frombuffer(value, np.uint8, offset=rows + 8 * count)
        found.digests[joins] = digests.reshape(count, _DIGEST_BYTES)
        return found


def remembered(memo: Memo, operation: Digest, shards: Sequence[Shard]) -> list[Entering | None]:
    values = memo.get(operation, [_key(shard) for shard in shards])
    return [
        None if value is None else Entering.of_part(value, rows)
        for value, (_, _, rows) in zip(values, shards, strict=True)
    ]


def keep(
    memo: Memo, operation: Digest, entering: Entering, shards: Iterable[Shard], known: Iterable[Shard] = ()
) -> None:
    """`shards` are all, one behind the other; of `known` ones it is remembered already."""
    start, taken, parts = 0, {_key(shard) for shard in known}, dict[bytes, bytes]()
    for shard in shards:
        if (key := _key(shard)) not in taken:
            parts[key] = entering.part(start, shard[2])
        start += shard[2]
    memo.put(operation, parts)


def tells_of(value: bytes, digests: Iterable[bytes]) -> bool:
    """Whether a remembered value is such a part, and has one of these digests."""
    return value.startswith(_MARK) and any(digest in value for digest in digests)


def operation_of(job: Job, number: int) -> Digest:
    """Scopes what is remembered of the job's gate `number`: all that is done up to it."""
    runner: Mapping[str, Any] = {n: v for n, v in job.manifest.items() if n not in ("inputs", "steps")}
    steps = [
        [step.rule, step.operation, step.params, step.options, step.manifest]
        for step in job.steps[: number + 1]
    ]
    return digest_json(["entering", _MARK.decode(), runner, steps])


def _key(shard: Shard) -> bytes:
    split, digest, _ = shard
    return bytes.fromhex(digest_json([split, digest]))
