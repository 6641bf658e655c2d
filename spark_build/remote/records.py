"""Records and listings of two tiers: those of this machine first, then those of the remote."""

from collections.abc import Callable, Iterable
from pathlib import Path

from spark_build.core.digest import Digest
from spark_build.core.record import Record
from spark_build.remote.store import RemoteStore
from spark_build.storage.durable import Disk
from spark_build.storage.objects import LocalObjects
from spark_build.storage.records import LocalRecords
from spark_build.storage.state import State

Locked = Callable[[], Iterable[tuple[Digest, Digest]]]  # keys and outputs that the lock names


class TieredRecords(LocalRecords):
    """`core.ports.Records`; what the remote tells is kept here once `keeps` is set, as by a build."""

    def __init__(
        self, folder: Path | str, remote: Callable[[], RemoteStore], locked: Locked, disk: Disk | None = None
    ) -> None:
        """`remote` is opened once something is not here."""
        super().__init__(folder, disk)
        self._remote, self._locked = remote, locked
        self._outputs: dict[Digest, Digest] | None = None  # of the lock's keys
        self.keeps = False

    def get(self, key: Digest) -> Record | None:
        if (known := super().get(key)) is not None:
            return known
        outputs = self._of_lock()
        found = self._remote().record(key, outputs.get(key))
        if found is not None and self.keeps:
            self.put(found)
        return found

    def like(self, loose_key: Digest) -> list[Record]:
        """The remote is asked for what the lock names alone: it can't be searched."""
        here = super().like(loose_key)
        if here:
            return here
        found = (self._remote().record(*one) for one in self._of_lock().items())
        return [record for record in found if record is not None and record.loose_key == loose_key]

    def look_again(self, key: Digest) -> None:
        """Another machine may have published it by now."""
        self._remote().look_again(key)

    def _of_lock(self) -> dict[Digest, Digest]:
        """With the first that is not here all others are asked for, in one batch."""
        if self._outputs is None:
            self._outputs = dict(self._locked())
            here = super().get
            self._remote().ask_for(one for one in self._outputs.items() if here(one[0]) is None)
        return self._outputs


class TieredObjects(LocalObjects):
    """`core.ports.Objects`; listings of Artifacts and of sources come from the remote where they are not here."""

    def __init__(
        self, folder: Path | str, state: State, remote: Callable[[], RemoteStore], disk: Disk | None = None
    ) -> None:
        super().__init__(folder, state, disk)
        self._remote = remote

    def read(self, digest: Digest) -> bytes:
        try:
            return super().read(digest)
        except KeyError:
            data = self._from_remote(digest)
            if data is None:
                raise
            self.write(data)
            return data

    def _from_remote(self, digest: Digest) -> bytes | None:
        remote = self._remote()
        index = remote.index(digest)
        return index.listing if index is not None else remote.listing(digest)
