"""Sparkfile.lock: what has to be pinned, and what each stage gave; sorted, one block per stage, valid TOML."""

import json
import os
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.digest import Digest, canonical_json, digest_bytes, digest_json
from spark_build.core.disk import disk_problem
from spark_build.core.errors import UsageError
from spark_build.core.record import Record
from spark_build.core.values import Struct, field

if TYPE_CHECKING:
    from spark_build.core.forgotten import Tombstone
    from spark_build.engine.graph import Input, Node
    from spark_build.engine.locked import Block
    from spark_build.lock_text import Merged, Name

HEADER = (
    "# Written by `spark build`; commit it. One block a stage, so that two branches merge.\nversion = 1\n"
)
LOCK_NAME = "Sparkfile.lock"
_BLOCK = re.compile(r'^\[(stages|pins|tags|forgotten)\."((?:[^"\\]|\\.)*)"\]$', re.MULTILINE)
_VERSION = re.compile(r"^version = 1$", re.MULTILINE)
_NEEDED = {"stages": ("key", "output"), "tags": ("key", "output"), "pins": (), "forgotten": ()}
_MEND = "take it from version control, or delete it (with it go pins and tags), then spark build"
SOURCE_PIN = "source:"  # before the name of a pin of what a source brought from outside
_PATH = "path:"  # before the name of a pin of the project's own files
PINNED_REVISION = re.compile(r"[0-9a-f]{40}")


