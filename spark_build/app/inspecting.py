"""What there is to see: results, builds, what is served, what the machine lacks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spark_build.app import Project
from spark_build.app.overrides import name_of_options, records_named
from spark_build.app.versions import versions_of
from spark_build.core.acceptance import accepted_note
from spark_build.core.address import Address, stage_name, tag_of, target_of, typed, without_tag
from spark_build.core.errors import SparkError
from spark_build.core.places import SPARK_FOLDER
from spark_build.core.record import Record
from spark_build.core.values import replace
from spark_build.engine.explain import Reason, differences
from spark_build.engine.plan import Plan
from spark_build.engine.told import retold
from spark_build.report.doctor import Finding, PortNeed, RuleNeed, doctor
from spark_build.report.tables import Deployed, Listed, Run
from spark_build.storage.journal import BuildEntry


def listed(project: Project, addresses: Sequence[str]) -> list[Listed]:
    """Every result that counts as the Sparkfile stands, and every tagged one."""
    stages = project.stages_of(addresses)
    plan = project.planner().plan(stages)
    found = []
    for stage in stages:
        record = plan[stage].record
        if record is not None:
            listed_one = _listed(project, _short_address(stage), record, tags=True)
            versions = (
                versions_of(project, target_of(stage)) if addresses and stage_name(stage) == "version" else ()
            )
            found.append(replace(listed_one, accepted=accepted_note(plan[stage].drift), versions=versions))
    wanted = {target_of(stage) for stage in stages}
    for name in project.lock.names("tags"):
        block = project.lock.tag(name)
        record = project.records.get(block["key"]) if block else None
        if record is not None and without_tag(name) in wanted:
            found.append(_listed(project, name, record, tags=False))
    return found


def _listed(project: Project, address: str, record: Record, *, tags: bool) -> Listed:
    is_here = not project.objects.missing(record.output)
    names = tuple(
        tag_of(name)
        for name in project.lock.names("tags")
        if tags and (block := project.lock.tag(name)) and block["output"] == record.output
    )
    return Listed(address, record.output, record.size, record.started, names, record.metrics, is_here)


def _short_address(stage: str) -> str:
    """A target by its name: its training or its version is what it stands for."""
    return stage.removesuffix("/version").removesuffix("/train")


def tags_of(project: Project, target: str) -> list[str]:
    return [tag_of(name) for name in project.lock.names("tags") if without_tag(name) == target]


def accepted_of(project: Project, address: Address) -> dict[str, str]:
    """What of a target, or of one stage, is accepted as things stand: stage -> the note."""
    if address.tag is not None:
        return {}
    stages = _stages_of(project, address)
    plan = project.planner().plan(stages)
    return {s: note for s in stages if (note := accepted_note(plan[s].drift)) is not None}


def records_of(project: Project, address: Address) -> list[Record]:
    """The Records of a target's stages, or of one stage, as things stand, or as a tag, profile or run has them."""
    if address.tag is not None:
        return records_named(project, address)
    stages = _stages_of(project, address)
    plan = project.planner().plan(stages)
    return [record for stage in stages if (record := plan[stage].record) is not None]


def _stages_of(project: Project, address: Address) -> list[str]:
    return [str(address)] if address.stage else project.graph.of_target(address.target)


def runs(project: Project, target: str | None, limit: int) -> list[Run]:
    """The builds of the journal, the newest first, with what had changed since the one before."""
    chosen = {address.target for address in project.names.all(target)} if target else None
    found = []
    for entry in project.journal.entries():
        if chosen is not None and not any(target_of(stage) in chosen for stage in _did(entry)):
            continue
        found.append(_run(project, entry, chosen))
        if len(found) == limit:
            break
    return found


def _did(entry: BuildEntry) -> list[str]:
    """The stages of which a build tells something new."""
    return [stage for stage, told in entry.stages.items() if told["outcome"] in ("ran", "failed", "accepted")]


def _run(project: Project, entry: BuildEntry, targets: set[str] | None) -> Run:
    outcome = {stage: told["outcome"] for stage, told in entry.stages.items()}
    ran = tuple(stage for stage, how in outcome.items() if how == "ran")
    records = {stage: r for stage in ran if (r := _record(project, entry.stages[stage]["key"])) is not None}
    return Run(
        id=entry.id,
        started=entry.started,
        seconds=entry.seconds,
        ran=ran,
        failed=tuple(stage for stage, how in outcome.items() if how == "failed"),
        fresh=sum(how == "fresh" for how in outcome.values()),
        accepted=tuple(f"{s}: {told['accepted']}" for s, told in entry.stages.items() if "accepted" in told),
        changed=tuple(
            reason for stage, record in records.items() for reason in _changes(project, stage, record)
        ),
        metrics={
            stage: record.metrics
            for stage, record in records.items()
            if record.metrics
            and stage_name(stage).startswith("eval")
            and (targets is None or target_of(stage) in targets)
        },
        options=" ".join(entry.overrides),
        run=name_of_options(project, entry.overrides),
        is_interrupted=entry.exit_code == 130,
    )


