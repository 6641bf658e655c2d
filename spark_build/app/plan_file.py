"""Plan files: `plan --out` writes all that makes a plan this plan; `build --plan` does exactly that, or refuses."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.core.digest import Digest, digest_json
from spark_build.core.disk import disk_problems
from spark_build.core.errors import RequirementNotMet, UsageError
from spark_build.core.values import Struct
from spark_build.engine.action import Manifest, manifest_of
from spark_build.engine.explain import Reason, differences
from spark_build.engine.plan import Plan, StagePlan

if TYPE_CHECKING:
    from spark_build.engine.results import BuildResult

FORMAT = "spark plan"
VERSION = 1
MOST_TOLD = 20  # stages that a refusal names
_ANEW = "spark plan --out writes it anew"


class PlanFile(Struct, frozen=True):
    """A plan as it was made: what was asked, and every stage with all that its state rests on."""

    project: str
    file: str
    targets: tuple[str, ...] = ()
    profile: str | None = None
    sets: tuple[str, ...] = ()
    limit: int | None = None
    again: tuple[str, ...] = ()
    is_strict: bool = False
    stages: tuple[Mapping[str, Any], ...] = ()  # of the plan's JSON, with `manifest` and `verdicts`


def write_plan_file(
    path: Path, project: Project, plan: Plan, targets: Sequence[str], again: Sequence[str], is_strict: bool
) -> None:
    """Errors: UsageError where `path` can't be a file. Nothing in it is of this machine."""
    request = {
        "file": os.path.relpath(project.request.file, Path(project.folder).resolve()),
        "targets": list(targets),
        "profile": project.profile,
        "sets": list(project.sets),
        "limit": project.limit,
        "again": list(again),
        "strict": is_strict,
    }
    stages = [{**stage.to_json(), **_rests_on(project, stage)} for stage in plan.stages]
    body = {"format": FORMAT, "version": VERSION, "project": project.graph.project, "request": request}
    body |= {"stages": stages, "summary": plan.summary}
    _replace(path, json.dumps({"digest": digest_json(body), **body}, indent=1, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    """The whole file, or none."""
    if not path.parent.is_dir() or path.is_dir():
        where = path if path.is_dir() else path.parent
        problem = "is a folder" if path.is_dir() else "is no folder"
        raise UsageError(f"{where} {problem}", fix="--out names a file in a folder that is there")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_problems(str(path)):
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def read_plan_file(path: Path) -> PlanFile:
    """Errors: UsageError where it is no plan, another version's, damaged, or edited by hand."""
    body = _parsed(path)
    digest = body.pop("digest", None)
    if digest != digest_json(body):
        raise UsageError(
            f"{path}: the plan does not match its own digest: it was damaged, or edited by hand", fix=_ANEW
        )
    request = body["request"]
    return PlanFile(
        body["project"],
        request["file"],
        tuple(request["targets"]),
        request["profile"],
        tuple(request["sets"]),
        request["limit"],
        tuple(request["again"]),
        request["strict"],
        tuple(body["stages"]),
    )


def refuse_what_moved(planned: PlanFile, project: Project, plan: Plan) -> None:
    """Errors: RequirementNotMet, which lists every stage that is no longer as planned, and why."""
    if planned.project != project.graph.project:
        raise UsageError(
            f"the plan is of project '{planned.project}', this is '{project.graph.project}'",
            fix="-C names the folder that it was made in",
        )
    moved = list(_moved(planned, project, plan))
    if moved:
        shown = [
            *moved[:MOST_TOLD],
            *([f"and {len(moved) - MOST_TOLD} more"] if len(moved) > MOST_TOLD else []),
        ]
        lines = "\n".join(f"  {line}" for line in shown)
        raise RequirementNotMet(f"the plan no longer holds, nothing was run:\n{lines}", fix=_ANEW)


def tell_departures(planned: PlanFile, result: "BuildResult") -> None:
    """What others did while the build was under way counts as in any build, and is told."""
    states = {stage["stage"]: stage["state"] for stage in planned.stages}
    for stage, told in result.results.items():
        if states.get(stage) == "run" and told.outcome == "fresh":
            result.warnings.append(f"{stage}: planned to run; another build had its result meanwhile")
        if states.get(stage) == "fresh" and told.outcome == "ran":  # a server that was stopped just now
            result.warnings.append(f"{stage}: planned fresh; it was not so any more when it was its turn")


def _parsed(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path}: no such plan", fix="spark plan --out writes one") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, not a plan", fix="spark plan --out writes one") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is no plan: it holds no JSON", fix=_ANEW) from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        hint = " (`spark plan --json` is for reading; --out writes a plan that can be built)"
        is_json_plan = isinstance(body, dict) and "stages" in body
        raise UsageError(f"{path} is no plan file{hint if is_json_plan else ''}", fix=_ANEW)
    if body.get("version") != VERSION:
        raise UsageError(
            f"{path}: a plan of version {body.get('version')}, this tool reads {VERSION}", fix=_ANEW
        )
    return body


def _rests_on(project: Project, stage: StagePlan) -> dict[str, Any]:
    """What else may not move: of a `maybe`, whose key nobody knows, all but what others give; verdicts of all."""
    node = project.graph.nodes.get(stage.stage)
    if node is None:  # a deployment
        return {"manifest": None, "verdicts": None}
    manifest: Manifest | None = stage.manifest if stage.state == "run" else None
    if stage.state == "maybe":
        manifest = manifest_of(node, project.graph, project.world, None)
    reads = sorted([name, given.stage, *given.parts] for name, given in node.all_inputs() if given.stage)
    requires = [[r.name, r.low, r.high, r.low_open, r.high_open] for r in node.requires]
    return {"manifest": manifest, "verdicts": digest_json([reads, requires, list(node.guards)])}


def _moved(planned: PlanFile, project: Project, plan: Plan) -> Iterator[str]:
    now = {stage.stage: stage for stage in plan.stages}
    then = {stage["stage"]: stage for stage in planned.stages}
    for name, stage in then.items():
        if name not in now:
            yield f"{name}: planned {stage['state']}, and no longer asked for by the Sparkfile"
        elif why := _what_moved(stage, now[name], project):
            yield f"{name}: {why}"
    for name in now.keys() - then.keys():
        yield f"{name}: not in the plan, now {_with_cause(now[name])}"


def _what_moved(then: Mapping[str, Any], now: StagePlan, project: Project) -> str | None:
    if then["state"] != now.state:
        return f"planned {then['state']}, now {_with_cause(now)}"
    rests_on = _rests_on(project, now)
    if then["key"] != now.key or _differ(then["manifest"], rests_on["manifest"]):
        return f"planned {then['state']}, of something else: {_changes(then['manifest'], now, project)}"
    if then["output"] != now.output:
        return f"planned with the result {_short(then['output'])}, now it is {_short(now.output)}"
    if then["verdicts"] != rests_on["verdicts"]:
        return "what it reads, waits for or is required of it has changed"
    return None


def _differ(then: Manifest | None, now: Manifest | None) -> bool:
    return digest_json(then) != digest_json(now)


def _with_cause(now: StagePlan) -> str:
    from spark_build.report.causes import causes_text

    causes = [*now.drift, *causes_text(now.reasons, now.state)]
    if not causes and now.state == "fresh":
        causes = ["its result is there already"]
    return f"{now.state}: {'; '.join(causes)}" if causes else now.state


def _changes(then: Manifest | None, now: StagePlan, project: Project) -> str:
    """From the planned manifest to today's, in the words of a plan's causes."""
    from spark_build.report.causes import causes_text

    node = project.graph.nodes.get(now.stage)
    reasons: Sequence[Reason] = now.reasons
    if node is not None and then is not None:
        current = _rests_on(project, now)["manifest"] or {}
        reasons = differences(then, current, node, project.objects, project.world)
    return "; ".join(causes_text(reasons, now.state)) or "its key is another one"


def _short(digest: Digest | None) -> str:
    return digest[:12] if digest else "none"
