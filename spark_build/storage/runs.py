"""What builds with `--profile`, `--set` or `--limit` gave: one file for each set of overrides, under `runs/`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from spark_build.core.digest import Digest
from spark_build.core.values import Struct, asdict, replace
from spark_build.storage.durable import Disk
from spark_build.storage.turns import turn

_SHORTEST = 4
PREFIX = "run-"


class Run(Struct, frozen=True):
    """One set of overrides, and the newest result of each stage that was built under it."""

    id: Digest  # of the overrides
    profile: str | None
    sets: tuple[str, ...]  # as they were typed
    limit: int | None
    built: str  # ISO 8601
    stages: Mapping[str, Digest]  # stage -> key of its Record

    @property
    def options(self) -> list[str]:
        """As one types them."""
        return overrides_of(self.profile, self.sets, self.limit)


def overrides_of(profile: str | None, sets: tuple[str, ...], limit: int | None) -> list[str]:
    found = [f"--profile {profile}"] if profile else []
    found += [f"--set {text}" for text in sets]
    return found + ([f"--limit {limit}"] if limit is not None else [])


class Runs:
    """Runs by the beginning of their ids."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, run: Run) -> None:
        """Adds the stages to those that are known under these overrides; writes only what is new."""
        if self._with_known(run) is not None:
            with turn(str(self._folder / ".turn")):
                if (whole := self._with_known(run)) is not None:  # another build may have written meanwhile
                    self._write(whole)

    def file(self, run_id: Digest) -> Path:
        return self._folder / f"{run_id}.json"

    def _with_known(self, run: Run) -> Run | None:
        """None where nothing of it is new."""
        known = self._read(f"{run.id}.json")
        if known is None:
            return run
        stages = {**known.stages, **run.stages}
        return None if stages == known.stages else replace(run, stages=stages)

    def _write(self, run: Run) -> None:
        disk = Disk()
        disk.make_folder(str(self._folder))
        beside = str(self._folder / f".{os.getpid()}-{os.urandom(4).hex()}.new")
        disk.write_new(beside, json.dumps(asdict(run), indent=1).encode())
        disk.rename(beside, str(self.file(run.id)))

    def find(self, name: str) -> list[Run]:
        """All that `run-3f2a` may mean."""
        start = name.removeprefix(PREFIX)
        found = (self._read(file) for file in self._files() if file.startswith(start))
        return [run for run in found if run is not None]

    def all(self) -> list[Run]:
        return self.find(PREFIX)

    def name(self, run_id: Digest) -> str:
        """`run-3f2a`: as many digits as tell it from the others."""
        others = [file.removesuffix(".json") for file in self._files() if file != f"{run_id}.json"]
        length = _SHORTEST
        while any(other.startswith(run_id[:length]) for other in others):
            length += 1
        return PREFIX + run_id[:length]

    def _files(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder) if name.endswith(".json"))
        except FileNotFoundError:
            return []

    def _read(self, file: str) -> Run | None:
        """None where the file is absent or can't be read."""
        try:
            data = json.loads((self._folder / file).read_text())
            return Run(**{**data, "sets": tuple(data["sets"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
