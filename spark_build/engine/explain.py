"""Causes: where two manifests differ, in the words of the Sparkfile. The key hashes the same manifests."""

from collections.abc import Iterator, Mapping
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError
from spark_build.core.ports import Objects, World
from spark_build.core.tree import Tree, differing
from spark_build.core.values import Struct, field
from spark_build.engine import precision
from spark_build.engine.action import Manifest, paired
from spark_build.engine.graph import Input, Node, Step

# kinds of a reason, a contract (design section 10)
KINDS = (
    "new", "param", "input", "env", "rule", "library", "tool", "numerics", "upstream", "missing", "corrupt",
    "runtime",
)  # fmt: skip
Where = Mapping[str, tuple[str, str | None]]


class Reason(Struct, frozen=True):
    """One cause."""

    kind: str
    name: str
    old: Any = None
    new: Any = None
    at: str | None = None
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)  # files that were counted only: 'changed' -> 12
    via: tuple[str, ...] = ()  # stages between this cause and the stage that it wakes, the nearest first

    def to_json(self) -> dict[str, Any]:
        data = {"kind": self.kind, "name": self.name, "old": self.old, "new": self.new, "at": self.at}
        if self.kind == "input" or self.added or self.changed or self.removed:
            data.update(added=list(self.added), changed=list(self.changed), removed=list(self.removed))
        return {**data, "more": dict(self.more)} if self.more else data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Reason":
        files = {name: tuple(data.get(name, ())) for name in ("added", "changed", "removed")}
        more = data.get("more", {})
        return cls(data["kind"], data["name"], data["old"], data["new"], data["at"], more=more, **files)


def differences(
    old: Manifest, new: Manifest, node: Node, objects: Objects, world: World | None = None
) -> list[Reason]:
    """Every cause that tells `new` from `old`; empty where they are equal.

    Listings of sources are kept as objects; `world` has those that no build has seen yet.
    """
    listings = _Listings(objects, world)
    found = [*_stage_differences(old, new, node, listings)]
    old_steps, new_steps = old.get("steps", []), new.get("steps", [])
    before = paired(old_steps, new_steps)
    steps = [_step_of(node, index, step) for index, step in enumerate(new_steps)]
    found += _composition(old_steps, steps, before, node)
    for now, then in before.items():
        found += _step_differences(old_steps[then], new_steps[now], steps[now], listings)
    has_libraries = any(reason.kind == "library" for reason in found)
    return _with_precision(found, precision.precisions(old, new), node) if has_libraries else found


def _with_precision(found: list[Reason], changed: tuple[str, str] | None, node: Node) -> list[Reason]:
    """`environment.libraries` for the versions that only look like others since it has changed."""
    if changed is None:
        return found
    at = node.where.get(precision.NAME, ("", None))[1]
    others = [r for r in found if r.kind != "library" or not precision.is_alike(r.old, r.new)]
    return [*others, Reason("param", precision.NAME, *changed, at)]


def _stage_differences(old: Manifest, new: Manifest, node: Node, listings: "_Listings") -> Iterator[Reason]:
    if old.get("revision") != new.get("revision"):
        yield Reason("rule", node.kind, old.get("revision"), new.get("revision"))
    yield from _params(old.get("options", {}), new.get("options", {}), node.where, node.kind)
    yield from _libraries(old, new)
    yield from _numerics(old.get("numerics") or {}, new.get("numerics") or {})
    yield from _inputs(old.get("inputs", {}), new.get("inputs", {}), node.inputs, listings)


def _step_differences(old: Manifest, new: Manifest, step: Step, listings: "_Listings") -> Iterator[Reason]:
    if old.get("name") != new.get("name"):
        name, at = _named((), step.where, step.label)
        yield Reason("param", name, old.get("name"), new.get("name"), at)
    if old.get("revision") != new.get("revision"):
        yield Reason("rule", step.rule, old.get("revision"), new.get("revision"))
    if old.get("code") != new.get("code"):
        yield _input_reason(step.rule, old.get("code", {}), new.get("code", {}), kind="rule")
    yield from _params(old.get("params", {}), new.get("params", {}), step.where, step.label or step.rule)
    yield from _params(old.get("options", {}), new.get("options", {}), step.where, step.label or step.rule)
    yield from _libraries(old, new)
    for kind, group in (("env", "env"), ("tool", "tools")):
        before, now = old.get(group, {}), new.get(group, {})
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                values = (before.get(name), now.get(name)) if kind == "tool" else (None, None)
                yield Reason(kind, name, *values)
    yield from _inputs(old.get("inputs", {}), new.get("inputs", {}), step.inputs, listings)


def _params(old: Mapping[str, Any], new: Mapping[str, Any], where: Where, label: str) -> Iterator[Reason]:
    for path, before, now in _leaves(old, new, ()):
        name, at = _named(path, where, label)
        yield Reason("param", name, before, now, at)