class Lock(Struct, dict=True):
    """The lock's blocks as text; a block is parsed when it is asked for."""

    blocks: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # (group, name) -> lines below the header
    digest: Digest | None = None  # of the file as it was read or written last; None where there is none
    is_of_conflict: bool = False  # git left it between conflict markers; saving it resolves them
    holds_others: bool = (
        False  # saving it found what others wrote meanwhile: it is not what the graph was made of
    )

    def __post_init__(self) -> None:
        self._as_read = dict(self.blocks)

    @classmethod
    def load(cls, path: Path) -> "Lock":
        """Errors: UsageError where the file is no lock (a merge conflict, say)."""
        if not path.exists():
            return cls()
        text = _text_of(path)
        digest = digest_bytes(text.encode())
        if text.startswith("<<<<<<< ") or "\n<<<<<<< " in text:
            return cls._of_both_sides(path.name, _with_our_line_ends(text), digest)
        return cls(_blocks_of(text, path.name), digest)

    @classmethod
    def parse(cls, text: str, name: str) -> "Lock":
        """The lock of another project, or of another commit. Errors: UsageError where the text is no lock."""
        return cls(_blocks_of(text, name))

    @classmethod
    def _of_both_sides(cls, name: str, text: str, digest: Digest) -> "Lock":
        """What git left between conflict markers, merged block by block."""
        from spark_build.lock_text import merge, sides

        try:
            ours, theirs = sides(text)
        except ValueError:
            fix = "take either side, then spark build"
            raise UsageError(f"{name} holds a merge conflict whose markers are incomplete", fix=fix) from None
        merged = merge(_blocks_of(ours, name), _blocks_of(theirs, name))
        if merged.clashes:
            told = ", ".join(f"{group[:-1]} '{called}'" for group, called in merged.clashes)
            raise UsageError(
                f"{name} holds a merge conflict: both sides set {told}", fix="keep one of the two"
            )
        return cls(merged.blocks, digest, is_of_conflict=True)

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
        blocks = sorted(self.blocks.items(), key=lambda item: _order(item[0]))
        return HEADER + "".join(_rendered(name, text) for name, text in blocks)

    def save(self, path: Path, turn_file: str) -> bool:
        """Whether the file changed; it is replaced whole, or not at all, and not looked at where nothing is new.

        What others wrote there since it was read stays: of it only what was changed here is made anew.
        Errors: UsageError for a tag that another has set meanwhile.
        """
        if digest_bytes(self.render().encode()) == self.digest or not (self.blocks or self.digest):
            return False
        from spark_build.storage.turns import turn

        with turn(turn_file):
            standing = digest_of_lock(path)
            if standing not in (None, self.digest):
                self._join(Lock.load(path))
            text = self.render()
            self.digest, self._as_read = digest_bytes(text.encode()), dict(self.blocks)
            if standing == self.digest:
                return False
            _replace(path, text)
        return True

    def _join(self, theirs: "Lock") -> None:
        from spark_build.lock_text import rebased

        blocks, clashes = rebased(self.blocks, self._as_read, theirs.blocks)
        if clashes:
            raise UsageError(
                f"'{clashes[0][1]}' was tagged or untagged by another just now", fix="look, and say it again"
            )
        self.holds_others = self.holds_others or blocks != self.blocks
        self.blocks = blocks

    def with_stages(
        self,
        records: Mapping[str, Record],
        nodes: "Mapping[str, Node]",
        accepted: Mapping[str, str] | None = None,
    ) -> "Lock":
        """This lock with the blocks of `records` and the pins of what they read, and without what is no more.

        A result that is `accepted` stands under the key that really gave it, with a line that says so.
        """
        known = {"stages": nodes.keys(), "pins": {_path_pin(path) for path in paths_of(nodes.values())}}
        kept = {name: text for name, text in self.blocks.items() if not _is_past(name, known)}
        lock = Lock(kept, self.digest, self.is_of_conflict)
        lock._as_read = self._as_read
        for stage, record in records.items():
            if note := (accepted or {}).get(stage):
                lock.put("stages", stage, {**stage_block(record, nodes[stage]), "accepted": note})
            else:
                lock._put_built(stage, record, nodes[stage])
        return lock

    def _put_built(self, stage: str, record: Record, node: "Node") -> None:
        if not _is_block_of(self.blocks.get(("stages", stage), ""), record):
            self.put("stages", stage, stage_block(record, node))
        for name, given in node.all_inputs():
            if given.path is not None and name in record.sources:
                self.put("pins", _path_pin(given.path), {"digest": record.sources[name]})

    def digest_of(self, path: str) -> Digest | None:
        """What a project file or folder was when the lock was written."""
        pin = self.get("pins", _path_pin(path))
        return str(pin["digest"]) if pin and isinstance(pin.get("digest"), str) else None

    def paths(self) -> list[str]:
        """The project files and folders that are pinned."""
        return [name.removeprefix(_PATH) for name in self.names("pins") if name.startswith(_PATH)]

    def stage(self, stage: str) -> "Block | None":
        from spark_build.engine.locked import Block

        values = self.get("stages", stage)
        if values is None:
            return None
        try:
            manifest = json.loads(values.get("manifest", "{}"))
        except (ValueError, TypeError):
            raise UsageError(f"{LOCK_NAME}, block {stage}: no manifest", fix="delete the block") from None
        groups = {name: values.get(name, {}) for name in ("parts", "inputs", "libraries")}
        return Block(values["key"], values["output"], manifest=manifest, **groups)

    def revision_of(self, hub_id: str) -> str | None:
        """The pinned revision of `org/name` or `org/name@revision`; a full hash pins itself."""
        _, _, revision = hub_id.partition("@")
        if PINNED_REVISION.fullmatch(revision):
            return revision
        pin = self.get("pins", f"hub:{hub_id}")
        return str(pin["revision"]) if pin else None

    def tombstones(self, dataset: str) -> "dict[str, Tombstone]":
        """What of the dataset is forgotten, by the blocks' names."""
        from spark_build.core.forgotten import Tombstone

        known = Tombstone.__struct_fields__
        own = (name for name in self.names("forgotten") if name.rpartition(" ")[0] == dataset)
        blocks = {name: self.get("forgotten", name) or {} for name in sorted(own)}
        return {n: Tombstone(**{k: str(v) for k, v in b.items() if k in known}) for n, b in blocks.items()}

    def tag(self, address: str) -> dict[str, Any] | None:
        return self.get("tags", address)

    def pins_and_tags(self) -> str:
        """What of the lock the graph depends on."""
        counts = ([*k, v] for k, v in self.blocks.items() if k[0] != "stages" and not k[1].startswith(_PATH))
        return json.dumps(sorted(counts))


def merge_files(base: Path, ours: Path, theirs: Path) -> "Merged":
    """As git's merge driver: the merge of the three goes into `ours`, with markers where somebody has to choose."""
    from spark_build.lock_text import merge

    # empty is git's base where both branches added the lock
    texts = [(_text_of(path), path.name) for path in (base, ours, theirs)]
    before, mine, other = (_blocks_of(text, name) if text else {} for text, name in texts)
    merged = merge(mine, other, before)
    pieces = {name: _rendered(name, text) for name, text in merged.blocks.items()}
    for name in merged.clashes:
        one, two = (_rendered(name, side[name]) if name in side else "" for side in (mine, other))
        pieces[name] = f"<<<<<<< ours\n{one}=======\n{two}>>>>>>> theirs\n"
    ours.write_text(HEADER + "".join(pieces[name] for name in sorted(pieces, key=_order)))
    return merged


