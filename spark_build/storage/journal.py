"""The journal: one file per build that did something; from it, which keys each stage has had."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest
from spark_build.storage.durable import Disk
from spark_build.storage.state import State

_FACT = "journal.keys"
KEYS_KEPT = 20  # per stage


@dataclass(frozen=True)
class BuildEntry:
    """One build: what was asked, what each stage came to."""

    id: str  # sorts by time
    started: str
    seconds: float
    command: str
    exit_code: int
    overrides: tuple[str, ...] = ()
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # stage -> key, outcome, seconds


class Journal:
    """Implements `engine.plan.History`."""

    def __init__(self, folder: Path, state: State) -> None:
        self._folder, self._state = folder, state
        self._keys: dict[str, list[Digest]] | None = None

    def last(self, stage: str) -> Digest | None:
        keys = self._all().get(stage)
        return keys[0] if keys else None

    def keys(self, stage: str) -> list[Digest]:
        return self._all().get(stage, [])

    def has_news(self, keys: Mapping[str, Digest]) -> bool:
        """Whether a build with these results tells anything that is not known already."""
        return any(self.last(stage) != key for stage, key in keys.items())

    def write(self, entry: BuildEntry) -> None:
        data = {name: getattr(entry, name) for name in BuildEntry.__dataclass_fields__}
        disk = Disk()
        disk.make_folder(str(self._folder))
        disk.write_new(str(self._folder / f"{entry.id}.json"), json.dumps(data, indent=1).encode())
        self._state.put(_FACT, json.dumps(_with(self._all(), entry.stages)).encode())
        self._keys = None

    def entries(self, newest: int | None = None) -> list[BuildEntry]:
        """The newest first; a file that can't be read is passed over."""
        found = []
        for name in sorted(_names(self._folder), reverse=True)[:newest]:
            try:
                data = json.loads((self._folder / name).read_text())
                found.append(BuildEntry(**{**data, "overrides": tuple(data["overrides"])}))
            except (OSError, ValueError, TypeError, KeyError):
                continue
        return found

    def _all(self) -> dict[str, list[Digest]]:
        if self._keys is None:
            known = self._state.get(_FACT)
            self._keys = json.loads(known) if known is not None else self._from_files()
        return self._keys

    def _from_files(self) -> dict[str, list[Digest]]:
        keys: dict[str, list[Digest]] = {}
        for entry in reversed(self.entries()):
            keys = _with(keys, entry.stages)
        if keys:
            self._state.put(_FACT, json.dumps(keys).encode())
        return keys


def _with(
    keys: Mapping[str, list[Digest]], stages: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[Digest]]:
    merged = {stage: list(known) for stage, known in keys.items()}
    for stage, told in stages.items():
        if key := told.get("key"):
            others = [k for k in merged.get(stage, []) if k != key]
            merged[stage] = [key, *others][:KEYS_KEPT]
    return merged


def _names(folder: Path) -> Iterable[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".json")]
    except FileNotFoundError:
        return []
