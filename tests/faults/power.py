"""What a disk may hold after a loss of power: what was flushed, and any of what was not.

A strict disk: a file has the content that it had when it was last flushed, or none; a name, its change and its end
last once the folder is flushed, and before that each of them may have come to the disk or not, in whatever order.
"""

import base64
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = -1  # in place of a file's number
Names = dict[str, int]


@dataclass
class Change:
    """Of names in folders."""

    kind: str  # create, folder, move, remove
    path: str
    to: str = ""  # of a move
    file: int = FOLDER
    lasts: bool = False

    @property
    def folders(self) -> set[str]:
        return {str(Path(path).parent) for path in (self.path, self.to) if path}

    def apply(self, names: Names) -> None:
        if self.kind == "remove":
            names.pop(self.path, None)
        elif self.kind == "move":
            for path in [p for p in names if f"{p}/".startswith(f"{self.path}/")]:
                names[self.to + path.removeprefix(self.path)] = names.pop(path)
            names.setdefault(self.to, self.file)  # how it came to its old name may be lost
        else:
            names[self.path] = self.file


@dataclass
class Disk:
    """Takes one call after the other."""

    store: str
    changes: list[Change] = field(default_factory=list)
    names: Names = field(default_factory=dict)  # as processes see them
    flushed: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Path, seen_as: Path) -> "Disk":
        """What lies in `store` lasts; the calls name it `seen_as`."""
        disk = cls(str(seen_as))
        for path in sorted(store.rglob("*")):
            name = str(seen_as / path.relative_to(store))
            file = FOLDER if path.is_dir() else len(disk.flushed)
            if file != FOLDER:
                disk.flushed[file] = path.read_bytes()
            disk._change(Change("create", name, file=file, lasts=True))
        return disk

    def take(self, call: Sequence[str]) -> None:
        name, paths = call[0].strip("()").partition("=")[0], call[2:]
        if name in ("fd.fsync", "fd.fdatasync"):
            self._flush(paths[0], call[0])
        elif name == "open" and paths[0] not in self.names:
            self._change(Change("create", paths[0], file=self._new()))
        elif name == "os.mkdir" and paths[0] not in self.names:
            self._change(Change("folder", paths[0]))
        elif name == "os.link" and paths[-1] not in self.names:
            self._change(Change("create", paths[-1], file=self._file(paths[0])))
        elif name == "os.rename":
            file = self._file(paths[0])
            self._change(Change("move", paths[0], paths[-1], file=file))
        elif name in ("os.remove", "os.rmdir") and paths[0] in self.names:
            self._change(Change("remove", paths[0]))

    def _flush(self, path: str, name: str) -> None:
        _, has_content, content = name.strip("()").partition("=")
        if has_content:
            self.flushed[self._file(path)] = base64.b64decode(content)
            return
        for change in self.changes:
            change.lasts = change.lasts or path in change.folders

    def _file(self, path: str) -> int:
        """Also of what a library wrote by no call that is counted."""
        if path not in self.names:
            self._change(Change("create", path, file=self._new()))
        return self.names[path]

    def _new(self) -> int:
        return max([len(self.flushed), *(c.file + 1 for c in self.changes)])

    def _change(self, change: Change) -> None:
        self.changes.append(change)
        change.apply(self.names)

    def after_a_loss(self, arrived: Callable[[Change], bool]) -> dict[str, bytes | None]:
        """Each file with its content and each folder (None); `arrived`: of what was not flushed."""
        names: Names = {}
        for change in self.changes:
            if change.lasts or arrived(change):
                change.apply(names)
        folders = {path for path, file in names.items() if file == FOLDER} | {self.store}
        return {
            path: None if file == FOLDER else self.flushed.get(file, b"")
            for path, file in sorted(names.items())
            if all(str(parent) in folders for parent in _parents(path, self.store))
        }


def _parents(path: str, store: str) -> Iterator[Path]:
    parents = Path(path).parents
    return itertools.takewhile(lambda parent: str(parent) != store, parents)


def laid_out(content: dict[str, bytes | None], seen_as: str, to: Path) -> None:
    for path, data in content.items():
        place = to / Path(path).relative_to(seen_as)
        if data is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            if "/objects/" in path:
                place.chmod(0o444)