def _record(project: Project, key: str | None) -> Record | None:
    return project.records.get(key) if key else None


def _changes(project: Project, stage: str, record: Record) -> list[Reason]:
    """What told this build of a stage from the one before it, by their Records."""
    node = project.graph.nodes.get(stage)
    keys = project.journal.keys(stage)
    if node is None or record.key not in keys:
        return []
    before = _record(project, next(iter(keys[keys.index(record.key) + 1 :]), None))
    if before is None:
        return []
    found = differences(before.manifest, record.manifest, node, project.objects)
    found = [reason for reason in found if reason.kind != "upstream"]
    return retold(found, record.told, before.key, keeps_places=False)


def deployed(project: Project, plan: Plan) -> list[Deployed]:
    """Every deployment of the Sparkfile with what runs of it."""
    if not project.graph.deployments:
        return []
    from spark_build.app.deploying import deployment_plan, folder_of
    from spark_build.serving import runtime

    found = []
    for name, declared in project.graph.deployments.items():
        running = runtime.state(folder_of(project), name)
        state = "stopped" if running is None else ("running" if running.healthy else "unhealthy")
        model = _short_address(declared["stage"] or "") or None
        asked = deployment_plan(project, name, _plan_with(project, plan, declared))
        reason = str(asked.reasons[0].new) if asked.state == "run" and asked.reasons else None
        reason = f"waits for {declared['stage']}" if asked.state == "maybe" else reason
        if running is None:
            found.append(Deployed(name, state, model=model, reason=reason))
        else:
            found.append(
                Deployed(name, state, running.url, model, running.model_digest, running.since, reason)
            )
    return found


def _plan_with(project: Project, plan: Plan, declared: Any) -> Plan:
    """`plan`, or one that holds the served model where `plan` was asked about others."""
    if declared["stage"] is None or any(s.stage == declared["stage"] for s in plan.stages):
        return plan
    return project.planner().plan([declared["stage"]])


def events_of(project: Project, stage: str) -> Path:
    """The newest events of a stage: of a run under way or a failed one, else of its Record; no file where it told none.

    Errors: SparkError where it has never run.
    """
    plan = project.planner().plan([stage])[stage]
    keys = [key for key in (plan.key, project.journal.last(stage)) if key is not None]
    logs = project.store / "logs"
    for key in keys:
        found = sorted(logs.glob(f"{key[:16]}-*.log"))
        if found:
            return found[-1].with_suffix(".events.jsonl")
    raise SparkError(f"{stage} has no log: it has not run here", fix=f"spark build {typed(stage)}")


def is_running(project: Project, stage: str, events: Path) -> bool:
    """Whether a build has the stage under way: somebody holds the lease of its action."""
    from spark_build.storage import leases

    prefix = events.name.partition("-")[0]
    for work in (project.store / "work").glob(f"{prefix}*"):
        lease = leases.take(work)
        if lease is None:
            return True
        lease.release()
    return False


def findings(project: Project) -> list[Finding]:
    """What `spark doctor` says; without a Sparkfile, of the machine alone."""
    needs: list[RuleNeed] = []
    ports: list[PortNeed] = []
    remote = None
    if project.request.file.exists():
        project.offline = True  # a remote is one of the findings, no reason to stop
        graph = project.graph
        remote = graph.store.get("remote")
        for stage, node in graph.nodes.items():
            needs += [RuleNeed(stage, s.rule, s.libraries, node.numerics or {}) for s in node.steps]
        ports = _ports(project)
    return doctor(
        Path(project.place.home) / SPARK_FOLDER,
        project.world.library,
        needs=needs,
        ports=ports,
        remote=remote,
    )


def _ports(project: Project) -> list[PortNeed]:
    from spark_build.app.deploying import folder_of
    from spark_build.serving import runtime

    return [
        PortNeed(name, int(port), runtime.state(folder_of(project), name) is not None)
        for name, declared in project.graph.deployments.items()
        if (port := declared["values"].get("port"))
    ]
