"""A bucket in memory, through obstore all the same: thousands of pushes and restores in a moment."""

from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest, digest_json
from spark_build.core.errors import SparkError
from spark_build.core.record import Record
from spark_build.core.tree import Tree
from spark_build.core.trust import Trust
from spark_build.remote.bucket import Bucket
from spark_build.remote.store import RemoteStore
from spark_build.storage.local import LocalStore


class Memory(Bucket):
    """obstore's own store in memory."""

    def __init__(self, kept: Any = None) -> None:
        import obstore.store

        super().__init__("s3://memory/x", sleep=lambda seconds: None)
        self.kept = obstore.store.MemoryStore() if kept is None else kept

    def _store(self, seconds: float) -> Any:
        return self.kept

    def contents(self) -> dict[str, bytes]:
        return {found.path: self.get(found.path) or b"" for found in self.list("")}


def action(name: str) -> dict[str, Any]:
    """A manifest."""
    return {"steps": [], "stage": name}


ACTION = action("train")
KEY = digest_json(ACTION)


def opened(bucket: Bucket, folder: Path) -> RemoteStore:
    """As a machine whose store is `folder` sees it."""
    store = LocalStore(folder)
    return RemoteStore(bucket, store.objects, store.state, trust=Trust())


def pushed(
    bucket: Bucket, folder: Path, files: dict[str, bytes], manifest: dict[str, Any] = ACTION
) -> Record:
    remote = opened(bucket, folder)
    attempt = folder / "attempt"
    attempt.mkdir(parents=True)
    for name, data in files.items():
        (attempt / name).write_bytes(data)
    tree: Tree = remote.objects.add_folder(attempt)
    listing: Digest = remote.objects.write(b"[]")
    record = Record(
        digest_json(manifest), "0" * 64, "model:x/train", manifest, tree.digest, tree.parts(), tree.size, 1.0,
        "now", metrics={"loss": 0.25}, sources={"data": listing},
    )  # fmt: skip
    remote.push(record, with_artifact=True)
    remote.state.flush()
    return record


def taken(
    bucket: Bucket, folder: Path, manifest: dict[str, Any] = ACTION
) -> tuple[Record | None, dict[str, bytes]]:
    """What a new machine gets: no Record, or one without its files, or all."""
    remote = opened(bucket, folder)
    record = remote.record(digest_json(manifest))
    if record is None or remote.bytes_missing(record.output) is None:
        return record, {}
    try:
        remote.fetch(record.output)
    except SparkError:
        return record, {}
    tree = remote.objects.tree(record.output)
    return record, {entry.path: remote.objects.read(entry.digest) for entry in tree}
