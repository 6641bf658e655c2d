"""The journal: one file per build that did something; from it, which keys each stage has had."""

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.errors import UsageError
from spark_build.core.values import Struct, asdict, field
from spark_build.storage.durable import Disk
from spark_build.storage.state import State

_FACT = "journal.keys"
KEYS_KEPT = 20  # per stage
_COUNTED_BACK = re.compile(r"@[1-9][0-9]*")


def build_id(began: float) -> str:
    """A new build's id: sorts by time, and two builds of one second differ."""
    second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(began))
    return f"{second}.{int(began % 1 * 1000):03}-{os.getpid():x}"


class BuildEntry(Struct, frozen=True):
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
        self.most_keys = KEYS_KEPT

    def last(self, stage: str) -> Digest | None:
        keys = self._all().get(stage)
        return keys[0] if keys else None

    def keys(self, stage: str) -> list[Digest]:
        return self._all().get(stage, [])

    def has_news(self, keys: Mapping[str, Digest]) -> bool:
        """Whether a build with these results tells anything that is not known already."""
        return any(self.last(stage) != key for stage, key in keys.items())

    def digest(self) -> Digest:
        """Of the keys that each stage has had: while it stays, so does what has news."""
        return digest_bytes(self._state.get(_FACT) or b"")

    def write(self, entry: BuildEntry) -> None:
        data = asdict(entry)
        disk = Disk()
        disk.make_folder(str(self._folder))
        disk.write_new(str(self._folder / f"{entry.id}.json"), json.dumps(data, indent=1).encode())
        self._state.change(_FACT, lambda known: _dumped(_with(self._keys_in(known), entry.stages)))
        self._keys = None

    def entries(self, newest: int | None = None) -> list[BuildEntry]:
        """The newest first; a file that can't be read is passed over."""
        names = sorted(_names(self._folder), reverse=True)[:newest]
        return self._read(name.removesuffix(".json") for name in names)

    def _read(self, ids: Iterable[str]) -> list[BuildEntry]:
        found = []
        for build in ids:
            try:
                data = json.loads((self._folder / f"{build}.json").read_text())
                found.append(BuildEntry(**{**data, "overrides": tuple(data["overrides"])}))
            except (OSError, ValueError, TypeError, KeyError):
                continue
        return found

    def find(self, name: str) -> BuildEntry:
        """A build by its id, the beginning of one, or counted back: `@1` is the last. Errors: UsageError."""
        ids = sorted((n.removesuffix(".json") for n in _names(self._folder)), reverse=True)
        if _COUNTED_BACK.fullmatch(name):
            found = ids[int(name[1:]) - 1 :][:1]
        else:
            found = [name] if name in ids else [known for known in ids if known.startswith(name)]
        if len(found) > 1:
            raise UsageError(f"'{name}' begins {len(found)} builds", fix=f"say more of it: {found[0]}")
        entries = self._read(found)
        if not entries:
            raise UsageError(
                f"no build '{name}'", fix="spark runs lists them" if ids else "nothing was built here yet"
            )
        return entries[0]

    def _all(self) -> dict[str, list[Digest]]:
        if self._keys is None:
            known = self._state.get(_FACT)
            self._keys = self._keys_in(known)
            if known is None and (keys := self._keys):
                self._state.change(_FACT, lambda written: written or _dumped(keys))
        return self._keys

    def _keys_in(self, known: bytes | None) -> dict[str, list[Digest]]:
        """As the fact has them; without one as the files of the builds do."""
        if known is not None:
            told: dict[str, list[Digest]] = json.loads(known)
            return told
        keys: dict[str, list[Digest]] = {}
        for entry in reversed(self.entries()):
            keys = _with(keys, entry.stages)
        return keys


def _dumped(keys: Mapping[str, list[Digest]]) -> bytes:
    return json.dumps(keys).encode()


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
