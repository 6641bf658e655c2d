"""The local store: one folder with objects, records, memo, scratch and logs (design section 7)."""

import os
from pathlib import Path

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

    def close(self) -> None:
        self.state.close()
