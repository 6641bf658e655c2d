"""Objects: content by digest, under `objects/ab/<rest>`; read-only, verified whenever they are read."""

import os
import stat as modes
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from spark_build.core.digest import Buffer, Digest, digest_bytes, digest_file
from spark_build.core.disk import disk_problems
from spark_build.core.errors import StoreDamaged
from spark_build.core.tree import Entry, Tree
from spark_build.storage.claims import Presence, deciding, presence, touch
from spark_build.storage.durable import OBJECT_MODE, OBJECT_MTIME_NS, Disk
from spark_build.storage.state import ObjectStat, State
from spark_build.storage.stats import fold_of_objects

LEFT_OVER_SECONDS = 86_400.0
_HEX_DIGITS = frozenset("0123456789abcdef")


class LocalObjects:
    """`core.ports.Objects` in a folder. Looking writes nothing but the state; reading sets damage aside."""

    def __init__(self, folder: Path | str, state: State, disk: Disk | None = None) -> None:
        self.folder = os.path.abspath(folder)
        self.state = state
        self.disk = Disk() if disk is None else disk
        self._made = 0
        self._presence: Presence | None = None

    def path(self, digest: Digest) -> str:
        if not is_digest(digest):
            raise StoreDamaged(f"'{digest}' is no digest", fix="spark store check")
        return f"{self.folder}/objects/{digest[:2]}/{digest[2:]}"

    def has(self, digest: Digest) -> bool:
        return not self.unsound([digest])

    def missing(self, tree: Digest) -> list[Digest]:
        listing = self.peek(tree)
        return [tree] if listing is None else self.unsound([e.digest for e in Tree.parse(listing)])

    def fold(self, digests: Iterable[Digest]) -> Digest | None:
        """One digest over what `unsound` compares of these objects; None where one is not there."""
        return fold_of_objects(self.folder, digests)

    def unsound(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those that are absent, or whose stat is not the one noted and whose content is another too."""
        with disk_problems(self.folder):
            found = {digest: self._stat(digest) for digest in digests}
            noted = self.state.object_stats(digest for digest, stat in found.items() if stat is not None)
            return [d for d, stat in found.items() if not self._is_sound(d, stat, noted.get(d))]

    def claim(self, digests: Iterable[Digest]) -> list[Digest]:
        """`unsound`; those that are sound stay, whatever `store gc` does meanwhile: who finds one need not write it."""
        wanted = [*digests]
        self.be_present()
        with deciding(self.folder):
            touch(map(self.path, wanted))
        return self.unsound(wanted)

    def verified(self, digests: Iterable[Digest]) -> list[Digest]:
        """`claim`, which reads them all: those that are absent, or whose content is another, whatever their stats."""
        wanted = [*digests]
        self.be_present()
        with deciding(self.folder):
            touch(map(self.path, wanted))
        return [digest for digest in wanted if not self._holds(digest, self._stat(digest))]

    def verify(self, digest: Digest) -> None:
        """Reads one. Errors: StoreDamaged where it is absent, or not what its digest says: then it is set aside."""
        with disk_problems(self.path(digest)):
            stat = self._stat(digest)
            if stat is None:
                fix = "run it again: what is missing is fetched or built anew"
                raise StoreDamaged(f"object {digest[:12]} is not in the store", fix=fix)
            if not self._holds(digest, stat):
                raise self.set_aside(digest, stat)

    def be_present(self) -> None:
        """What is claimed and written from now on stays as long as these objects are referred to."""
        self._presence = presence(self.folder)

    def read(self, digest: Digest) -> bytes:
        path = self.path(digest)
        try:
            with open(path, "rb") as file:
                seen, data = os.fstat(file.fileno()), file.read()
        except FileNotFoundError:
            raise KeyError(digest) from None
        except OSError as error:
            with disk_problems(path):
                raise error
        if digest_bytes(data) != digest:
            raise self.set_aside(digest, seen)
        return data

    def tree(self, digest: Digest) -> Tree:
        return Tree.parse(self.read(digest))

    def write(self, data: bytes) -> Digest:
        digest = digest_bytes(data)
        if self.claim([digest]):
            with disk_problems(self.folder):
                temporary = self.temporary()
                self.disk.write_object(temporary, data)
                self.place(temporary, digest, len(data))
                self.disk.flush_folder(os.path.dirname(self.path(digest)))
        return digest

    def write_chunks(self, digest: Digest, chunks: Iterable[Buffer]) -> int:
        """Takes in what comes from elsewhere under that digest; its size.

        Errors: StoreDamaged, and nothing kept, where it is something else.
        """
        with disk_problems(self.folder):
            temporary = self.temporary()
            found, size = self.disk.write_chunks(temporary, chunks)
            if found != digest:
                self.disk.remove(temporary)
                raise StoreDamaged(f"object {digest[:12]} came with other content ({found[:12]})")
            self.place(temporary, digest, size)
            self.disk.flush_folder(os.path.dirname(self.path(digest)))
        return size

    def write_many(self, content: Mapping[Digest, Buffer]) -> None:
        """Takes in what comes from elsewhere, known to have these digests; all of it is flushed at once."""
        with disk_problems(self.folder):
            written: dict[Digest, str] = {}
            folders = {os.path.dirname(self.path(digest)) for digest in content}
            try:
                for digest, data in content.items():
                    written[digest] = temporary = self.temporary()
                    self.disk.write_object(temporary, data, flush=False)
                self.disk.flush_together(written.values())
                self.disk.make_folders(folders)
                for digest in content:
                    self.place(written[digest], digest, len(content[digest]))
                    del written[digest]
            finally:
                for temporary in written.values():  # on a full disk they would keep others from going on
                    with suppress(OSError):
                        self.disk.remove(temporary)
            self.disk.flush_together(folders)

    def add_folder(self, folder: Path, taken: Sequence[Entry] = ()) -> Tree:
        from spark_build.storage.intake import take_in

        return take_in(self, os.path.abspath(folder), taken)

    def check_out(self, tree: Tree, to: Path, *, link: bool) -> None:
        from spark_build.storage.checkout import lay_out

        lay_out(self, tree, os.path.abspath(to), link=link)

    def changed_links(self, tree: Tree) -> list[str]:
        from spark_build.storage.checkout import changed_paths

        return changed_paths(self, tree)

    # for intake, checkout and check

    def temporary(self) -> str:
        """A name that nobody else uses, on the objects' own file system."""
        self.be_present()
        self.disk.make_folder(f"{self.folder}/tmp")
        if not self._made:
            self._sweep()
        self._made += 1
        return f"{self.folder}/tmp/{os.getpid()}-{self._made}-{os.urandom(4).hex()}"

    def place(self, temporary: str, digest: Digest, size: int) -> None:
        """Gives a sealed file its name; a good object that is there stays, a damaged one is set aside."""
        final = self.path(digest)
        self.disk.make_folder(os.path.dirname(final))
        for _ in range(3):  # others may place or set aside the same object meanwhile
            if self.disk.place(temporary, final):
                # as it was sealed: what was written to it since shows as a difference
                self.state.note_object(digest, ObjectStat(size, OBJECT_MTIME_NS))
                return
            if not self.claim([digest]):
                self.disk.remove(temporary)
                return
            self._move_aside(digest, None)
        raise StoreDamaged(f"{final}: can't be replaced", fix="remove it by hand, then run it again")

    def set_aside(self, digest: Digest, seen: os.stat_result) -> StoreDamaged:
        """Moves an object that is not what its name says out of the way, and returns the problem."""
        place = self._move_aside(digest, seen)
        kept = f"; set aside as {place}" if place else ""
        return StoreDamaged(
            f"object {digest[:12]} in the store does not match its digest{kept}",
            fix="run it again: what is damaged is fetched or built anew",
        )

    def _move_aside(self, digest: Digest, seen: os.stat_result | None) -> str | None:
        path = self.path(digest)
        place = f"damaged/{digest}-{os.urandom(3).hex()}"
        self.state.forget_object(digest)
        try:
            # another process may have put a good one in its place meanwhile
            if seen is not None and os.lstat(path).st_ino != seen.st_ino:
                return None
            self.disk.make_folder(f"{self.folder}/damaged")
            self.disk.rename(path, f"{self.folder}/{place}")
        except OSError:
            return None  # gone already, or a store that can only be read
        return place

    def _holds(self, digest: Digest, stat: os.stat_result | None) -> bool:
        """Whether the content there is that of the digest."""
        is_file = stat is not None and modes.S_ISREG(stat.st_mode)
        return stat is not None and is_file and digest_file(self.path(digest), stat.st_size) == digest

    def _stat(self, digest: Digest) -> os.stat_result | None:
        try:
            return os.lstat(self.path(digest))
        except FileNotFoundError:
            return None

    def _is_sound(self, digest: Digest, stat: os.stat_result | None, noted: ObjectStat | None) -> bool:
        if stat is None:
            return False
        if noted == (stat.st_size, stat.st_mtime_ns):
            return True
        if not self._holds(digest, stat):
            return False
        self.state.note_object(digest, ObjectStat(stat.st_size, stat.st_mtime_ns))
        return True

    def peek(self, digest: Digest) -> bytes | None:
        """Verified content, without setting anything aside."""
        try:
            with open(self.path(digest), "rb") as file:
                data = file.read()
        except OSError:
            return None
        return data if digest_bytes(data) == digest else None

    def forget(self, digest: Digest) -> None:
        """Takes an object away for good."""
        self.state.forget_object(digest)
        self.disk.remove(self.path(digest))

    def make_read_only(self, digest: Digest) -> None:
        path = self.path(digest)
        if os.lstat(path).st_mode & 0o222:
            os.chmod(path, OBJECT_MODE)

    def _sweep(self) -> None:
        """Removes what killed processes left under `tmp/`; nothing there ever counts."""
        import time

        for entry in os.scandir(f"{self.folder}/tmp"):
            with suppress(OSError):  # another process sweeps too
                if entry.stat().st_ctime < time.time() - LEFT_OVER_SECONDS:
                    self.disk.remove(entry.path)


def is_digest(name: str) -> bool:
    return len(name) == 64 and _HEX_DIGITS.issuperset(name)
