"""Deployments: brought into the state that the file asks for, not built."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.core.digest import digest_json
from spark_build.core.errors import SparkError
from spark_build.engine.explain import Reason
from spark_build.engine.graph import absolute_impl
from spark_build.engine.plan import Plan, StagePlan
from spark_build.serving import runtime

if TYPE_CHECKING:
    from spark_build.engine.build import Listener
    from spark_build.engine.results import BuildResult

HOST = "127.0.0.1"
READY_WITHIN_SECONDS = 300.0


def folder_of(project: Project) -> Path:
    return project.store / "deployments" / project.place.inside


def deployment_plan(project: Project, name: str, plan: Plan) -> StagePlan:
    """`fresh` when what runs is what the file asks for, else `run` with kind `runtime`."""
    stage, declared = f"deployment:{name}/serve", project.graph.deployments[name]
    digest = _model_digest(declared, plan)
    if digest is None:
        return StagePlan(stage, "maybe", reasons=(Reason("upstream", declared["stage"]),))
    reason = runtime.needs_change(folder_of(project), _wanted(project, name, Path(), digest))
    if reason is None:
        return StagePlan(stage, "fresh", output=digest)
    return StagePlan(stage, "run", reasons=(Reason("runtime", name, new=reason, at=declared["at"]),))


def reconcile(project: Project, name: str, result: "BuildResult", listener: "Listener") -> None:
    """Starts, replaces or leaves the server as it is; its outcome joins the result."""
    from spark_build.engine.results import StageResult

    stage, declared = f"deployment:{name}/serve", project.graph.deployments[name]
    began = time.monotonic()
    if not _may_serve(declared, result):
        told = StageResult(stage, "skipped", at=declared["at"])
    else:
        try:
            changed = _bring_up(project, name, declared, result, listener)
            told = StageResult(stage, "ran" if changed else "fresh", time.monotonic() - began)
        except SparkError as error:
            seconds = time.monotonic() - began
            told = StageResult(
                stage, "failed", seconds, error=error.message, fix=error.fix, at=declared["at"]
            )
    result.results[stage] = told
    listener.finished(told)


def _may_serve(declared: dict[str, Any] | Any, result: "BuildResult") -> bool:
    blocked = {unmet.stage for unmet in result.unmet}
    before = [*([declared["stage"]] if declared["stage"] else []), *declared["guards"]]
    return all(
        s in result.results and result.results[s].record is not None and s not in blocked for s in before
    )


def _bring_up(
    project: Project, name: str, declared: Any, result: "BuildResult", listener: "Listener"
) -> bool:
    from spark_build.app.results import view

    if declared["artifact"]:
        output, parts = declared["artifact"], declared["artifact_parts"]
    else:
        record = result.results[declared["stage"]].record
        assert record is not None
        output, parts = record.output, record.parts
    digest = str(parts["model/"])
    if runtime.needs_change(folder_of(project), _wanted(project, name, Path(), digest)) is None:
        return False
    if declared["artifact"]:
        from spark_build.app.importing import bring_pinned

        bring_pinned(project, output, project.objects)
    wanted = _wanted(project, name, view(project, output) / "model", digest)
    stage = f"deployment:{name}/serve"
    listener.started(stage, None)
    runtime.up(
        folder_of(project),
        wanted,
        timeout_seconds=READY_WITHIN_SECONDS,
        on_event=lambda text: listener.event(stage, {"event": "log", "text": text}),
    )
    return True


def _model_digest(declared: Any, plan: Plan) -> str | None:
    if declared["artifact"]:
        return str(declared["artifact_parts"]["model/"])
    found = plan[declared["stage"]]
    return found.record.parts.get("model/") if found.record is not None and found.state == "fresh" else None


def _wanted(project: Project, name: str, model: Path, digest: str) -> runtime.Wanted:
    declared = project.graph.deployments[name]
    code = {path: project.world.file(path) for path in declared["code"]}
    settings = digest_json([declared["rule"], declared["revision"], code, declared["params"]])
    port = int(declared["values"].get("port", 8000))
    impl = absolute_impl(declared["impl"], project.root)
    return runtime.Wanted(name, impl, dict(declared["values"]), model, digest, settings, HOST, port)