def _blocks_of(text: str, file: str) -> "dict[Name, str]":
    """Errors: UsageError where it is no lock."""
    text = _with_our_line_ends(text)
    found = list(_BLOCK.finditer(text))
    if not _VERSION.search(text):
        raise UsageError(f"{file} is no lock of this version", fix=_MEND)
    ends = [m.start() for m in found[1:]] + [len(text)]
    return {(m[1], _name_of(m[2])): text[m.end() : end].strip() for m, end in zip(found, ends, strict=True)}


def _rendered(name: "Name", text: str) -> str:
    return f"\n[{name[0]}.{_scalar(name[1])}]\n{text}\n"


def _order(name: "Name") -> tuple[int, str]:
    return ("forgotten", "pins", "stages", "tags").index(name[0]), name[1]


def digest_of_lock(path: Path) -> Digest | None:
    """Of the file as it lies there; None where there is none."""
    try:
        return digest_bytes(path.read_bytes())
    except OSError:
        return None


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise disk_problem(OSError(error.errno, error.strerror), path.name) from error


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is no text", fix=_MEND) from None
    except OSError as error:
        raise UsageError(f"{path.name}: {error.strerror}", fix=_MEND) from None


def _with_our_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n")


def _name_of(quoted: str) -> str:
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        raise UsageError(f'{LOCK_NAME}: a block is called "{quoted}", which is no name', fix=_MEND) from None


def stage_block(record: Record, node: "Node") -> dict[str, Any]:
    return {
        "key": record.key,
        "output": record.output,
        "manifest": canonical_json(_told(record.manifest, node)).decode(),
        "parts": record.parts,
        "inputs": record.sources,
        "libraries": record.libraries,
        "metrics": dict(record.metrics),
    }


def paths_of(nodes: "Iterable[Node]") -> set[str]:
    """The project files and folders that `nodes` read."""
    return {given.path for node in nodes for _, given in node.all_inputs() if given.path is not None}


def import_pin(address: str) -> str:
    """The pin of `core/model:sft@prod`, a result of the import `core`."""
    return f"import:{address}"


def source_pin(rule: str, asked: Any) -> str:
    """The pin of what a source brought that looks outside: by what it was asked, whichever dataset asks."""
    return f"{SOURCE_PIN}{rule} {digest_json(asked)[:16]}"


def pin_from(url: str, address: str) -> str:
    """The pin of what `spark get --from URL` has fetched."""
    return f"from:{url} {address}"


def _path_pin(path: str) -> str:
    return _PATH + posixpath.normpath(path)


def _is_past(block: tuple[str, str], known: Mapping[str, Collection[str]]) -> bool:
    """Whether a stage, or a file that a stage read, is no more in the graph."""
    group, name = block
    return group in known and name not in known[group] and (group == "stages" or name.startswith(_PATH))


def _is_block_of(text: str, record: Record) -> bool:
    """The same key and output say the rest as well: most blocks of most builds need not be written anew."""
    is_same = text.startswith(f'key = "{record.key}"\noutput = "{record.output}"\nmanifest = ')
    return is_same and "\naccepted = " not in text


def _told(manifest: Mapping[str, Any], node: "Node") -> dict[str, Any]:
    """The manifest without libraries, project files and other stages' parts: those are known from beside it."""

    def own(part: Mapping[str, Any], declared: "Mapping[str, Input]") -> dict[str, Any]:
        kept = {name: value for name, value in part.items() if name not in ("inputs", "libraries", "steps")}
        inputs = {n: given for n, given in part.get("inputs", {}).items() if _is_outside(declared.get(n))}
        params = {n: value for n, value in part.get("params", {}).items() if value is not None}
        told = {**kept, "params": params, "inputs": inputs}
        return {name: value for name, value in told.items() if value or name not in ("params", "inputs")}

    pairs = zip(manifest.get("steps", []), node.steps, strict=False)
    return {**own(manifest, node.inputs), "steps": [own(step, declared.inputs) for step, declared in pairs]}


def _is_outside(given: "Input | None") -> bool:
    """Of the hub, or a tagged result: what no other block of the lock tells."""
    return given is not None and given.path is None and given.stage is None


def tag_block(stage: str, record: Record, before: Mapping[str, Digest]) -> dict[str, Any]:
    """`before`: keys of the stages before it, where the Records alone would tell another one."""
    block = {"stage": stage, "key": record.key, "output": record.output, "parts": record.parts}
    return {**block, "before": dict(before)} if before else block


def _lines(values: Mapping[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{_scalar(key)} = {_scalar(v)}" for key, v in sorted(value.items()))
        elif value is not None:
            yield f"{name} = {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        return text if any(c in text for c in ".en") else f"{text}.0"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML takes no raw DEL
