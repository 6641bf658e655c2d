"""Results that no stage had to make, and what a store holds."""

import os
from pathlib import Path

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.record import Record
from spark_build.core.tree import Tree
from spark_build.pinning import LOCK_NAME, Lock
from spark_build.storage.local import LocalStore


def put_result(store: LocalStore, stage: str, files: dict[str, bytes], key: str | None = None) -> Record:
    """A result of these files, as a build takes one in."""
    folder = Path(store.folder, "work", f"test-{os.urandom(4).hex()}", "attempt")
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    builder = LocalStore(store.folder)  # which is at work no longer than it is there
    tree = builder.objects.add_folder(folder)
    folder.parent.rmdir()
    record = record_of(stage, tree, key)
    builder.records.put(record)
    builder.close()
    return record


def record_of(stage: str, tree: Tree, key: str | None = None) -> Record:
    digest = digest_bytes(f"{key}{tree.digest}".encode())
    return Record(
        digest, digest, stage, {}, tree.digest, tree.parts(), tree.size, 1.0, "2026-01-01T00:00:00+00:00"
    )


def lock_of(*records: Record, tags: dict[str, Record] | None = None) -> str:
    lock = Lock()
    for record in records:
        lock.put("stages", record.stage, {"key": record.key, "output": record.output, "manifest": "{}"})
    for name, record in (tags or {}).items():
        lock.put("tags", name, {"stage": record.stage, "key": record.key, "output": record.output})
    return lock.render()


def write_lock(project: Path, *records: Record, tags: dict[str, Record] | None = None) -> None:
    (project / LOCK_NAME).write_text(lock_of(*records, tags=tags))


def is_whole(store: LocalStore, output: Digest) -> bool:
    return not store.objects.missing(output)


def objects_in(store: LocalStore) -> set[Digest]:
    return {p.parent.name + p.name for p in Path(store.folder, "objects").glob("*/*")}
