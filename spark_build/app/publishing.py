"""`spark store publish`: results of the lock, given to other projects under their names."""

from __future__ import annotations  # what they name need not be loaded

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from spark_build.app.transferring import Told, remote_of
from spark_build.core.address import Address, typed
from spark_build.core.errors import RequirementNotMet, UsageError
from spark_build.core.values import Struct
from spark_build.pinning import LOCK_NAME
from spark_build.remote.publications import Published, publish

if TYPE_CHECKING:
    from spark_build.app import Project
    from spark_build.core.digest import Digest
    from spark_build.remote.store import RemoteStore


class Given(Struct, frozen=True):
    """A result that the lock names, and what others call it."""

    name: str  # `model:sft@prod`; without a tag the stage
    stage: str
    key: Digest
    output: Digest


def publish_results(
    project: Project, texts: Sequence[str], told: Told, *, again: bool = False
) -> list[tuple[Published, int]]:
    """Each with the bytes that travelled; without an address all tags.

    Errors: UsageError for what the lock does not name; RequirementNotMet where a result is neither here nor there.
    """
    remote, done = remote_of(project), []
    remote.is_gc_meanwhile()  # from now on
    for given in [_given(project, text) for text in texts or _tags(project)]:
        sent = _brought(project, remote, given, told)
        published = publish(remote, given.name, given.key, given.output, again=again)
        if published.is_new and remote.is_gc_meanwhile() and not project.objects.missing(given.output):
            remote.refuse(given.output)  # the gc may not have seen that it is needed
            sent += _brought(project, remote, given, told)
        done.append((published, sent))
    project.state.flush()
    return done


def withdraw(project: Project, texts: Sequence[str]) -> list[Published]:
    """Nobody pins them from now on; who has, goes on. Errors: UsageError for what is not published."""
    from spark_build.remote.publications import read

    remote, done = remote_of(project), []
    if not texts:
        raise UsageError("--withdraw of what?", fix="spark store publish --withdraw model:NAME@TAG")
    for name in [_name(project, Address.parse(text)) for text in texts]:
        standing = read(remote.bucket, remote.scope, name, remote.trust).publication
        if standing is None:
            raise UsageError(
                f"'{name}' is not published in {remote.bucket}", fix=f"spark store publish {typed(name)}"
            )
        done.append(publish(remote, name, standing.key, None))
    return done


def _tags(project: Project) -> list[str]:
    tags = project.lock.names("tags")
    if not tags:
        raise UsageError(
            f"{LOCK_NAME} has no tag, so there is nothing to publish",
            fix="spark tag model:NAME@TAG; or name a target",
        )
    return tags


def _name(project: Project, address: Address) -> str:
    if address.tag is None:
        return project.main_stage(str(address))
    return f"{project.resolve(address.target).target}@{address.tag}"


def _given(project: Project, text: str) -> Given:
    address = Address.parse(text)
    name = _name(project, address)
    block = project.lock.get("stages" if address.tag is None else "tags", name)
    if block is None and address.tag is not None:
        known = ", ".join(project.lock.names("tags")) or "none"
        raise UsageError(f"no tag '{name}'", fix=f"spark tag {typed(name)}; there are {known}")
    if block is None:
        raise UsageError(f"{LOCK_NAME} knows no result of {name}", fix=f"spark build {typed(text)}")
    stage = name if address.tag is None else project.resolve(address.target).main_stage
    return Given(name, stage, str(block["key"]), str(block["output"]))


def _brought(project: Project, remote: RemoteStore, given: Given, told: Told) -> int:
    """Sees to it that the result lies there; how many bytes travelled."""
    node = project.graph.nodes.get(given.stage)
    if node is not None and not node.pushes:
        raise UsageError(
            f"{given.stage} does not go to the remote store, so others can't have it",
            fix="push: last, or all",
        )
    if remote.bytes_missing(given.output) is not None:
        return 0
    record = project.records.get(given.key)
    if record is None or record.output != given.output or project.objects.missing(given.output):
        raise RequirementNotMet(
            f"the result {given.output[:12]} of '{given.name}' is neither here nor in {remote.bucket}",
            fix=f"spark build {typed(given.stage)}, or spark store push where it is",
        )
    pushed = remote.push(record, with_artifact=True, told=partial(told, given.stage))
    return pushed.bytes
