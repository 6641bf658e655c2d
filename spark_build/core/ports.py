"""Ports: what the engine and the stages ask of storage and of the outside; implementations are wired in app."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spark_build.core.acceptance import Acceptance
from spark_build.core.digest import Digest
from spark_build.core.job import Outcome
from spark_build.core.moved import Seen
from spark_build.core.record import Record
from spark_build.core.tree import Entry, Tree
from spark_build.core.values import Struct, field

if TYPE_CHECKING:
    from spark_build.core.spool import Spool


class Objects(Protocol):
    """Content by digest. Everything that is read is verified."""

    def has(self, digest: Digest) -> bool:
        """A quick look: there, and with the stat noted at writing (hashed again where that differs)."""

    def read(self, digest: Digest) -> bytes:
        """The verified content. Errors: StoreDamaged (set aside first) or KeyError where it is absent."""

    def write(self, data: bytes) -> Digest: ...

    def tree(self, digest: Digest) -> Tree: ...

    def missing(self, tree: Digest) -> list[Digest]:
        """Objects of an Artifact (its listing included) that are absent or damaged; [] means: all here."""

    def add_folder(self, folder: Path, taken: Sequence[Entry] = ()) -> Tree:
        """Takes a finished attempt in: every file hashed, flushed, renamed; `folder` is gone afterwards.

        `taken`: entries besides whose objects are here already. Errors: BadInput for links, sockets and other things
        that are no file; StoreDamaged where an object of `taken` is not here.
        """

    def check_out(self, tree: Tree, to: Path, *, link: bool) -> None:
        """Lays `tree` out under `to`: as read-only links (for stages) or as copies (reflinks where possible).

        Every object is verified on the way: StoreDamaged names the one that is not what it should be.
        """

    def changed_links(self, tree: Tree) -> list[str]:
        """Paths whose objects a stage changed through its links; those objects are set aside."""


class Records(Protocol):
    def get(self, key: Digest) -> Record | None: ...

    def like(self, loose_key: Digest) -> list[Record]:
        """Records that differ in library versions alone, the newest first."""

    def put(self, record: Record) -> Record | None:
        """Writes a record, last of all; where another output stands under its key, returns that one and keeps both; the
        new one counts."""

    def all(self) -> Iterator[Record]: ...


class Acceptances(Protocol):
    """Earlier results that a user takes as still good (`spark accept`); asked where a key has no Record."""

    def get(self, key: Digest) -> Acceptance | None: ...


class Memo(Protocol):
    """What per-item operations found, by operation and by digest of the fields read (design section 6)."""

    def get(self, operation: Digest, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def put(self, operation: Digest, entries: Mapping[bytes, bytes]) -> None:
        """One sorted Parquet segment; visible to others once it is renamed into place."""

    def jot(self, operation: Digest, key: bytes, value: bytes) -> None:
        """Kept at once and for little, for what must not be lost by a kill; a `put` of it follows, now or later."""


class Blobs(Protocol):
    """Files that items refer to by digest (design section 6): a stage that finds or makes some keeps them here."""

    def path(self, digest: Digest) -> Path:
        """Where it lies; read-only."""

    def sound(self, digest: Digest) -> Path:
        """`path`, once its content was read and is what its digest says.

        Errors: StoreDamaged where it is not; it is set aside then.
        """

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those that are absent, or not what they were."""

    def keep(self, file: Path) -> tuple[Digest, int]:
        """Takes a copy in, sharing blocks where it can; its digest and size. It lasts once `flush` was called."""

    def flush(self) -> None:
        """All that was kept is on the disk."""


class NoBlobs:
    """For stages that handle no media."""

    def path(self, digest: Digest) -> Path:
        raise KeyError(digest)

    sound = path

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        return set(digests)

    def keep(self, file: Path) -> tuple[Digest, int]:
        raise NotImplementedError("BUG: media where no blobs can be kept")

    def flush(self) -> None:
        """Nothing was kept."""


class Reporter(Protocol):
    """A worker's one append-only stream of events."""

    def progress(self, done: int, total: int | None, unit: str = "items") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None: ...

    def log(self, text: str) -> None: ...

    def checkpoint(self, step: int) -> None: ...

    def note(self, name: str, value: Any) -> None:
        """A fact that is kept in the Record's `notes`."""


