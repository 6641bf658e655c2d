"""What a stage reads of the outside may move while it waits and while it runs: it is looked at again.

By stats first, which cost next to nothing: what nobody wrote to needs no second digest. What was written to counts
as moved though its content is the old one again, since nobody knows what the stage read in between. The code of
a rule in Python is another matter: it is imported at the start, and an editor that saves it anew does no harm.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from spark_build.core.digest import Digest, digest_json
from spark_build.core.errors import SparkError
from spark_build.core.globs import is_match
from spark_build.core.moved import InputMoved, Seen, changed, changed_before, written
from spark_build.core.ports import WatchedWorld
from spark_build.engine.action import Manifest, counted_version
from spark_build.engine.graph import Node

_COMMAND = "command"  # the rule whose code is read whenever it likes

Tell = Callable[[str], InputMoved]


class Watch:
    """The world as one stage's key was made from it. `look_again` gives one that has seen nothing yet."""

    def __init__(
        self,
        node: Node,
        manifest: Manifest,
        world: WatchedWorld,
        look_again: Callable[[], WatchedWorld],
        policy: str,
    ) -> None:
        self._node, self._manifest, self._world, self._look_again = node, manifest, world, look_again
        self._policy = node.libraries_policy or policy
        self._sources = tuple(_sources(node, manifest))

    def start(self) -> None:
        """Before a stage that waited for others. Errors: InputMoved where today's key would be another."""
        again = self._look_again()
        if any(self._has_moved(source) is not False for source in self._sources):
            for source in self._sources:
                _check_content(source, again, changed_before)
            self._world = again  # written to, and what it holds is the same: nobody has read it yet
        self._check_rest(again, changed_before)

    def check(self, undeclared: Mapping[str, Any]) -> None:
        """After the stage; `undeclared` is what it read besides. Errors: InputMoved where something moved meanwhile."""
        again = self._look_again()
        for source in self._sources:
            moved = self._has_moved(source)
            if moved is not False:
                _check_content(source, again, changed)
            if moved and not source.may_be_written:
                raise written(source.path)
        self._check_rest(again, changed)
        self._check_undeclared(undeclared)

    @property
    def has_moved(self) -> bool:
        try:
            self.check({})
        except SparkError:
            return True
        return False

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What findings per item hang on, for the worker to look at. A source looks at each file that it reads."""
        found = []
        for source in self._sources:
            seen = None if source.is_listed else self._world.seen(source.kind, source.path)
            if seen is not None:
                found.append(seen._replace(digest=source.digest if source.may_be_written else None))
        return tuple(found)

    def _has_moved(self, source: "_Source") -> bool | None:
        return self._world.has_moved(source.kind, source.path)

    def _check_rest(self, again: WatchedWorld, tell: Tell) -> None:
        """What has no stats of its own: tools, libraries, and the files that a pattern matches."""
        self._check_libraries(self._manifest, again, tell)
        for step, own in zip(self._node.steps, self._manifest.get("steps", []), strict=True):
            self._check_libraries(own, again, tell)
            for name, version in own.get("tools", {}).items():
                if _or_none(partial(again.tool, name)) != version:
                    raise tell(f"tool '{name}'")
            for pattern, matched in step.globs.items():
                if digest_json(again.matching(pattern, step.folder)) != matched:
                    raise tell(f"what '{pattern}' matches")

    def _check_libraries(self, manifest: Mapping[str, Any], again: WatchedWorld, tell: Tell) -> None:
        for name, version in manifest.get("libraries", {}).items():
            if counted_version(again.library(name), self._policy) != version:
                raise tell(f"library '{name}'")

    def _check_undeclared(self, undeclared: Mapping[str, Any]) -> None:
        """A file that came, was read as one that a pattern matches, and may have gone."""
        patterns = [pattern for step in self._node.steps for pattern in step.globs]
        for path in undeclared.get("files", ()) if patterns else ():
            if any(is_match(path, pattern) for pattern in patterns):
                raise changed(path)


class _Source(NamedTuple):
    """A project file or folder whose content stands in the key."""

    kind: str  # 'tree' or 'file', as the world is asked
    path: str
    digest: Digest | None
    may_be_written: bool = False  # as long as its content stays
    is_listed: bool = False  # the records' own files


def _sources(node: Node, manifest: Mapping[str, Any]) -> Iterator[_Source]:
    steps = manifest.get("steps", [])
    for name, given in node.inputs.items():
        if given.path is not None:
            yield _Source("tree", given.path, manifest["inputs"][name])
    for step, own in zip(node.steps, steps, strict=True):
        for name, given in step.inputs.items():
            if given.path is not None:
                is_listed = node.kind == "ingest" and step is node.steps[0] and name == "path"
                yield _Source("tree", given.path, own["inputs"][name], is_listed=is_listed)
        for path, digest in own.get("code", {}).items():
            yield _Source("file", step.code_path(path), digest, step.rule != _COMMAND)


def _check_content(source: _Source, again: WatchedWorld, tell: Tell) -> None:
    is_file = source.kind == "file"
    if (
        _or_none(lambda: again.file(source.path) if is_file else again.tree(source.path).digest)
        != source.digest
    ):
        raise tell(source.path)


def _or_none(ask: Callable[[], str | None]) -> str | None:
    """None where it is not there any more."""
    try:
        return ask()
    except SparkError:
        return None
