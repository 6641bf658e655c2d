"""Sparkfile.lock: what has to be pinned, and what each stage gave; sorted, one block per stage, valid TOML."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spark_build.core.disk import disk_problem
from spark_build.core.errors import UsageError
from spark_build.core.record import Record

HEADER = (
    "# Written by `spark build`; commit it. One block a stage, so that two branches merge.\nversion = 1\n"
)
LOCK_NAME = "Sparkfile.lock"
_BLOCK = re.compile(r'^\[(stages|pins|tags)\."((?:[^"\\]|\\.)*)"\]$', re.MULTILINE)
_VERSION = re.compile(r"^version = 1$", re.MULTILINE)
_NEEDED = {"stages": ("key", "output"), "tags": ("key", "output"), "pins": ()}
_MEND = "take it from version control, or delete it (with it go pins and tags), then spark build"
PINNED_REVISION = re.compile(r"[0-9a-f]{40}")


@dataclass
class Lock:
    """The lock's blocks as text; a block is parsed when it is asked for."""

    blocks: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # (group, name) -> lines below the header

    @classmethod
    def load(cls, path: Path) -> "Lock":
        """Errors: UsageError where the file is no lock (a merge conflict, say)."""
        if not path.exists():
            return cls()
        text = _text_of(path)
        if "<<<<<<<" in text:
            raise UsageError(f"{path.name} holds a merge conflict", fix="take either side, then spark build")
        found = list(_BLOCK.finditer(text))
        if not _VERSION.search(text):
            raise UsageError(f"{path.name} is no lock of this version", fix=_MEND)
        ends = [m.start() for m in found[1:]] + [len(text)]
        return cls(
            {(m[1], _name_of(m[2])): text[m.end() : end].strip() for m, end in zip(found, ends, strict=True)}
        )

    def get(self, group: str, name: str) -> dict[str, Any] | None:
        block = self.blocks.get((group, name))
        if block is None:
            return None
        import tomllib

        try:
            values = tomllib.loads(block)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{LOCK_NAME}, block {name}: {error}", fix="delete the block") from error
        if lacking := [key for key in _NEEDED[group] if not isinstance(values.get(key), str)]:
            raise UsageError(f"{LOCK_NAME}, block {name}: no '{lacking[0]}'", fix="delete the block")
        return values

    def names(self, group: str) -> list[str]:
        return [name for g, name in self.blocks if g == group]

    def put(self, group: str, name: str, values: Mapping[str, Any]) -> None:
        self.blocks[group, name] = "\n".join(_lines(values))

    def drop(self, group: str, name: str) -> None:
        self.blocks.pop((group, name), None)

    def render(self) -> str:
        order = {"pins": 0, "stages": 1, "tags": 2}
        blocks = sorted(self.blocks.items(), key=lambda item: (order[item[0][0]], item[0][1]))
        return HEADER + "".join(f"\n[{g}.{json.dumps(n)}]\n{text}\n" for (g, n), text in blocks)

    def save(self, path: Path) -> bool:
        """Whether the file changed; it is replaced whole, or not at all."""
        text = self.render()
        if not self.blocks and not path.exists():
            return False
        if path.exists() and path.read_text() == text:
            return False
        beside = path.with_name(f".{path.name}.new")
        try:
            beside.write_text(text)
            beside.replace(path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise disk_problem(OSError(error.errno, error.strerror), path.name) from error
        return True

    def with_stages(
        self,
        records: Mapping[str, Record],
        existing: Iterable[str],
        accepted: Mapping[str, str] | None = None,
    ) -> "Lock":
        """This lock with the blocks of `records`, and without those of stages that are no more.

        A result that is `accepted` stands under the key that really gave it, with a line that says so.
        """
        known = set(existing)
        kept = {key: text for key, text in self.blocks.items() if key[0] != "stages" or key[1] in known}
        lock = Lock(kept)
        for stage, record in records.items():
            note = (accepted or {}).get(stage)
            lock.put("stages", stage, {**stage_block(record), **({"accepted": note} if note else {})})
        return lock

    def revision_of(self, hub_id: str) -> str | None:
        """The pinned revision of `org/name` or `org/name@revision`; a full hash pins itself."""
        _, _, revision = hub_id.partition("@")
        if PINNED_REVISION.fullmatch(revision):
            return revision
        pin = self.get("pins", f"hub:{hub_id}")
        return str(pin["revision"]) if pin else None

    def tag(self, address: str) -> dict[str, Any] | None:
        return self.get("tags", address)

    def pins_and_tags(self) -> str:
        """What of the lock the graph depends on."""
        return json.dumps(sorted([*k, v] for k, v in self.blocks.items() if k[0] != "stages"))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is no text", fix=_MEND) from None
    except OSError as error:
        raise UsageError(f"{path.name}: {error.strerror}", fix=_MEND) from None


def _name_of(quoted: str) -> str:
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        raise UsageError(f'{LOCK_NAME}: a block is called "{quoted}", which is no name', fix=_MEND) from None


def stage_block(record: Record) -> dict[str, Any]:
    return {
        "key": record.key,
        "output": record.output,
        "parts": record.parts,
        "inputs": record.sources,
        "libraries": record.libraries,
        "metrics": dict(record.metrics),
    }


def tag_block(stage: str, record: Record) -> dict[str, Any]:
    return {"stage": stage, "key": record.key, "output": record.output, "parts": record.parts}


def _lines(values: Mapping[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{json.dumps(key)} = {_scalar(v)}" for key, v in sorted(value.items()))
        elif value is not None:
            yield f"{name} = {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        return text if any(c in text for c in ".en") else f"{text}.0"
    return json.dumps(value, ensure_ascii=False)