class Direct(Protocol):
    """A stage that is one process of the user's own, without a worker around it."""

    words: Sequence[str]
    folder: str  # where it runs
    env: Mapping[str, str]
    secrets: Sequence[str]
    look: Callable[[], None] | None  # to be called now and then while it runs
    tail_bytes: int  # of what it printed, for `outcome`

    def outcome(self, status: int, errno: int | None, printed: bytes) -> Outcome:
        """Once it has ended; `errno` where it could not be started. Errors: SparkError."""


class Helpers(Protocol):
    """Processes that can do for a stage what it does item by item; by numbers, in the order they were started."""

    most: int  # that there may be
    after_seconds: float  # of work, before starting one is worth thinking of
    worked_seconds: float  # what the stage has spent on its items so far

    @property
    def started(self) -> int: ...

    def start(self, count: int) -> None:
        """So that `count` were started; they come up beside what goes on."""

    def ready(self) -> Sequence[int]:
        """Those that are up."""

    def wait(self) -> None:
        """Until all that were started are up, or have ended."""

    def send(self, number: int, message: bytes) -> None:
        """Where it has ended, `hear` tells."""

    def hear(self, seconds: float | None) -> list[tuple[int, bytes | None]]:
        """What has come of which; None once where it has ended. Waits up to `seconds` for the first, None: for ever."""

    def last_words(self, number: int) -> tuple[str, int]:
        """Of one that has ended: 'was ended by signal 11', and the place that it noted last."""


class NoHelpers:
    """For a stage that is to be one process."""

    most, started = 0, 0
    after_seconds = worked_seconds = 0.0

    def start(self, count: int) -> None:
        raise NotImplementedError("BUG: a stage of one process asks for another")

    def ready(self) -> Sequence[int]:
        return ()

    def wait(self) -> None:
        """There is none."""

    def send(self, number: int, message: bytes) -> None:
        raise NotImplementedError("BUG: there is no helper")

    def hear(self, seconds: float | None) -> list[tuple[int, bytes | None]]:
        return []

    def last_words(self, number: int) -> tuple[str, int]:
        raise NotImplementedError("BUG: there is no helper")


class Services(Struct, frozen=True):
    """What a stage's runner is given besides its job."""

    memo: Memo
    report: Reporter
    blobs: Blobs = NoBlobs()
    spool: "Spool" = field(default_factory=lambda: _spool())
    helpers: Helpers = field(default_factory=NoHelpers)


def _spool() -> "Spool":
    from spark_build.core.spool import Spool

    return Spool()


class World(Protocol):
    """What keys depend on outside of the graph, looked up once per command."""

    def tree(self, path: str, ignore: Iterable[str] = ()) -> Tree:
        """A project file or folder, digested through the stat cache; paths relative to the project.

        A file is a tree of one entry named by its base name. Errors: BadInput where it is not there,
        holds a link that leaves it, or can't be read.
        """

    def file(self, path: str) -> Digest | None:
        """One project file's digest; None where it is not there."""

    def env(self, name: str) -> str | None: ...

    def tool(self, name: str) -> str:
        """The first line of `NAME --version`, remembered by the binary's stat. Errors: Unavailable."""

    def library(self, name: str) -> str | None:
        """A distribution's version, from the name of its *.dist-info; None where it is not installed."""


class WatchedWorld(World, Protocol):
    """A world that can tell whether what it has answered still holds."""

    def matching(self, pattern: str, folder: str = "") -> tuple[str, ...]:
        """Files of the project's `folder` that match, looked for anew at each call."""

    def tool_file(self, name: str) -> str | None:
        """Where the tool lies that `tool` answered for; None where nobody asked."""

    def seen(self, kind: str, path: str) -> Seen | None:
        """The stats that the answer of `tree` or `file` (the `kind`) rests on; None where nobody asked."""

    def has_moved(self, kind: str, path: str) -> bool | None:
        """Whether these stats are others by now; None where they can't tell, and the content has to."""
