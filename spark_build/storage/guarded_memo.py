"""The item memo of one job: what it finds is kept only while all that the findings hang on is as the key says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from spark_build.core.digest import Digest, digest_file
from spark_build.core.disk import disk_problem
from spark_build.core.job import Job
from spark_build.core.moved import Seen, changed
from spark_build.core.ports import Memo, Reporter
from spark_build.storage.looks import is_as_seen
from spark_build.storage.memo import LocalMemo

NOTE = (
    "memo"  # of a Record: the operations that its stage asked for, so that others can be given what it found
)


def memo_of(job: Job, report: Reporter) -> Memo:
    def asked(operations: Iterable[Digest]) -> None:
        report.note(NOTE, sorted(operations))

    return GuardedMemo(LocalMemo(Path(job.store, "memo"), report.log), job.seen, asked)


class GuardedMemo:
    """Implements `core.ports.Memo`. It keeps at once what it is given, so that a killed build goes on from there.

    Each operation is asked for before its rule computes, and after the rule was loaded: what was imported is looked
    at then, and before each `put` all that may have been read since.
    """

    def __init__(
        self,
        memo: Memo,
        seen: Sequence[Seen],
        asked: Callable[[Iterable[Digest]], None] = lambda operations: None,
    ) -> None:
        self._memo, self._seen, self._tell = memo, seen, asked
        self._asked: set[Digest] = set()

    def get(self, operation: Digest, keys: Sequence[bytes]) -> list[bytes | None]:
        if operation not in self._asked:
            self._asked.add(operation)
            self._tell(self._asked)
            self._check()
        return self._memo.get(operation, keys)

    def put(self, operation: Digest, entries: Mapping[bytes, bytes]) -> None:
        """Errors: InputMoved besides."""
        self._check()
        self._memo.put(operation, entries)

    def jot(self, operation: Digest, key: bytes, value: bytes) -> None:
        """Errors: InputMoved besides."""
        self._check()
        self._memo.jot(operation, key, value)

    def _check(self) -> None:
        for seen in self._seen:
            if not _holds(seen):
                raise changed(seen.name)


def _holds(seen: Seen) -> bool:
    if is_as_seen(seen) and (seen.is_trusted or seen.digest is None):
        return True
    return seen.digest is not None and _digest(seen.location) == seen.digest


def _digest(location: str) -> Digest | None:
    try:
        return digest_file(location)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise disk_problem(error, location) from error
