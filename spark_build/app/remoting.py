"""The remote tier of a project: opened as its Sparkfile says, and joined with the local store."""

from __future__ import annotations  # what they name need not be loaded

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.trust import scope_in
from spark_build.pinning import Lock
from spark_build.remote.bucket import ANSWER_SECONDS, Bucket
from spark_build.remote.records import TieredObjects, TieredRecords
from spark_build.remote.store import RemoteStore
from spark_build.storage.journal import Journal
from spark_build.storage.local import LocalStore

if TYPE_CHECKING:
    from spark_build.app import BuildOptions, Project
    from spark_build.engine.build import Listener
    from spark_build.engine.graph import Graph
    from spark_build.engine.plan import Planner
    from spark_build.engine.results import BuildResult, StageResult
    from spark_build.remote.uploads import Uploads

LEASE_VARIABLE = "SPARK_LEASE_SECONDS"
ANSWER_VARIABLE = "SPARK_REMOTE_SECONDS"


def open_remote(project: Project) -> RemoteStore:
    """Errors: UsageError for what is no URL of a remote store."""
    named = project.graph.store
    url, at = named["remote"], named["remote_at"]
    if not url.startswith("s3://") or not url.removeprefix("s3://").partition("/")[0]:
        raise UsageError(f"{at}: store.remote: '{url}' is no S3 URL", fix="s3://bucket/prefix")
    return RemoteStore(
        Bucket(url, named.get("endpoint"), answer_seconds=_seconds(ANSWER_VARIABLE, ANSWER_SECONDS, 0.1)),
        project.local_store.objects,
        project.state,
        scope=scope_in(named, project.environment),
        trust=project.graph.trust,
        warn=warn,
    )


class LockedHistory:
    """`engine.plan.History`: what this checkout never built, its lock may know from another."""

    def __init__(self, journal: Journal, lock: Lock) -> None:
        self._journal, self._lock = journal, lock
        self.most_keys = journal.most_keys

    def last(self, stage: str) -> Digest | None:
        return self._journal.last(stage) or self._of_lock(stage)

    def keys(self, stage: str) -> list[Digest]:
        key = self._of_lock(stage)
        return list(dict.fromkeys([*self._journal.keys(stage), *([key] if key else [])]))

    def _of_lock(self, stage: str) -> Digest | None:
        block = self._lock.get("stages", stage)
        return str(block["key"]) if block is not None else None


def tiered_store(project: Project) -> LocalStore:
    store = LocalStore(project.store, project.state)

    def remote() -> RemoteStore:
        assert project.remote is not None
        return project.remote

    def locked() -> Iterator[tuple[Digest, Digest]]:
        for stage in project.lock.names("stages"):
            block = project.lock.get("stages", stage) or {}
            yield block["key"], block["output"]

    store.objects = TieredObjects(project.store, project.state, remote)
    store.records = TieredRecords(project.store, remote, locked)
    return store


def keep_records(project: Project) -> TieredRecords:
    """From now on what the remote tells stays here; looking alone writes nothing."""
    records = project.records
    assert isinstance(records, TieredRecords)
    records.keeps = True
    return records


def run_with_remote(
    project: Project,
    remote: RemoteStore,
    planner: Planner,
    options: BuildOptions,
    listener: Listener,
    asked: Sequence[str],
) -> BuildResult:
    """A build that takes what the remote has, and brings what it makes there while it goes on."""
    from spark_build.app.building import builder_in
    from spark_build.remote.leases import LEASE_SECONDS, LEAVING_SECONDS, RemoteLeases
    from spark_build.remote.uploads import Uploads
    from spark_build.storage.leases import LocalLeases

    records, local = keep_records(project), LocalLeases(Path(project.store))
    remote.outage.is_tolerated = True

    def recall(stage: str) -> None:
        last = planner.last_record(stage)
        if last is not None and project.graph.nodes[stage].pushes:
            try:
                remote.pull_memo(last)
            except SparkError as error:  # it is found again
                warn(f"{stage}: what others found of its items can't be had: {error.message}")

    if not options.pushes:
        builder = builder_in(
            project, project.local_store, planner, options, listener, restorer=remote, recall=recall
        )
        try:
            return builder.run(asked)
        finally:
            builder.executor.close()

    def is_published(key: Digest) -> bool:
        records.look_again(key)
        return remote.record(key) is not None

    uploads = Uploads(remote, settled=lambda key: leases.settle(key), told=lambda *how: pushing.note(*how))
    leases = RemoteLeases(
        local,
        remote.bucket,
        remote.scope,
        seconds=_seconds(LEASE_VARIABLE, LEASE_SECONDS, 1.0),
        are_kept=lambda: remote.features.leases,
        is_published=is_published,
        keeps=uploads.is_pending,
        warn=warn,
    )
    pushing = Pushing(listener, uploads, project.graph)
    builder = builder_in(
        project,
        project.local_store,
        planner,
        options,
        pushing,
        leases=leases,
        restorer=remote,
        recall=recall,
        tell_beside=pushing.tell,
    )
    try:
        result = builder.run(asked)
        try:
            if not result.is_interrupted:
                uploads.wait(listener.uploading)
        except KeyboardInterrupt:  # what was built stands; only its way there is cut short
            result.is_interrupted = True
            leases.hurry()
        if result.is_interrupted:
            uploads.stop()
            uploads.wait(within=LEAVING_SECONDS)
        result.warnings += upload_warnings(uploads)
        return result
    finally:
        leases.close()
        builder.executor.close()


class Pushing:
    """A listener that has what ran uploaded, and passes everything on."""

    def __init__(self, listener: Listener, uploads: Uploads, graph: Graph) -> None:
        self._listener, self._uploads, self._graph = listener, uploads, graph
        self.started, self.event, self.waiting = listener.started, listener.event, listener.waiting
        self.uploading = listener.uploading
        self._noted: dict[str, tuple[int, int]] = {}  # by stage, how far its upload was last

    def note(self, stage: str, done: int, total: int) -> None:
        """In the thread that uploads."""
        self._noted[stage] = (done, total)

    def tell(self) -> None:
        """In the thread that builds, which alone tells the listener meanwhile."""
        for stage in list(self._noted):
            self._listener.uploading(stage, *self._noted.pop(stage))

    def finished(self, result: StageResult) -> None:
        if result.outcome == "ran" and result.record is not None:
            pushes = self._graph.nodes[result.stage].pushes
            self._uploads.add(result.record, with_artifact=pushes)
        self._listener.finished(result)


def upload_warnings(uploads: Uploads) -> list[str]:
    failed = dict(uploads.failed)
    told = [f"{stage} was not uploaded: {error.message}; {_PUSH}" for stage, error in failed.items()]
    if uploads.left_out:
        why = "interrupted" if uploads.is_stopped else "the remote store does not answer"
        told.append(f"{why}: of {uploads.left_out} results the upload was left out; {_PUSH}")
    return told + [not_deterministic(ours, theirs) for ours, theirs in uploads.pushed.others]


def not_deterministic(ours: Any, theirs: Any) -> str:
    return (
        f"{ours.stage}: not deterministic: the remote store has {theirs.output[:12]} for the same action, here came "
        f"out {ours.output[:12]}; both are kept there, and the lock says which one counts"
    )


_PUSH = "spark store push does it again"


def _seconds(variable: str, usual: float, least: float) -> float:
    try:
        return min(max(least, float(os.environ.get(variable, usual))), 3600.0)
    except ValueError:
        raise UsageError(f"{variable} is no number", fix=f"a number of seconds, such as {usual:g}") from None


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
