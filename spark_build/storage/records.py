"""Records: what each action did, one canonical JSON file per key under `records/ab/<key>.json`."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest, canonical_json, digest_bytes
from spark_build.core.disk import disk_problems
from spark_build.core.record import Record
from spark_build.core.undeclared import knows_more
from spark_build.storage.durable import Disk
from spark_build.storage.loose import LooseIndex
from spark_build.storage.stats import fold_of_records

_SEAL = "seal"  # the file's own digest: rot in a record counts as no record


class LocalRecords:
    """`core.ports.Records` in a folder."""

    def __init__(self, folder: Path | str, disk: Disk | None = None) -> None:
        self.folder = os.path.abspath(folder)
        self.disk = Disk() if disk is None else disk
        self._loose = LooseIndex(self.folder, self.disk, lambda: ((r.loose_key, r.key) for r in self.all()))

    def get(self, key: Digest) -> Record | None:
        """None also where the file is damaged; `spark store check` tells the two apart."""
        return read_record(self._path(key))

    def has(self, key: Digest) -> bool:
        """Whether there is a file, sound or not."""
        return os.path.lexists(self._path(key))

    def set_aside(self, path: str) -> None:
        """Moves a damaged record's file out of the way."""
        with disk_problems(path), suppress(FileNotFoundError):
            self.disk.make_folder(f"{self.folder}/damaged")
            stem = os.path.basename(path).removesuffix(".json")
            self.disk.rename(path, f"{self.folder}/damaged/{stem}-{os.urandom(3).hex()}.json")

    def drop(self, path: str, record: Record) -> None:
        """Takes a record's file away, and the name that the index has for it."""
        self.disk.remove(path)
        if path == self._path(record.key):
            self._loose.drop(record.loose_key, record.key)

    def like(self, loose_key: Digest) -> list[Record]:
        # a record without library versions has its loose key for a key, and is not in the index
        found = [self.get(key) for key in dict.fromkeys([*self._loose.keys(loose_key), loose_key])]
        alike = [record for record in found if record is not None and record.loose_key == loose_key]
        return sorted(alike, key=lambda record: (record.started, record.key), reverse=True)

    def put(self, record: Record) -> Record | None:
        with disk_problems(f"{self.folder}/records"):
            # first the index: a key without a record is skipped, a record without its index is never found
            self._loose.put(record.loose_key, record.key)
            return self._write(record)

    def rewrite(self, record: Record) -> None:
        """The same record with other notes: key and output stay what they are."""
        path = self._path(record.key)
        with disk_problems(path):
            self.disk.rename(self._written(record), path)
            self.disk.flush_folder(os.path.dirname(path))

    def fold(self, keys: Iterable[Digest]) -> Digest | None:
        """One digest over the stats of these records' files; None where one is not there."""
        return fold_of_records(self.folder, keys)

    def all(self) -> Iterator[Record]:
        """Also the older, different results that stand beside those which count."""
        for path in self.files():
            if (record := read_record(path)) is not None:
                yield record

    def files(self) -> list[str]:
        found: list[str] = []
        for folder, _, names in os.walk(f"{self.folder}/records"):
            found += [f"{folder}/{name}" for name in names if name.endswith(".json")]
        return sorted(found)

    def _write(self, record: Record) -> Record | None:
        path = self._path(record.key)
        if self._place(path, record):
            return None
        standing = read_record(path)
        if standing is None:  # damaged
            self.set_aside(path)
            return self._write(record)
        if standing.output == record.output:
            if knows_more(record.notes, standing.notes):  # now it is known to rest on its inputs alone
                self.disk.rename(self._written(record), path)
            return None
        # the newest counts: of it the build goes on, and the older one's Artifact may be what was lost
        self._place(path.removesuffix(".json") + f".{standing.output[:12]}.json", standing)
        self.disk.rename(self._written(record), path)
        self.disk.flush_folder(os.path.dirname(path))
        return standing

    def _place(self, path: str, record: Record) -> bool:
        if os.path.lexists(path):
            return False
        self.disk.make_folder(os.path.dirname(path))
        temporary = self._written(record)
        is_placed = self.disk.place(temporary, path)
        if is_placed:
            self.disk.flush_folder(os.path.dirname(path))
        else:
            self.disk.remove(temporary)
        return is_placed

    def _written(self, record: Record) -> str:
        """A file of the record under a name that nobody else uses."""
        self.disk.make_folder(f"{self.folder}/tmp")
        temporary = f"{self.folder}/tmp/{os.getpid()}-record-{os.urandom(4).hex()}"
        self.disk.write_new(temporary, sealed(record))
        return temporary

    def _path(self, key: Digest) -> str:
        return f"{self.folder}/records/{key[:2]}/{key}.json"


def sealed(record: Record) -> bytes:
    data = record.to_json()
    return canonical_json({**data, _SEAL: digest_bytes(canonical_json(data))})


def read_record(path: str) -> Record | None:
    """A record's file; None where it is absent or does not match its own seal."""
    try:
        with open(path, "rb") as file:
            return unsealed(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None


def unsealed(text: bytes) -> Record | None:
    """None where it does not match its own seal, or is no record."""
    try:
        data: dict[str, Any] = json.loads(text)
        seal = data.pop(_SEAL)
        # the file is canonical JSON: without its seal it is what the seal was taken over
        is_whole = seal == digest_bytes(text.replace(f',"{_SEAL}":"{seal}"'.encode(), b"", 1))
        return Record.from_json(data) if is_whole else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
