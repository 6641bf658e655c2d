"""One build from beginning to end: ask, run, judge, write lock and journal."""

from __future__ import annotations  # what they name need not be loaded

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import BuildOptions, Project, check_against_lock, entry_of
from spark_build.app.settling import keep, plan_of, recall, tell_fresh, unmet_in, unmet_of
from spark_build.core.acceptance import accepted_note
from spark_build.core.disk import disk_problem
from spark_build.core.errors import RequirementNotMet, SparkError, UsageError
from spark_build.engine.results import BuildResult, StageResult
from spark_build.engine.states import Plan
from spark_build.pinning import LOCK_NAME
from spark_build.storage.claims import present

if TYPE_CHECKING:
    from spark_build.core.digest import Digest
    from spark_build.core.record import Record
    from spark_build.engine.build import Builder, Leases, Listener
    from spark_build.engine.plan import Planner
    from spark_build.engine.restores import Restorer
    from spark_build.settled import Settled
    from spark_build.storage.local import LocalStore

_SPREAD_AFTER = "SPARK_SPREAD_AFTER_SECONDS"


def run_build(
    project: Project, addresses: Sequence[str], options: BuildOptions, listener: Listener | None
) -> BuildResult:
    """Errors: UsageError before anything ran; RequirementNotMet where `--locked` would change the lock."""
    began = time.time()
    listener = listener or Silent()
    if (settled := _settled(project, addresses, options)) is not None:
        return tell_fresh(plan_of(project, settled), list(unmet_in(settled)), listener)
    asked = project.stages_of(addresses)
    if project.remote is not None:
        from spark_build.app.remoting import keep_records

        keep_records(project)
    planner = project.planner(again=options.again, is_strict=options.is_strict)
    plan = planner.plan(asked)
    if options.planned is not None:
        from spark_build.app.plan_file import refuse_what_moved

        refuse_what_moved(options.planned, project, project.with_deployments(addresses, plan))
    _refuse_surprises(project, plan, options)
    with present(project.local_store.folder):
        result = _result_of(project, addresses, plan, asked, options, listener)
        try:
            _write_down(project, result, options, began)
        except (SparkError, OSError) as error:  # a disk that is full
            if not result.count("failed"):
                raise
            told = disk_problem(error, LOCK_NAME) if isinstance(error, OSError) else error
            result.warnings.append(f"this build is not in the journal: {told.message}")
        else:
            _remember(project, addresses, planner, asked, options, result)
    return result


def _result_of(
    project: Project,
    addresses: Sequence[str],
    plan: Plan,
    asked: Sequence[str],
    options: BuildOptions,
    listener: Listener,
) -> BuildResult:
    if plan.is_done and not plan.summary["restore"] and not _is_taken_away(project, plan):
        result = tell_fresh(plan, unmet_of(project, plan), listener)
    else:
        planner = project.planner(again=options.again, is_strict=options.is_strict)
        result = _run(project, planner, options, listener, asked)
    for name in project.deployments_of(addresses):
        from spark_build.app.deploying import reconcile

        reconcile(project, name, result, listener)
    if options.planned is not None:
        from spark_build.app.plan_file import tell_departures

        tell_departures(options.planned, result)
    return result


def _run(
    project: Project, planner: Planner, options: BuildOptions, listener: Listener, asked: Sequence[str]
) -> BuildResult:
    if project.remote is not None:
        from spark_build.app.remoting import run_with_remote

        return run_with_remote(project, project.remote, planner, options, listener, asked)
    builder = builder_in(project, project.local_store, planner, options, listener)
    try:
        return builder.run(asked)
    finally:
        builder.executor.close()


def _is_taken_away(project: Project, plan: Plan) -> bool:
    """Whether a result has left the store since the plan; what is there stays from now on."""
    return bool(project.local_store.hold(s.record for s in plan.stages if s.record is not None))


def _settled(project: Project, addresses: Sequence[str], options: BuildOptions) -> Settled | None:
    """The plan that a build before this one has left settled, where this one would write nothing."""
    if project.has_moved or options.again or options.is_locked or options.planned is not None:
        return None
    settled = recall(project, addresses, is_strict=options.is_strict)
    return settled if settled is not None and settled.is_written_down else None


def _remember(
    project: Project,
    addresses: Sequence[str],
    planner: Planner,
    asked: Sequence[str],
    options: BuildOptions,
    result: BuildResult,
) -> None:
    is_whole = not (result.is_interrupted or result.count("failed") or result.count("skipped"))
    if options.again or not is_whole or project.lock.holds_others:
        return
    keep(project, addresses, planner, planner.plan(asked), is_strict=options.is_strict, is_written_down=True)
    project.state.flush()


def _refuse_surprises(project: Project, plan: Plan, options: BuildOptions) -> None:
    if options.is_locked:
        if project.request.is_override:
            raise UsageError(
                "--locked goes with neither --profile, --set nor --limit", fix="leave one of them out"
            )
        if project.lock.is_of_conflict:
            raise RequirementNotMet(f"{LOCK_NAME} holds a merge conflict", fix="spark build without --locked")
        check_against_lock(plan, project.lock)
    seconds = sum(s.seconds or 0.0 for s in plan.stages if s.state in ("run", "maybe"))
    if seconds > project.graph.ask_above_seconds and not options.is_confirmed:
        _ask(project, plan, seconds)


