"""Where a project lies, and where its store does. Kept light: a command without work loads no more than this."""

from __future__ import annotations  # what they name need not be loaded

import os

SPARK_FOLDER = ".spark"


class Place:
    """Of one Sparkfile; each path is absolute and without links."""

    __slots__ = ("file", "home", "inside", "root")

    def __init__(self, folder: str, file: str) -> None:
        self.file = os.path.realpath(os.path.join(folder, file))
        self.root = os.path.dirname(self.file)
        found = git_root(self.root)
        # the git root, so that all its Sparkfiles share their results; a home folder under git is nobody's project
        self.home = self.root if found is None or found == os.path.expanduser("~") else found
        # the Sparkfile's folder from there, '' where it is that folder
        self.inside = "" if self.home == self.root else os.path.relpath(self.root, self.home)

    @property
    def state(self) -> str:
        name = f"state-{self.inside.replace('/', '+')}.db" if self.inside else "state.db"
        return os.path.join(self.home, SPARK_FOLDER, name)

    @property
    def turn(self) -> str:
        """Where those who write the project's lock take turns: nothing may stay beside the lock itself."""
        return f"{self.state}-turn"


def settled_beside(state: str) -> str:
    """The folder of the settled plans, which go with the state."""
    return f"{state}-settled"


def git_root(folder: str) -> str | None:
    """The nearest folder, this one or above it, that holds `.git`; None where there is none."""
    while not os.path.exists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder
