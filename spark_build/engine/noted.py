"""What a plan asked of the world, and what it was told: while all would be told again, the plan stands."""

from __future__ import annotations  # what they name need not be loaded

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from spark_build.core.digest import Digest, digest_bytes
from spark_build.core.errors import SparkError

if TYPE_CHECKING:
    from spark_build.core.ports import World
    from spark_build.core.tree import Tree

Answers = Mapping[str, Mapping[str, str | None]]  # kind of question -> name -> answer


class NotedWorld:
    """`core.ports.World` that asks each question once and notes the answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._trees: dict[str, Tree] = {}
        self._files: dict[str, Digest | None] = {}
        self._env: dict[str, str | None] = {}
        self._tools: dict[str, str] = {}
        self._libraries: dict[str, str | None] = {}

    def tree(self, path: str, ignore: Iterable[str] = ()) -> Tree:
        name = "\0".join((path, *sorted(ignore)))
        if name not in self._trees:
            self._trees[name] = self._world.tree(path, ignore)
        return self._trees[name]

    def file(self, path: str) -> Digest | None:
        if path not in self._files:
            self._files[path] = self._world.file(path)
        return self._files[path]

    def env(self, name: str) -> str | None:
        if name not in self._env:
            self._env[name] = self._world.env(name)
        return self._env[name]

    def tool(self, name: str) -> str:
        if name not in self._tools:
            self._tools[name] = self._world.tool(name)
        return self._tools[name]

    def library(self, name: str) -> str | None:
        if name not in self._libraries:
            self._libraries[name] = self._world.library(name)
        return self._libraries[name]

    def answers(self) -> Answers:
        """All of them as text; of the environment digests alone."""
        return {
            "tree": {name: tree.digest for name, tree in self._trees.items()},
            "file": self._files,
            "env": {name: _digest_of(value) for name, value in self._env.items()},
            "tool": self._tools,
            "library": self._libraries,
        }


def answers_alike(world: World, answers: Answers) -> bool:
    """Whether `world` would say the same today."""
    try:
        return all(
            _ASKED[kind](world, name) == answer
            for kind, told in answers.items()
            for name, answer in told.items()
        )
    except SparkError:  # what was there is not there any more
        return False


def _tree_digest(world: World, name: str) -> Digest:
    path, *ignore = name.split("\0")
    return world.tree(path, ignore).digest


def _digest_of(value: str | None) -> Digest | None:
    return None if value is None else digest_bytes(value.encode())


_ASKED: Mapping[str, Callable[[World, str], str | None]] = {
    "tree": _tree_digest,
    "file": lambda world, name: world.file(name),
    "env": lambda world, name: _digest_of(world.env(name)),
    "tool": lambda world, name: world.tool(name),
    "library": lambda world, name: world.library(name),
}
