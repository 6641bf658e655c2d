"""Reads a whole store again and says what is damaged, whom it hurts and how it heals."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from spark_build.core.address import target_of, typed
from spark_build.core.digest import Digest, digest_file
from spark_build.core.errors import StoreDamaged
from spark_build.core.values import Struct
from spark_build.storage.local import LocalStore
from spark_build.storage.records import read_record


class Finding(Struct, frozen=True):
    kind: str  # 'object' 'record' 'memo' 'publication': damaged; 'absent': a record's object is not in this store
    name: str  # digest, or path in the store
    what: str
    fix: str
    stages: tuple[str, ...] = ()  # whose results hold it

    @property
    def is_damage(self) -> bool:
        return self.kind != "absent"

    @property
    def head(self) -> str:
        hurt = f" (of {', '.join(self.stages)})" if self.stages else ""
        return f"{self.name}{hurt}: {self.what}"

    def __str__(self) -> str:
        return f"{self.head}\n  fix: {self.fix}"


_LISTED_AGAIN = "spark store check --repair lists a source again that stands as it was read"
Sample = Callable[[int], int]  # of how many objects how many are read


def check(store: LocalStore, sample: Sample | None = None, seed: int | None = None) -> list[Finding]:
    """Everything that is not what its name says; of the objects only a drawn `sample` where given.

    Damaged objects are set aside, so that the next build makes them again.
    """
    stages, listings = _stages_by_object(store)
    read = _stages_by_source(store)
    digests = sorted(_objects(store.folder))
    if sample is not None:
        import random

        drawn = random.Random(seed).sample(digests, min(len(digests), max(0, sample(len(digests)))))
        digests = sorted(drawn)
    found = [
        *_damaged_objects(store, digests, stages, read),
        *_damaged_records(store),
        *_damaged_memo(store.folder),
    ]
    store.state.flush()
    return found + listings


def _stages_by_object(store: LocalStore) -> tuple[dict[Digest, set[str]], list[Finding]]:
    """Whose results hold each object, and what is wrong with the listings that tell it."""
    stages: dict[Digest, set[str]] = {}
    for record in store.records.all():
        stages.setdefault(record.output, set()).add(record.stage)
    found = []
    for output, of_output in list(stages.items()):
        hurt = tuple(sorted(of_output))
        try:
            tree = store.objects.tree(output)
        except StoreDamaged as problem:
            found.append(_damaged(output, problem, hurt))
            continue
        except KeyError:
            found.append(_absent(output, "the listing of its result", hurt))
            continue
        for entry in tree:
            stages.setdefault(entry.digest, set()).update(of_output)
        gone = [entry.path for entry in tree if not os.path.lexists(store.objects.path(entry.digest))]
        if gone:
            more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
            found.append(_absent(output, f"{', '.join(gone[:3])}{more}", hurt))
    return stages, found


def _stages_by_source(store: LocalStore) -> dict[Digest, set[str]]:
    """Who read a source that each object lists."""
    stages: dict[Digest, set[str]] = {}
    for record in store.records.all():
        for digest in record.sources.values():
            stages.setdefault(digest, set()).add(record.stage)
    return stages


def _absent(output: Digest, what: str, stages: tuple[str, ...]) -> Finding:
    return Finding("absent", output, f"{what} not in this store", _build_of(stages), stages)


def _damaged(digest: Digest, problem: StoreDamaged, stages: tuple[str, ...]) -> Finding:
    return Finding("object", digest, problem.message, _build_of(stages), stages)


def _build_of(stages: Iterable[str]) -> str:
    return f"spark build {' '.join(dict.fromkeys(typed(target_of(s)) for s in stages))}".rstrip()


def _objects(folder: str) -> Iterator[Digest]:
    root = f"{folder}/objects"
    for short in sorted(_names(root)):
        for rest in sorted(_names(f"{root}/{short}")):
            yield short + rest


def _damaged_objects(
    store: LocalStore,
    digests: Iterable[Digest],
    stages: dict[Digest, set[str]],
    read: dict[Digest, set[str]],
) -> Iterator[Finding]:
    for digest in digests:
        try:
            path = store.objects.path(digest)
        except StoreDamaged:
            what = "a file among the objects whose name is no digest"
            yield Finding("object", f"objects/{digest[:2]}/{digest[2:]}", what, "remove it")
            continue
        try:
            seen = os.lstat(path)
            is_good = digest_file(path, seen.st_size) == digest
        except FileNotFoundError:
            continue  # set aside meanwhile by another process
        if not is_good:
            problem = store.objects.set_aside(digest, seen)
            if digest in read and digest not in stages:
                what = f"{problem.message}; it lists what was read, for spark why"
                yield Finding("object", digest, what, _LISTED_AGAIN, tuple(sorted(read[digest])))
            else:
                yield _damaged(digest, problem, tuple(sorted(stages.get(digest, ()))))


def _damaged_records(store: LocalStore) -> Iterator[Finding]:
    for path in store.records.files():
        if read_record(path) is None:
            name = os.path.relpath(path, store.folder)
            yield Finding(
                "record", name, "the record does not match its seal", "spark build runs its stage again"
            )


def _damaged_memo(folder: str) -> Iterator[Finding]:
    root = Path(folder, "memo")
    for path in sorted(root.glob("*/*.parquet")):
        try:
            is_good = digest_file(path) == path.stem
        except FileNotFoundError:
            continue  # merged meanwhile
        if not is_good:
            what = "the segment does not match its name; what it remembered is worked out again"
            yield Finding(
                "memo", str(path.relative_to(folder)), what, "none is needed; it is set aside when read"
            )


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
