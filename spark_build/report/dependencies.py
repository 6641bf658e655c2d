"""All that a result was made from, over its whole lineage: each as in-toto's ResourceDescriptor."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from spark_build.core.digest import Digest, canonical_json
from spark_build.core.record import Record
from spark_build.core.tree import Tree
from spark_build.core.values import Struct, field
from spark_build.engine.action import paired
from spark_build.engine.graph import Input, Node

_HUB = "https://huggingface.co"


class Made(Struct, frozen=True):
    """A stage of a lineage: what its Record says, and what its inputs are called."""

    stage: str  # as an attestation calls it: two results of one stage may stand in one lineage
    record: Record
    node: Node | None = None  # as the Sparkfile stands
    files: Mapping[str, Tree] = field(default_factory=dict)  # input -> what it held, where the store knows
    outside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # input -> what its pin tells
    accepted: str | None = None  # `spark accept`: its Record stands for another key
    address: str = ""  # as the Sparkfile calls it
    behind: str = ""  # the tagged result that it is behind; '' where stages alone lead to it
    is_todays: bool = False  # `node` is what its action was made from

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.record.manifest.get("steps", [])
        return found

    def inputs(self) -> Iterator[tuple[str, Any, Input | None]]:
        """Each with the digests that were read, and what the Sparkfile says of it."""
        declared = self._declared()
        for name, read in self.record.manifest.get("inputs", {}).items():
            yield name, read, declared.get(name)
        for index, step in enumerate(self.steps):
            for name, read in step.get("inputs", {}).items():
                yield f"{index}.{name}", read, declared.get(f"{index}.{name}")

    def _declared(self) -> dict[str, Input]:
        """By the names that they had in the Record: steps may have changed places since."""
        if self.node is None:
            return {}
        now = [{"rule": step.rule, "name": step.told or None} for step in self.node.steps]
        found = dict(self.node.inputs)
        for index, then in paired(list(map(dict, self.steps)), now).items():
            found |= {f"{then}.{name}": given for name, given in self.node.steps[index].inputs.items()}
        return found


class Dependency(Struct, frozen=True):
    kind: str  # file folder result part hub code rule runner library tool
    name: str
    uri: str = ""
    digest: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it from others, in the order in which they are told."""
        more = canonical_json(self.more) if self.more else b""
        return self.kind, self.name, self.uri, tuple(self.digest.items()), more

    def descriptor(self, stages: Iterable[str]) -> dict[str, Any]:
        """`stages`: those that read it; of a folder's files the folder says it."""
        is_of_folder = self.kind == "file" and not self.more
        read_by = {"read_by": sorted(stages)} if not is_of_folder else {}
        told = {"name": self.name, "uri": self.uri, "digest": dict(self.digest)}
        return {
            **{name: value for name, value in told.items() if value},
            "annotations": {"kind": self.kind, **self.more, **read_by},
        }


def dependencies(made: Sequence[Made]) -> list[dict[str, Any]]:
    """Every one once, in an order that hangs on nothing but themselves."""
    found: dict[tuple[Any, ...], tuple[Dependency, set[str]]] = {}
    for one in made:
        for dependency in dependencies_of(one, made):
            found.setdefault(dependency.identity, (dependency, set()))[1].add(one.stage)
    return [dependency.descriptor(stages) for _, (dependency, stages) in sorted(found.items())]


def dependencies_of(one: Made, lineage: Sequence[Made]) -> Iterator[Dependency]:
    for name, read, given in one.inputs():
        if isinstance(read, str):
            yield from _of_path(one, name, read, given)
        elif isinstance(read, Mapping) and _is_of_hub(read, given):
            yield _of_hub(one, name, read["revision"], given)
        elif isinstance(read, Mapping):
            parts = {part: digest for part, digest in read.items() if digest is not None}
            yield from _of_result(one, name, parts, given, lineage)
    kind, revision = one.record.manifest.get("kind"), one.record.manifest.get("revision")
    yield Dependency("runner", f"stage {kind}", f"urn:spark-build:stage:{kind}:{revision}")
    for step in one.steps:
        yield from _of_step(step)
    for library, version in one.record.libraries.items():
        yield Dependency("library", library, pypi_purl(library, version), more={"version": version})


def pypi_purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name.lower().replace('_', '-')}@{quote(version, safe='')}"


def hub_purl(name: str, revision: str) -> str:
    return f"pkg:huggingface/{quote(name)}@{quote(revision.lower())}"


