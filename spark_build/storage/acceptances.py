"""Acceptances: one sealed JSON file per accepted key under `accepted/`; listed once per command."""

import json
import os
from typing import Any

from spark_build.core.acceptance import Acceptance
from spark_build.core.digest import Digest, canonical_json, digest_bytes
from spark_build.core.disk import disk_problems
from spark_build.storage.durable import Disk

_SEAL = "seal"


class LocalAcceptances:
    """`core.ports.Acceptances` in a folder. What the folder holds is asked once; to look again, make another."""

    def __init__(self, store: str | os.PathLike[str], disk: Disk | None = None) -> None:
        self._store = os.path.abspath(store)
        self._folder = f"{self._store}/accepted"
        self._disk = Disk() if disk is None else disk
        self._names: frozenset[str] | None = None

    def get(self, key: Digest) -> Acceptance | None:
        """None also where the file is damaged: then the stage is run."""
        if self._names is None:
            self._names = frozenset(_listing(self._folder))
        return _read(self._path(key)) if f"{key}.json" in self._names else None

    def all(self) -> list[Acceptance]:
        """The oldest first."""
        found = [_read(f"{self._folder}/{name}") for name in _listing(self._folder)]
        return sorted((a for a in found if a is not None), key=lambda a: (a.at, a.stage, a.key))

    def put(self, acceptance: Acceptance) -> None:
        """In place of one that stands under its key."""
        path = self._path(acceptance.key)
        with disk_problems(self._folder):
            for folder in (self._folder, f"{self._store}/tmp"):
                self._disk.make_folder(folder)
            beside = f"{self._store}/tmp/{os.getpid()}-accepted-{os.urandom(4).hex()}"
            self._disk.write_new(beside, _sealed(acceptance))
            self._disk.rename(beside, path)
            self._disk.flush_folder(self._folder)
        self._names = None

    def drop(self, key: Digest) -> None:
        with disk_problems(self._folder):
            self._disk.remove(self._path(key))
            self._disk.flush_folder(self._folder)
        self._names = None

    def stamp(self) -> list[Any]:
        """Moves whenever an acceptance comes, goes or is replaced: what a remembered plan may rest on."""
        try:
            entries = sorted(os.scandir(self._folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        stats = [(e.name, e.stat()) for e in entries]
        return [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for name, s in stats]

    def _path(self, key: Digest) -> str:
        return f"{self._folder}/{key}.json"


def _listing(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".json")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sealed(acceptance: Acceptance) -> bytes:
    data = acceptance.to_json()
    return canonical_json({**data, _SEAL: digest_bytes(canonical_json(data))})


def _read(path: str) -> Acceptance | None:
    try:
        with open(path, "rb") as file:
            data: dict[str, Any] = json.loads(file.read())
        seal = data.pop(_SEAL)
        is_whole = (
            seal == digest_bytes(canonical_json(data)) and os.path.basename(path) == f"{data['key']}.json"
        )
        return Acceptance.from_json(data) if is_whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
