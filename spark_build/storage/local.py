"""The local store: one folder with objects, records, memo, scratch and logs (design section 7)."""

import os
from collections.abc import Iterable
from pathlib import Path

from spark_build.core.record import Record
from spark_build.storage.claims import deciding, touch
from spark_build.storage.durable import Disk
from spark_build.storage.objects import LocalObjects
from spark_build.storage.records import LocalRecords
from spark_build.storage.state import State

__all__ = ["LocalObjects", "LocalRecords", "LocalStore"]


class LocalStore:
    """Objects and records of one folder. Nothing is made before something is written."""

    def __init__(self, folder: Path | str, state: State | None = None, disk: Disk | None = None) -> None:
        self.folder = os.path.abspath(folder)
        self.state = State(f"{self.folder}/state.db") if state is None else state
        self.objects = LocalObjects(self.folder, self.state, disk)
        self.records = LocalRecords(self.folder, disk)

    def hold(self, records: Iterable[Record]) -> list[Record]:
        """Results that count stay, whatever `store gc` does while this process goes on; those that it took before."""
        found = [*records]
        self.objects.be_present()
        with deciding(self.folder):
            touch(self.objects.path(record.output) for record in found)
            gone = [record for record in found if not self.records.has(record.key)]
        return [
            record for record in gone if self.records.get(record.key) is None
        ]  # where there is a second tier

    def close(self) -> None:
        self.state.close()