def tool_purl(name: str, version: str) -> str:
    return f"pkg:generic/{quote(posixpath.basename(name), safe='')}@{quote(version, safe='')}"


def _of_path(one: Made, name: str, digest: Digest, given: Input | None) -> Iterator[Dependency]:
    path = given.path if given is not None and given.path is not None else f"{one.stage} {name}"
    named = {} if one.is_todays or given is None else {"named": "as the Sparkfile stands now"}
    files = one.files.get(name)
    if files is not None and [posixpath.basename(path)] == [entry.path for entry in files]:
        yield Dependency(
            "file", path, digest={"blake3": files.entries[0].digest}, more={"listing": digest, **named}
        )
        return
    yield from _of_files(path, files)
    more = {"files": len(files.entries)} if files is not None else {}
    yield Dependency("folder", path, digest={"blake3": digest}, more={**more, **named})


def _of_files(path: str, files: Tree | None) -> Iterator[Dependency]:
    for entry in files or ():
        yield Dependency("file", f"{path}/{entry.path}", digest={"blake3": entry.digest})


def _is_of_hub(read: Mapping[str, Any], given: Input | None) -> bool:
    """A part of a result may be called `revision`, too: a digest has 64 digits, a revision 40."""
    is_declared = given is not None and given.hub is not None
    return list(read) == ["revision"] and (is_declared or len(str(read["revision"])) == 40)


def _of_hub(one: Made, name: str, revision: str, given: Input | None) -> Dependency:
    digest = {"gitCommit": revision}
    if given is None or given.hub is None or given.revision != revision:
        return Dependency("hub", f"{one.stage} {name}", digest=digest)
    return Dependency("hub", given.hub, f"{_HUB}/{given.hub}/tree/{revision}", digest)


def _of_result(
    one: Made, name: str, parts: Mapping[str, Digest], given: Input | None, lineage: Sequence[Made]
) -> Iterator[Dependency]:
    """The Artifact with the parts that were read of it; where nobody knows it any more, these alone."""
    if not parts:  # nothing of what it asked for was there
        return
    outside = one.outside.get(name, {})
    if (before := _before(one, parts, given, outside, lineage)) is not None:
        more = {"key": before.record.key, "parts": dict(parts), **outside}
        uri, digest = f"urn:spark-build:result:{quote(before.stage)}", {"blake3": before.record.output}
        yield Dependency("result", before.stage, uri, digest, more)
    elif given is not None and given.artifact is not None and _holds(given.artifact_parts or {}, parts):
        called = given.name if given.name and "from" in outside else f"{one.stage} {name}"
        more, digest = {"parts": dict(parts), **outside}, {"blake3": given.artifact}
        yield Dependency("result", called, digest=digest, more=more)
        yield from _of_files(called, one.files.get(name))
    else:
        stage = given.stage if given is not None and given.stage else f"{one.stage} {name}"
        for part, digested in parts.items():
            yield Dependency("part", f"{stage} {part}", digest={"blake3": digested})


def _before(
    one: Made,
    parts: Mapping[str, Digest],
    given: Input | None,
    outside: Mapping[str, Any],
    lineage: Sequence[Made],
) -> Made | None:
    """The stage of the lineage that gave these parts; of several the one on the same side of a tag."""
    if given is None:
        return None
    tag = outside.get("tag")
    if given.artifact is not None:
        found = [m for m in lineage if tag and m.behind == tag and m.record.output == given.artifact]
    else:
        found = [m for m in lineage if (m.address or m.stage) == given.stage]
        found.sort(key=lambda m: m.behind != one.behind)
    return next((m for m in found if _holds(m.record.parts, parts)), None)


def _holds(has: Mapping[str, Digest], parts: Mapping[str, Digest]) -> bool:
    return all(has.get(part) == digest for part, digest in parts.items())


def _of_step(step: Mapping[str, Any]) -> Iterator[Dependency]:
    rule, revision = step["rule"], step.get("revision")
    if revision is not None:
        yield Dependency("rule", f"rule {rule}", f"urn:spark-build:rule:{quote(rule)}:{revision}")
    for path, digest in step.get("code", {}).items():
        if digest is not None:
            yield Dependency("code", path, digest={"blake3": digest})
    for tool, version in step.get("tools", {}).items():
        yield Dependency("tool", tool, tool_purl(tool, version), more={"version": version})
