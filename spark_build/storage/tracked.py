"""Which files of the checkout belong to the commit: those that git tracks."""

import posixpath
import subprocess
from functools import cached_property
from pathlib import Path


class TrackedFiles:
    """Of one folder and what lies below it; git is asked once, when somebody asks."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def is_known(self) -> bool:
        """False outside of a git repository, or without git."""
        return self._files is not None

    def holds_file(self, path: str) -> bool:
        return posixpath.normpath(path) in (self._files or ())

    def holds_all(self, folder: str, files: list[str]) -> bool:
        """Whether the commit holds each of the folder's `files`, and more than a `.gitkeep`."""
        prefix = "" if folder in ("", ".") else f"{posixpath.normpath(folder)}/"
        told = [file for file in files if not posixpath.basename(file).startswith(".")]
        return bool(told) and all(prefix + file in (self._files or ()) for file in files)

    @cached_property
    def _files(self) -> frozenset[str] | None:
        try:
            listed = subprocess.run(
                ["git", "ls-files", "-z"], cwd=self._root, capture_output=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if listed.returncode != 0:
            return None
        return frozenset(listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1])
