"""Blobs: media files that a stage's worker takes into the store as it finds them, so that a killed one loses none."""

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from spark_build.core.digest import Digest
from spark_build.core.disk import disk_problems
from spark_build.core.job import Job
from spark_build.core.ports import Blobs

if TYPE_CHECKING:
    from spark_build.storage.objects import LocalObjects


def blobs_of(job: Job) -> Blobs:
    def objects() -> "LocalObjects":
        from spark_build.storage.objects import LocalObjects
        from spark_build.storage.state import State

        return LocalObjects(job.store, State(f"{job.store}/state.db"))

    return LocalBlobs(objects)


class LocalBlobs:
    """`core.ports.Blobs` in the local store: ordinary objects, which count once a stage's result names them."""

    def __init__(self, objects: "Callable[[], LocalObjects]") -> None:
        """`objects` is asked once there is a blob: most stages have none."""
        self._objects_of = objects
        self._kept: dict[Digest, None] = {}  # and not flushed yet
        self._sound: set[Digest] = set()  # read once by this process

    @cached_property
    def _objects(self) -> "LocalObjects":
        return self._objects_of()

    def path(self, digest: Digest) -> Path:
        return Path(self._objects.path(digest))

    def sound(self, digest: Digest) -> Path:
        if digest not in self._sound:
            self._objects.verify(digest)
            self._sound.add(digest)
        return self.path(digest)

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        return set(self._objects.claim(set(digests)))

    def keep(self, file: Path) -> tuple[Digest, int]:
        objects = self._objects
        with disk_problems(objects.folder):
            temporary = objects.temporary()
            digest = objects.disk.copy_object(os.fspath(file), temporary, flush=False)
            size = os.stat(temporary).st_size
            objects.place(temporary, digest, size)
        self._kept[digest] = None
        return digest, size

    def flush(self) -> None:
        """The state, which believes an object by its stat, learns of them afterwards: a torn one is not believed."""
        if not self._kept:
            return
        paths = [self._objects.path(digest) for digest in self._kept]
        with disk_problems(self._objects.folder):
            self._objects.disk.flush_together(paths)
            self._objects.disk.flush_together(sorted({os.path.dirname(path) for path in paths}))
        self._objects.state.flush()
        self._kept = {}