def _leaves(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from _leaves(old.get(name), new.get(name), (*path, name))
    elif old != new:
        yield path, old, new


def _named(path: tuple[str, ...], where: Where, label: str) -> tuple[str, str | None]:
    """The nearest place that the Sparkfile has for a param: `config.hidden_size`, else `config`, else the use."""
    for length in range(len(path), -1, -1):
        if (known := where.get(".".join(path[:length]))) is not None:
            return ".".join([known[0], *path[length:]]), known[1]
    return ".".join([label, *path]), None


def _libraries(old: Manifest, new: Manifest) -> Iterator[Reason]:
    before, now = old.get("libraries", {}), new.get("libraries", {})
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield Reason("library", name, before.get(name), now.get(name))


def _numerics(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Reason]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Reason("numerics", name, old.get(name), new.get(name))


def _inputs(
    old: Mapping[str, Any], new: Mapping[str, Any], declared: Mapping[str, Input], listings: "_Listings"
) -> Iterator[Reason]:
    for name in sorted({*old, *new}):
        before, now = old.get(name), new.get(name)
        if before == now:
            continue
        given = declared.get(name, Input())
        if given.stage is not None:
            yield Reason("upstream", given.stage, at=given.at)
        elif isinstance(before, str) or isinstance(now, str):
            old_files, new_files = listings.differing(before, now, given.path)
            yield _input_reason(given.path or name, old_files, new_files, at=given.at)
        elif now is None:  # another stage's output
            yield Reason("input", name, "read", "not read", at=given.at)
        else:
            named = given.path or given.hub or given.name or name
            yield Reason("input", named, _version_of(before), _version_of(now), at=given.at)


def _version_of(given: Any) -> Any:
    """A hub id's revision; the digest of a tagged result's one part."""
    values = list(given.values()) if isinstance(given, Mapping) else []
    return values[0] if len(values) == 1 else given


def _input_reason(
    name: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    *,
    kind: str = "input",
    at: str | None = None,
) -> Reason:
    if old is None or new is None:  # a listing that is not kept any more: the name alone
        return Reason(kind, name, at=at)
    return Reason(
        kind,
        name,
        at=at,
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(p for p in new.keys() & old.keys() if new[p] != old[p])),
        removed=tuple(sorted(old.keys() - new.keys())),
    )


class _Listings(Struct, frozen=True):
    """Of project inputs, by digest."""

    objects: Objects
    world: World | None

    def differing(
        self, old: Digest | None, new: Digest | None, path: str | None
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Files of either side, by path, without those that are the same; None where a listing is not kept."""
        before, now = self._get(old), self._get(new, path)
        # a cause without its file names is still a cause
        if before is None or now is None:
            return None, None
        then, here = ({e.path: (e.digest, e.executable) for e in side} for side in differing(before, now))
        return then, here

    def _get(self, digest: Digest | None, path: str | None = None) -> bytes | None:
        if not isinstance(digest, str):
            return Tree.of(()).listing
        try:
            return self.objects.read(digest)
        except (KeyError, SparkError):
            return self._from_world(digest, path)

    def _from_world(self, digest: Digest, path: str | None) -> bytes | None:
        if self.world is None or path is None:
            return None
        tree = self.world.tree(path)
        try:
            return tree.listing if tree.digest == digest else None
        except SparkError:  # the lock pins it: a digest, not a listing
            return None


# what the Sparkfile calls the steps of a stage that stand in a list, and how many stand before it
_LISTS = {"ingest": ("transforms", 1), "filter": ("gates", 0), "eval": ("metrics", 0)}


def _composition(
    old: list[Manifest], steps: list[Step], before: Mapping[int, int], node: Node
) -> Iterator[Reason]:
    """Steps that came, went or changed places, as the Sparkfile lists them; another source or recipe."""
    word, alone = _LISTS.get(node.kind, ("steps", int(len(old) == len(steps) == 1)))
    for index, step in enumerate(steps[:alone]):
        if index not in before:
            at = step.where.get("", ("", None))[1] or node.at or None
            yield Reason("param", step.family or node.kind, old[index]["rule"], step.rule, at)
    names = _numbered([step.label or step.rule for step in steps])
    then = {b: names[index] for index, b in before.items()}
    was, now = (
        [then.get(b) or step.get("name") or step["rule"] for b, step in enumerate(old)][alone:],
        names[alone:],
    )
    if was != now:
        name, at = node.where.get(word, (word, node.at or None))
        yield Reason("param", name, was, now, at)


def _numbered(names: list[str]) -> list[str]:
    """The same gate twice is 'pii', 'pii-2'."""
    return [f"{n}-{c + 1}" if (c := names[:i].count(n)) else n for i, n in enumerate(names)]


def _step_of(node: Node, index: int, step: Manifest) -> Step:
    """The node's own step; for an older manifest, which may have others, one that knows no places."""
    own = node.steps[index] if index < len(node.steps) else None
    return own if own is not None and own.rule == step["rule"] else Step(step["rule"], "", "")
