"""What of a store nobody needs goes, beside builds that run: results and their objects, then what is left over.

First the Records that are not needed: nobody takes their results for fresh any more. Then the objects that no result
which stays has; each is looked at again before it goes, since a build may rely on it by now (`storage.claims`). A run
that is killed has removed some of it, and the next one removes the rest.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from spark_build.core.address import target_of
from spark_build.core.digest import Digest
from spark_build.core.errors import StoreDamaged
from spark_build.core.record import Record
from spark_build.core.tree import Tree
from spark_build.core.values import Struct, field
from spark_build.storage.claims import sweeping
from spark_build.storage.leftovers import Stays, leftovers, take_away
from spark_build.storage.local import LocalStore
from spark_build.storage.objects import is_digest
from spark_build.storage.records import read_record

_BATCH = 256  # of what is looked at and taken while nobody may claim anything: some ms
_VIEW_DIGITS = 32  # of an output, which name the view of it
T = TypeVar("T")


class Needs(Struct):
    """What stays, whatever it takes; and how all else is told."""

    keys: set[Digest] = field(default_factory=set)  # of Records
    outputs: set[Digest] = field(default_factory=set)
    actions: set[Digest] = field(default_factory=set)  # that may go on from their scratch
    views: set[str] = field(default_factory=set)  # that are served
    untouched_before: int = 0  # ns: what was last touched before then nobody at work relies on
    young_since: float = 0.0  # POSIX seconds: what is left over and older goes


class Heap(Struct):
    """How much of one kind."""

    count: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.count, self.bytes = self.count + 1, self.bytes + size


class Collected(Struct):
    """What went, or would go; and what stays."""

    removed: dict[str, Heap] = field(default_factory=dict)  # by kind
    targets: dict[str, Heap] = field(default_factory=dict)  # objects, by the target that had them; '' of none
    kept: Heap = field(default_factory=Heap)  # objects that are needed
    spared: Heap = field(default_factory=Heap)  # objects that are not, and fit below the limit
    in_use: int = 0  # Records and objects that are not needed, but a build relies on them just now
    bytes_after: int = 0  # of the whole store
    most_bytes: int | None = None

    @property
    def fits(self) -> bool:
        return self.most_bytes is None or self.bytes_after <= self.most_bytes

    def add(self, kind: str, size: int) -> None:
        self.removed.setdefault(kind, Heap()).add(size)


class _Result(Struct, frozen=True):
    path: str
    record: Record
    used_ns: int  # when a build took it last


def collect(
    store: LocalStore, needs: Needs, *, most_bytes: int | None = None, is_dry: bool = False
) -> Collected:
    """`most_bytes`: of what is not needed the longest unused goes, until the store has no more than that.

    Errors: StoreDamaged where nobody can tell what a result that is needed consists of.
    """
    return _Run(store, needs, is_dry, Collected(most_bytes=most_bytes)).run()


class _Run(Struct, dict=True):
    store: LocalStore
    needs: Needs
    is_dry: bool
    told: Collected

    def run(self) -> Collected:
        before = _bytes_in(self.store.folder)
        self._here = dict(_objects(self.store.folder))  # sizes
        self._stay: set[Digest] = set()  # objects
        kept, rest = self._parted(_results(self.store))
        self._keep(kept)
        stays = Stays([r.record for r in kept], self.needs.actions, self._views(kept), self.needs.young_since)
        old = list(leftovers(self.store.folder, stays))
        if self.told.most_bytes is not None:
            others = before - sum(self._here.values()) - sum(leftover.bytes for leftover in old)
            rest = self._without_spared(rest, self.told.most_bytes - others - self.told.kept.bytes)
        owners = self._owners(rest)
        self._remove_records(rest)
        self._remove_objects(owners)
        for leftover in old:
            if self.is_dry or take_away(leftover, self.store.objects.disk):
                self.told.add(leftover.kind, leftover.bytes)
        if not self.is_dry:
            self.store.state.flush()
        gone = sum(heap.bytes for heap in self.told.removed.values())
        self.told.bytes_after = before - gone if self.is_dry else _bytes_in(self.store.folder)
        return self.told

    # what stays

    def _parted(self, results: Iterable[_Result]) -> tuple[list[_Result], list[_Result]]:
        """Those that are needed, and the others: the one that was used last first."""
        kept, rest = list[_Result](), list[_Result]()
        for result in results:
            is_needed = result.record.key in self.needs.keys or result.record.output in self.needs.outputs
            (kept if is_needed else rest).append(result)
        return kept, sorted(rest, key=lambda result: -result.used_ns)

    def _keep(self, kept: Iterable[_Result]) -> None:
        for output in self.needs.outputs | {result.record.output for result in kept}:
            self._stay |= self._objects_of(output, is_needed=True)
        self._stay |= {digest for result in kept for digest in result.record.sources.values()}
        for digest in self._stay & self._here.keys():
            self.told.kept.add(self._here[digest])

    def _objects_of(self, output: Digest, *, is_needed: bool = False) -> set[Digest]:
        """As its listing says, which is one of them. Errors: StoreDamaged where it is needed and can't be read."""
        if output not in self._here:
            return {output}
        listing = self.store.objects.peek(output)
        if listing is None and is_needed:
            raise StoreDamaged(
                f"object {output[:12]}, the listing of a result that is needed, is damaged: nothing was removed",
                fix="spark store check --repair",
            )
        return {output} | {entry.digest for entry in Tree.parse(listing or b"[]")}

    def _views(self, kept: Iterable[_Result]) -> set[str]:
        return self.needs.views | {result.record.output[:_VIEW_DIGITS] for result in kept}

    def _without_spared(self, rest: list[_Result], room: int) -> list[_Result]:
        """As long as there is room, what was used last stays."""
        for number, result in enumerate(rest):
            new = {*self._objects_of(result.record.output), *result.record.sources.values()} - self._stay
            new &= self._here.keys()
            room -= sum(self._here[digest] for digest in new)
            if room < 0:
                return rest[number:]
            self._stay |= new
            for digest in new:
                self.told.spared.add(self._here[digest])
        return []

    # what goes

    def _owners(self, rest: Iterable[_Result]) -> dict[Digest, str]:
        """The target whose result has had each object last."""
        owners: dict[Digest, str] = {}
        for result in rest:
            target = target_of(result.record.stage)
            for digest in (*self._objects_of(result.record.output), *result.record.sources.values()):
                owners.setdefault(digest, target)
        return owners

    def _remove_records(self, rest: list[_Result]) -> None:
        """But those which a build has taken for fresh by now: their objects stay as well."""
        folders = set[str]()
        for batch in _batches(rest):
            with sweeping(self.store.folder):
                for result in filter(lambda result: os.path.lexists(result.path), batch):
                    size = os.lstat(result.path).st_size
                    if self._is_in_use(result.path, self.store.objects.path(result.record.output)):
                        self._stay |= self._objects_of(result.record.output)
                        continue
                    self.told.add("records", size)
                    folders.add(os.path.dirname(result.path))
                    if not self.is_dry:
                        self.store.records.drop(result.path, result.record)
        if not self.is_dry:
            for folder in folders:  # an object must not be gone before the Record that has it
                self.store.objects.disk.flush_folder(folder)

    def _remove_objects(self, owners: dict[Digest, str]) -> None:
        for batch in _batches(digest for digest in self._here if digest not in self._stay):
            with sweeping(self.store.folder):
                for digest in batch:
                    path = self.store.objects.path(digest)
                    if not os.path.lexists(path) or self._is_in_use(path):
                        continue
                    self.told.add("objects", self._here[digest])
                    self.told.targets.setdefault(owners.get(digest, ""), Heap()).add(self._here[digest])
                    if not self.is_dry:
                        self.store.objects.forget(digest)

    def _is_in_use(self, *paths: str) -> bool:
        is_touched = any(_ctime_ns(path) >= self.needs.untouched_before for path in paths)
        self.told.in_use += is_touched
        return is_touched


def _results(store: LocalStore) -> Iterator[_Result]:
    for path in store.records.files():
        if (record := read_record(path)) is not None:
            used_ns = max(_ctime_ns(path), _ctime_ns(store.objects.path(record.output)))
            yield _Result(path, record, used_ns)


def _objects(store: str) -> Iterator[tuple[Digest, int]]:
    for short in _entries(f"{store}/objects"):
        for entry in _entries(short.path):
            digest = short.name + entry.name
            if is_digest(digest) and entry.is_file(follow_symlinks=False):
                yield digest, entry.stat(follow_symlinks=False).st_size


def _bytes_in(store: str) -> int:
    """Of all that lies there; a file with several names counts once."""
    seen = set[int]()
    size = 0
    waiting = [store]
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                continue
            with suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                if stat.st_nlink == 1 or stat.st_ino not in seen:
                    size += stat.st_size
                if stat.st_nlink > 1:
                    seen.add(stat.st_ino)
    return size


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _ctime_ns(path: str) -> int:
    """0 where nothing is."""
    try:
        return os.lstat(path).st_ctime_ns
    except FileNotFoundError:
        return 0


def _batches(things: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(things)
    while batch := list(islice(waiting, _BATCH)):
        yield batch
