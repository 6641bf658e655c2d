"""What a Record keeps of the causes for which it ran: where values were written, and which files had changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.values import replace
from spark_build.engine.explain import Reason

MOST_FILES = 100  # of one kind that are named; the others are counted
_FILES = ("added", "changed", "removed")
Told = Mapping[str, Any]  # since: key of the action before; causes, without the values, which manifests hold


def told_of(reasons: Sequence[Reason], since: Digest) -> dict[str, Any]:
    """For a Record, of its own causes; empty where there is nothing that two manifests do not tell."""
    own = [reason for reason in reasons if reason.kind != "upstream"]
    if not any(reason.at or any(_files(reason).values()) for reason in own):
        return {}
    return {"since": since, "causes": [_kept(reason) for reason in own]}


def retold(
    reasons: Sequence[Reason], told: Told, since: Digest | None, *, keeps_places: bool
) -> list[Reason]:
    """`reasons` from `since` to the Record that was `told`, with what that knows better.

    `keeps_places`: they are today's, of a result that counts today. Else today's Sparkfile says nothing of
    where an older value stood.
    """
    causes = told.get("causes", [])
    own = [r.kind for r in reasons if r.kind != "upstream"]
    if told.get("since") == since and [cause["kind"] for cause in causes] == own:
        rest = iter(causes)
        return [r if r.kind == "upstream" else _as_told(r, next(rest), keeps_places) for r in reasons]
    # a place is that of the new value, whatever the old one was
    places = {(cause["kind"], cause["name"]): cause["at"] for cause in causes}
    return [replace(r, at=(keeps_places and r.at) or places.get((r.kind, r.name))) for r in reasons]


def _as_told(reason: Reason, cause: Mapping[str, Any], keeps_places: bool) -> Reason:
    """The same cause: two manifests differ in one order, whatever the Sparkfile calls it today."""
    if not (keeps_places and reason.at):
        name = cause["name"] if reason.kind == "param" else reason.name
        reason = replace(reason, name=name, at=cause["at"])
    if any(_files(reason).values()):
        return reason
    added, changed, removed = (tuple(cause.get(name, ())) for name in _FILES)
    return replace(reason, added=added, changed=changed, removed=removed, more=cause.get("more", {}))


def _kept(reason: Reason) -> dict[str, Any]:
    files = _files(reason)
    more = {name: len(paths) - MOST_FILES for name, paths in files.items() if len(paths) > MOST_FILES}
    cause = {
        "kind": reason.kind,
        "name": reason.name,
        "at": reason.at,
        **{name: list(paths[:MOST_FILES]) for name, paths in files.items() if paths},
    }
    return {**cause, "more": more} if more else cause


def _files(reason: Reason) -> dict[str, tuple[str, ...]]:
    return {"added": reason.added, "changed": reason.changed, "removed": reason.removed}
