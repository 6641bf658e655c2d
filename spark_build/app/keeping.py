"""`spark keep`: what a build with overrides was given goes into the Sparkfile, and what it gave into the lock."""

import os
from contextlib import suppress
from pathlib import Path

from spark_build.app import BuildOptions, Project
from spark_build.app.building import write_lock
from spark_build.app.overrides import bare, meant, rerun_command
from spark_build.core.acceptance import accepted_note
from spark_build.core.address import Address
from spark_build.core.disk import disk_problem
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.values import Struct, replace
from spark_build.engine.plan import Plan
from spark_build.storage.runs import Run
from sparkfile_schema import SparkfileError
from sparkfile_schema.editing import Change, with_kept


class Kept(Struct, frozen=True):
    changes: tuple[Change, ...]
    stages: tuple[str, ...]  # whose results the lock has now


def keep(project: Project, text: str) -> Kept:
    """Writes the values of a run, or of a profile, and leaves all else in the Sparkfile as it stands.

    Errors: UsageError where they can't be written, or would not give that result any more; then nothing
    is written.
    """
    if project.request.is_override:
        raise UsageError("keep takes its values from what it names", fix="leave --profile and --set out")
    address = Address.parse(text)
    if address.tag is None:
        raise UsageError(f"'{text}' names no run", fix=f"spark keep {text}@run-…; spark runs lists them")
    run = _run(project, address)
    _refuse_another_result(project, run, address)
    file = project.request.file
    old = file.read_bytes()
    new, changes = _edited(old, run, file.name)
    _replace(file, new)
    try:
        plan = _plan_now(project, address)
    except BaseException:
        _replace(file, old)
        raise
    records = {s.stage: s.record for s in plan.stages if s.record is not None}
    accepted = {s.stage: note for s in plan.stages if (note := accepted_note(s.drift))}
    write_lock(project, records, accepted, BuildOptions())
    return Kept(tuple(changes), tuple(records))


def _run(project: Project, address: Address) -> Run:
    """What is kept; of a profile what it changes, with no results to compare."""
    found = meant(project, address)
    if isinstance(found, dict):
        raise UsageError(
            f"'{address}' is a tag: it names a result, and holds no values", fix="spark runs lists the runs"
        )
    if isinstance(found, str):
        return Run("", found, (), None, "", {})
    if found.limit is not None:
        raise UsageError(
            f"{address.tag} had --limit {found.limit}, which has no place in a Sparkfile",
            fix=rerun_command(replace(found, limit=None), address),
        )
    return found


def _refuse_another_result(project: Project, run: Run, address: Address) -> None:
    """Errors: UsageError where the Sparkfile, or what it reads, has moved since the run."""
    over = replace(project, profile=run.profile, sets=run.sets, _planners={})
    asked = str(bare(address))
    plan = over.plan(asked)
    over.close()
    stale = next((s for s in plan.stages if s.state not in ("fresh", "restore")), None)
    if stale is None:
        stale = next((s for s in plan.stages if run.stages.get(s.stage, s.key) != s.key), None)
    if stale is not None:
        from spark_build.report.causes import causes_text

        cause = causes_text(stale.reasons, stale.state)[0] if stale.reasons else "another result"
        raise UsageError(
            f"with the values of {address.tag} today's Sparkfile gives another {stale.stage}: {cause}",
            fix=rerun_command(run, address),
        )


def _edited(old: bytes, run: Run, name: str) -> tuple[bytes, list[Change]]:
    text = old.decode("utf-8")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    try:
        new, changes = with_kept(text.removeprefix(mark), name, profile=run.profile, overrides=run.sets)
    except SparkfileError as error:
        raise UsageError(str(error)) from None
    return (mark + new).encode(), changes


def _plan_now(project: Project, address: Address) -> Plan:
    """Errors: SparkError where the Sparkfile as it is written now gives something else after all."""
    plan = project.plan(str(bare(address)))
    if not plan.is_done:
        stale = next(s.stage for s in plan.stages if s.state not in ("fresh", "restore"))
        raise SparkError(f"with these values in the Sparkfile {stale} would run", fix="change it by hand")
    return plan


def _replace(file: Path, content: bytes) -> None:
    """The file whole, or as it was; its mode stays."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        beside.write_bytes(content)
        os.chmod(beside, file.stat().st_mode & 0o7777)
        beside.replace(file)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise disk_problem(error, file.name) from error


__all__ = ["Kept", "keep"]