def _ask(project: Project, plan: Plan, seconds: float) -> None:
    """Before hours of work, with the cause. Errors: UsageError where nobody says yes."""
    import sys

    from spark_build.report.causes import causes_text
    from spark_build.report.words import duration

    causes = [
        f"  {s.stage}: {causes_text(s.reasons, s.state)[0] if s.reasons else s.state}"
        for s in plan.stages
        if s.state in ("run", "maybe")
    ]
    limit = duration(project.graph.ask_above_seconds)
    head = f"this build is estimated at {duration(seconds)}, above limits.ask_above ({limit}):"
    text = "\n".join([head, *causes[:8]])
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(text, fix="--yes runs it all the same")
    print(text, file=sys.stderr)
    print("go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed; nothing was run", fix="--yes runs it without asking")


def keep_from_git(store: Path) -> None:
    """Wherever a store lies, git leaves it alone."""
    ignored = store / ".gitignore"
    if not ignored.exists():
        with suppress(OSError):  # a store that can't be written is told of where that matters
            store.mkdir(parents=True, exist_ok=True)
            ignored.write_text("*\n")


def builder_in(
    project: Project,
    store: LocalStore,
    planner: Any,
    options: BuildOptions,
    listener: Listener,
    *,
    leases: Leases | None = None,
    restorer: Restorer | None = None,
    recall: Callable[[str], None] | None = None,
    tell_beside: Callable[[], None] = lambda: None,
) -> Builder:
    """What builds into `store`, which need not be the project's own."""
    from spark_build.engine.build import Builder
    from spark_build.engine.jobs import Workshop
    from spark_build.storage.leases import LocalLeases
    from spark_build.storage.world import FileWorld

    def look_again() -> FileWorld:
        return FileWorld(project.root, project.state, project.env)

    def bring(output: Digest) -> None:
        from spark_build.app.importing import bring_pinned

        bring_pinned(project, output, store.objects)

    folder = Path(store.folder)
    keep_from_git(folder)
    cores = len(os.sched_getaffinity(0))
    return Builder(
        project.graph,
        planner,
        Workshop(
            project.root,
            folder,
            store.objects,
            store.records,
            project.world,
            look_again,
            hermetic=project.graph.hermetic,
            libraries_policy=project.graph.libraries_policy,
            publishes=options.publishes,
            bring=bring,
            recall=recall,
        ),
        project.executor(folder),
        LocalLeases(folder) if leases is None else leases,
        listener,
        jobs=options.jobs or cores,
        cores=max(cores, options.jobs),
        gpus=_gpus(),
        restorer=restorer,
        fail_fast=options.fail_fast,
        limit=project.limit,
        spread_after_seconds=_spread_after_seconds(),
        hold=lambda record: not store.hold([record]),
        tell_beside=tell_beside,
    )


def _spread_after_seconds() -> float:
    """As little work as there is in a test goes over several processes where the variable says 0."""
    try:
        return max(0.0, float(os.environ.get(_SPREAD_AFTER, 1.0)))
    except ValueError:
        fix = "a number of seconds, such as 1.0, or leave it unset"
        raise UsageError(f"{_SPREAD_AFTER} is no number", fix=fix) from None


def _gpus() -> int:
    """GPUs of this machine, seen without loading torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([d for d in visible.split(",") if d.strip() and d.strip() != "-1"])
    try:
        return len(os.listdir("/proc/driver/nvidia/gpus"))
    except OSError:
        return 0


def _write_down(project: Project, result: BuildResult, options: BuildOptions, began: float) -> None:
    """Lock, or what the overrides gave, then the journal; neither where nothing is new."""
    ran = any(r.outcome not in ("fresh", "restored") for r in result.results.values())
    records = {stage: r.record for stage, r in result.results.items() if r.record is not None}
    counted = {stage: r for stage, r in records.items() if stage in project.graph.nodes}
    if not project.request.is_override:
        accepted = {s: note for s, r in result.results.items() if (note := accepted_note(r.drift))}
        write_lock(project, counted, accepted, options)
        if project.lock.is_of_conflict:
            result.warnings.append(f"{LOCK_NAME}: the merge conflict is resolved; git add {LOCK_NAME}")
    else:
        from spark_build.app.overrides import note_run

        note_run(project, result)
    if ran or project.journal.has_news({stage: r.key for stage, r in counted.items()}):
        project.journal.write(entry_of(project, result, began, options.command))
    project.state.flush()


def write_lock(
    project: Project, records: Mapping[str, Record], accepted: Mapping[str, str], options: BuildOptions
) -> None:
    lock = project.lock.with_stages(records, project.graph.nodes, accepted)
    if options.is_locked:
        if lock.render() != project.lock.render():
            raise RequirementNotMet(
                f"{LOCK_NAME} would change: another result came out", fix="spark build without --locked"
            )
        return
    project.lock = lock
    project.save_lock()


class Silent:
    """A listener that says nothing."""

    def started(self, stage: str, seconds: float | None) -> None: ...

    def event(self, stage: str, event: Mapping[str, Any]) -> None: ...

    def uploading(self, stage: str, done: int, total: int) -> None: ...

    def waiting(self, stage: str, holder: str) -> None: ...

    def finished(self, result: StageResult) -> None: ...


__all__ = ["Silent", "builder_in", "run_build", "write_lock"]
