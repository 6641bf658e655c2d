"""Which Records differ in libraries alone: an empty file for each, `loose/ab/<loose key>-<key>`, beside them."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress

from spark_build.core.digest import Digest
from spark_build.storage.durable import Disk

Pair = tuple[Digest, Digest]  # loose key, key


class LooseIndex:
    """It lies beside the Records, so that all who share them share it; deleted, it is made again from them."""

    def __init__(self, store: str, disk: Disk, known: Callable[[], Iterable[Pair]]) -> None:
        """`known` reads all Records: that is asked for where the index is not whole."""
        self._folder, self._disk, self._known = f"{store}/loose", disk, known
        self._is_whole = False
        self._read: dict[Digest, list[Digest]] | None = None

    def keys(self, loose_key: Digest) -> list[Digest]:
        """Writes nothing: whoever asks may do so where nothing can be written."""
        if not self._holds_all():
            return self._from_records().get(loose_key, [])
        names = _listing(os.path.dirname(self._path(loose_key, "")))
        return sorted(
            name.removeprefix(f"{loose_key}-") for name in names if name.startswith(f"{loose_key}-")
        )

    def put(self, loose_key: Digest, key: Digest) -> None:
        self.make_whole()
        if loose_key != key:  # else it is found by its key
            self._note([(loose_key, key)])

    def drop(self, loose_key: Digest, key: Digest) -> None:
        with suppress(FileNotFoundError):
            self._disk.remove(self._path(loose_key, key))

    def make_whole(self) -> None:
        if not self._holds_all():
            self._note(self._known())
            self._disk.make_folder(self._folder)
            self._disk.mark(f"{self._folder}/whole")
            self._disk.flush_folder(self._folder)

    def _note(self, pairs: Iterable[Pair]) -> None:
        paths = [self._path(*pair) for pair in pairs if pair[0] != pair[1]]
        folders = {os.path.dirname(path) for path in paths}
        for folder in folders:
            self._disk.make_folder(folder)
        for path in paths:
            self._disk.mark(path)
        for folder in folders:
            self._disk.flush_folder(folder)

    def _holds_all(self) -> bool:
        self._is_whole = self._is_whole or os.path.exists(f"{self._folder}/whole")
        return self._is_whole

    def _from_records(self) -> dict[Digest, list[Digest]]:
        if self._read is None:
            self._read = defaultdict(list)
            for loose_key, key in sorted(set(self._known())):
                self._read[loose_key].append(key)
        return self._read

    def _path(self, loose_key: Digest, key: Digest) -> str:
        return f"{self._folder}/{loose_key[:2]}/{loose_key}-{key}"


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
