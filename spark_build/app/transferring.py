"""Results brought to the remote store and fetched from it, apart from a build."""

from __future__ import annotations  # what they name need not be loaded

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from spark_build.core.address import typed
from spark_build.core.errors import RequirementNotMet, Untrusted, UsageError
from spark_build.core.values import Struct
from spark_build.pinning import LOCK_NAME

if TYPE_CHECKING:
    from spark_build.app import Project
    from spark_build.core.digest import Digest
    from spark_build.remote.store import RemoteStore

Told = Callable[[str, int, int], None]  # stage, bytes so far, of how many


class Transferred(Struct, frozen=True):
    """What became of one stage's result."""

    stage: str
    output: Digest
    bytes: int  # that travelled
    is_new: bool  # to the side it went to


def push(project: Project, targets: Sequence[str], told: Told) -> tuple[list[Transferred], list[str]]:
    """Results of `targets` and of all that they are made of; and warnings.

    Errors: UsageError where a target is not built as things stand.
    """
    from spark_build.app.remoting import not_deterministic

    remote, plan = remote_of(project), project.plan(*targets)
    if stale := [s.stage for s in plan.stages if s.state in ("run", "maybe")]:
        raise UsageError(
            f"{stale[0]} is not built as the Sparkfile stands, so there is nothing to push of it",
            fix=" ".join(["spark build", *map(typed, targets)]),
        )
    done, warnings = [], list[str]()
    for stage in plan.stages:
        assert stage.record is not None
        is_here = stage.state == "fresh" and not project.objects.missing(stage.record.output)
        travels = is_here and project.graph.nodes[stage.stage].pushes
        pushed = remote.push(stage.record, with_artifact=travels, told=partial(told, stage.stage))
        is_new = bool(pushed.artifacts or pushed.records)
        if is_new and travels:
            remote.push_memo(stage.record)
        done.append(Transferred(stage.stage, stage.record.output, pushed.bytes, is_new))
        warnings += [not_deterministic(*two) for two in pushed.others]
    project.state.flush()
    return done, warnings


def pull(
    project: Project, targets: Sequence[str], told: Told, *, is_locked: bool = False
) -> list[Transferred]:
    """Brings results here and builds nothing.

    Errors: RequirementNotMet where the remote lacks one, with what it is; StoreDamaged, TransientError.
    """
    remote = remote_of(project)
    outputs = _locked(project, targets) if is_locked else _known(project, targets)
    done = []
    for stage, output in outputs.items():
        fetched, is_new = 0, bool(project.objects.missing(output))
        if is_new:
            if remote.bytes_missing(output) is None:
                raise RequirementNotMet(
                    f"{remote.bucket} has no result {output[:12]} of {stage}",
                    fix="who has it pushes it: spark store push; or spark build makes it here",
                )
            check_vouched(project, remote, output)
            fetched = remote.fetch(output, partial(told, stage))
        done.append(Transferred(stage, output, fetched, is_new))
    project.state.flush()
    return done


def bring(project: Project, output: Digest) -> None:
    """Fetches an Artifact that is not here, where there is a remote that has it."""
    remote = project.remote
    if remote is not None and project.objects.missing(output) and remote.index(output) is not None:
        check_vouched(project, remote, output)
        remote.fetch(output)


def check_vouched(project: Project, remote: RemoteStore, output: Digest) -> None:
    """Errors: Untrusted where keys are listed, the lock names the result, and none of them says what gave it."""
    keys = _keys_in_lock(project, output) if remote.trust.is_required else set()
    if not keys or any(_gave(project, remote, key, output) for key in keys):
        return
    raise Untrusted(
        f"{remote.bucket}: no listed key vouches for {output[:12]}, which {LOCK_NAME} names",
        fix="see who changed the lock; spark build makes what counts; who has it can push it signed: spark store push",
    )


def _keys_in_lock(project: Project, output: Digest) -> set[Digest]:
    """Of the stages and tags that are said to have given it."""
    blocks = (
        project.lock.get(group, n) or {} for group in ("stages", "tags") for n in project.lock.names(group)
    )
    return {str(block["key"]) for block in blocks if block.get("output") == output}


def _gave(project: Project, remote: RemoteStore, key: Digest, output: Digest) -> bool:
    """A Record of this store was believed when it came; of the remote's, each signature is looked at."""
    known = project.records.get(key)
    if known is not None and known.output == output:
        return True
    found = remote.record(key, output)
    return found is not None and found.output == output


def remote_of(project: Project) -> RemoteStore:
    """Errors: UsageError where there is none."""
    if project.remote is None:
        why = (
            "--offline was said" if project.offline else f"{project.request.file.name} names no remote store"
        )
        raise UsageError(why, fix="store: {remote: s3://bucket/prefix}")
    return project.remote


def _locked(project: Project, targets: Sequence[str]) -> dict[str, Digest]:
    from spark_build.app.results import output_of

    if targets:
        return {text: output_of(project, text, is_locked=True) for text in targets}
    blocks = {stage: project.lock.get("stages", stage) or {} for stage in project.lock.names("stages")}
    if not blocks:
        raise RequirementNotMet(f"there is no {LOCK_NAME}", fix="spark build, and commit it")
    wanted = set(project.stages_of(()))
    return {stage: str(block["output"]) for stage, block in blocks.items() if stage in wanted}


def _known(project: Project, targets: Sequence[str]) -> dict[str, Digest]:
    plan, asked = project.plan(*targets), project.stages_of(targets)
    found = {}
    for stage in asked:
        one = plan[stage]
        if one.state not in ("fresh", "restore") or one.output is None:
            raise RequirementNotMet(
                f"{stage} was built by nobody as the Sparkfile stands, or is not in the remote store",
                fix=f"spark build {typed(stage)}; or --locked for what {LOCK_NAME} names",
            )
        found[stage] = one.output
    return found
