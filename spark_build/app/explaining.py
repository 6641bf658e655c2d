"""`spark why`: a stage's state, the chain of causes behind it, why it ran last; where it must, from Records alone."""

from spark_build.app import Project
from spark_build.core.acceptance import accepted_note
from spark_build.core.errors import SparkError
from spark_build.engine.chain import Chains, Link, Past
from spark_build.engine.plan import Plan, StagePlan
from spark_build.report.why import Why


def why(project: Project, text: str) -> Why:
    """Errors: UsageError where the Sparkfile is wrong, or `text` names no stage."""
    project.look_again()
    without_data(project)
    stage = project.main_stage(text)
    plan, problem = _plan(project, stage)
    planned = plan[stage] if plan is not None else None
    past = Past(project.records, project.journal)
    chains = Chains(project.graph, project.objects, past, plan, project.world if plan is not None else None)
    record = planned.record if planned is not None and planned.record is not None else past.last(stage)
    return Why(
        stage,
        planned,
        problem,
        _chain(chains, planned),
        chains.of_record(stage, record) if record is not None else None,
        record,
        _builds(project),
    )


def _chain(chains: Chains, planned: StagePlan | None) -> Link | None:
    if planned is None:
        return None
    if planned.state in ("run", "maybe"):
        return chains.of_plan(planned.stage)
    if accepted_note(planned.drift) is not None and planned.record is not None:
        return chains.of_accepted(planned, planned.record)
    return None


def without_data(project: Project) -> None:
    """A graph also where what the lock pins does not lie in the checkout."""
    try:
        _ = project.graph
    except SparkError:
        from spark_build.app.locking import graph_by_lock

        project.__dict__["graph"] = graph_by_lock(project)


def _plan(project: Project, stage: str) -> tuple[Plan | None, str | None]:
    try:
        plan = project.planner().plan([stage])
    except SparkError as error:  # a source that is not here
        return None, error.message
    project.state.flush()
    return plan, None


def _builds(project: Project) -> dict[tuple[str, str], str]:
    """Which build made what: the last one in which a key ran."""
    made: dict[tuple[str, str], str] = {}
    for entry in reversed(project.journal.entries()):
        for stage, told in entry.stages.items():
            if told["outcome"] == "ran" and told["key"]:
                made[stage, told["key"]] = entry.id
    return made
