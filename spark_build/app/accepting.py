"""`spark accept`: an earlier result taken as still good, without running its stage; listed, and taken back."""

import os
import subprocess
import time
from typing import Any

from spark_build.app import Project
from spark_build.core.acceptance import Acceptance, accepted_note
from spark_build.core.address import typed
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.record import Record
from spark_build.core.values import Struct
from spark_build.engine.plan import StagePlan
from spark_build.storage.journal import BuildEntry, build_id

LONGEST_REASON = 300  # characters; it stands in every plan


class Standing(Struct, frozen=True):
    """An acceptance, and whether a plan of today takes it."""

    acceptance: Acceptance
    counts: bool
    is_own: bool = True  # of this Sparkfile, or of one that it includes; a store may have others

    def to_json(self) -> dict[str, Any]:
        return {**self.acceptance.to_json(), "counts": self.counts}


def accept(project: Project, text: str, reason: str, *, build: str | None = None) -> Acceptance:
    """The newest Record of the stage, or the one that `build` had, counts for its present key from now on.

    Errors: UsageError where there is nothing to accept; SparkError where the result is not here.
    """
    told = _one_line(reason)
    stage = _stage_named(project, text)
    planned = project.plan(stage)[stage]
    _refuse_what_is_not_to_run(planned)
    record = _record_of(project, stage, build)
    assert planned.key is not None
    acceptance = Acceptance(
        planned.key,
        record.key,
        stage,
        told,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        _git_user(project),
        tuple(cause.to_json() for cause in planned.reasons),
        project.place.inside,
    )
    project.acceptances.put(acceptance)
    _note_in_journal(project, acceptance)
    project.state.flush()
    return acceptance


def revoke(project: Project, text: str) -> list[Acceptance]:
    """What was accepted of a stage is no longer. Errors: UsageError where nothing was."""
    stage = _stage_named(project, text)
    named = [(a, a.stage_from(project.place.inside)) for a in project.acceptances.all()]
    found = [acceptance for acceptance, called in named if called == stage]
    if not found:
        raise _nothing_accepted(project, stage, sorted({called for _, called in named if called is not None}))
    for acceptance in found:
        project.acceptances.drop(acceptance.key)
    project.look_again()
    return found


def accepted(project: Project) -> list[Standing]:
    """All that were accepted, the oldest first."""
    found = project.acceptances.all()
    called = dict.fromkeys(a.stage_from(project.place.inside) for a in found)
    stages = [stage for stage in called if stage is not None and stage in project.graph.nodes]
    plan = {s.stage: s for s in project.plan(*stages).stages} if stages else {}
    counting = {s.key for s in plan.values() if accepted_note(s.drift)}
    return [Standing(a, a.key in counting, a.stage_from(project.place.inside) is not None) for a in found]


def _nothing_accepted(project: Project, stage: str, known: list[str]) -> UsageError:
    """The same action may count in two Sparkfiles, and is taken back where it was accepted."""
    key = project.plan(stage)[stage].key
    other = project.acceptances.get(key) if key is not None else None
    fix = f"there are {', '.join(known)}" if known else "spark plan"
    if other is not None:
        folder = os.path.relpath(os.path.join(project.place.home, other.place or ""), project.root)
        fix = f"the same action was accepted there: spark -C {folder} accept --revoke {typed(other.stage)}"
    return UsageError(f"nothing of {stage} was accepted", fix=fix)


def _one_line(reason: str) -> str:
    told = " ".join(reason.split())
    if not told:
        raise UsageError("an acceptance needs a reason", fix="--reason 'only comments changed in clean.py'")
    if len(told) > LONGEST_REASON:
        raise UsageError(
            f"the reason has {len(told)} characters, at most {LONGEST_REASON} are shown in plans",
            fix="say it shorter",
        )
    return told


def _stage_named(project: Project, text: str) -> str:
    address = project.resolve(text)
    if address.kind == "deployment":
        raise UsageError(
            f"'{text}' is a deployment, which has no result to accept", fix="accept a stage of its model"
        )
    if address.tag is not None:
        raise UsageError(f"'{text}' is a tagged result, which stays as it is", fix="name a stage of today's")
    if address.stage is None:
        own = project.graph.of_target(address.target)
        raise UsageError(f"'{text}' is no stage", fix=f"name one: {', '.join(own)}")
    return str(address)


def _refuse_what_is_not_to_run(planned: StagePlan) -> None:
    if (note := accepted_note(planned.drift)) is not None:
        raise UsageError(
            f"{planned.stage}: {note}; it counts already", fix=f"spark why {typed(planned.stage)}"
        )
    if planned.state in ("fresh", "restore"):
        raise UsageError(
            f"{planned.stage} is {planned.state}: there is nothing to accept",
            fix="spark plan shows what is to run",
        )
    if planned.state == "maybe":
        waits_for = [r.name for r in planned.reasons if r.kind == "upstream"]
        raise UsageError(
            f"{planned.stage} waits for {', '.join(waits_for) or 'others'}, whose result decides its key",
            fix=f"spark build {typed(waits_for[0])}, or accept that one" if waits_for else "spark plan",
        )


def _record_of(project: Project, stage: str, build: str | None) -> Record:
    keys = project.journal.keys(stage) if build is None else [_key_in(project, stage, build)]
    record = next((r for key in keys if (r := project.records.get(key)) is not None), None)
    if record is None:
        raise UsageError(
            f"{stage} was never built: there is no result to accept", fix=f"spark build {typed(stage)}"
        )
    if project.local_store.hold([record]) or project.objects.missing(record.output):
        raise SparkError(
            f"{stage}: the result {record.output[:12]} of {record.started[:10]} is not in the store",
            fix=f"spark build {typed(stage)}; --from BUILD takes another one",
        )
    return record


def _key_in(project: Project, stage: str, build: str) -> Digest:
    entry = project.journal.find(build)
    told = entry.stages.get(stage, {}).get("key")
    if told is None:
        raise UsageError(
            f"the build {entry.id} has no result of {stage}", fix="spark runs lists the builds that there are"
        )
    return str(told)


def _note_in_journal(project: Project, acceptance: Acceptance) -> None:
    """`spark runs` tells of it, and causes are counted from the result that was accepted."""
    told = {"key": acceptance.record, "outcome": "accepted", "seconds": 0.0, "accepted": acceptance.note}
    project.journal.write(
        BuildEntry(
            build_id(time.time()),
            acceptance.at,
            0.0,
            f"spark accept {acceptance.stage}",
            0,
            stages={acceptance.stage: told},
        )
    )


def _git_user(project: Project) -> str | None:
    """`user.name` of git: what commits say anyway. No address, no login, no host."""
    try:
        done = subprocess.run(
            ["git", "config", "user.name"], cwd=project.root, capture_output=True, text=True, check=False
        )
    except OSError:  # no git here
        return None
    return " ".join(done.stdout.split()) or None
