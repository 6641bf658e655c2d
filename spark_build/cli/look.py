"""`runs`, `show`, `report`, `log`, `ls`, `status`, `graph`, `doctor`: asking, never changing."""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spark_build.app import Project
from spark_build.cli.build import project_of
from spark_build.core.address import Address, typed
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.record import Record
from spark_build.core.values import asdict, to_builtins
from spark_build.report.paint import is_colored
from spark_build.report.tables import terminal_width

FOLLOW_SECONDS = 0.3


def run_ls(options: argparse.Namespace) -> int:
    from spark_build.app.inspecting import listed
    from spark_build.report.tables import ls_text
    from spark_build.report.versions import versions_text

    results = listed(project_of(options), options.targets)
    if options.json:
        _print_json({"version": 1, "results": [to_builtins(r) for r in results]})
    else:
        width = terminal_width(sys.stdout)
        print(ls_text(results, width))
        for result in (r for r in results if r.versions):
            print(f"\n{versions_text(result.address, result.versions, width)}")
    return 0


def run_runs(options: argparse.Namespace) -> int:
    from spark_build.app.comparing import compared
    from spark_build.app.inspecting import runs
    from spark_build.report.matrix import matrix_text
    from spark_build.report.tables import runs_text

    project = project_of(options)
    found = runs(project, options.target, options.limit)
    members = project.names.all(options.target) if options.target else []
    groups = compared(project, members) if members and members[0].matrix else []
    if options.json:
        told = [{**asdict(run), "changed": [reason.to_json() for reason in run.changed]} for run in found]
        matrix = {"matrix": [group.to_json() for group in groups]} if groups else {}
        _print_json({"version": 1, "runs": told, **matrix})
        return 0
    if groups:
        print(matrix_text(groups, terminal_width(sys.stdout)) + "\n")
    print(runs_text(found, terminal_width(sys.stdout)))
    return 0


def run_status(options: argparse.Namespace) -> int:
    from spark_build.app.inspecting import deployed
    from spark_build.report.tables import status_text

    project = project_of(options)
    plan = project.plan(*options.targets)
    served = deployed(project, plan)
    if options.json:
        _print_json({**plan.to_json(), "deployments": [asdict(d) for d in served]})
    else:
        print(status_text(plan, served, is_colored(sys.stdout), terminal_width(sys.stdout)))
    project.close()
    return 0


def run_show(options: argparse.Namespace) -> int:
    project = project_of(options)
    found = _named(project, options.target)
    if found[0].kind == "dataset":
        return _show_datasets(project, found, options)
    from spark_build.app.inspecting import accepted_of, records_of

    if found[0].kind == "deployment":
        raise UsageError(f"'{options.target}' is a deployment", fix="spark status, spark up, spark down")
    records = {address: records_of(project, address) for address in found}
    if not any(records.values()):
        raise SparkError(
            f"{options.target} is not built as the Sparkfile stands",
            fix=f"spark build {typed(options.target)}",
        )
    if options.json:
        stages = [record.to_json() for own in records.values() for record in own]
        accepted = {stage: note for a in found for stage, note in accepted_of(project, a).items()}
        _print_json({"version": 1, "stages": stages, "accepted": accepted})
    else:
        built = [(address, own) for address, own in records.items() if own]
        print("\n\n".join(_model_text(project, address, own) for address, own in built))
    return 0


def _named(project: Project, text: str) -> list[Address]:
    """What is to be shown; what is named behind an `@` may be no longer in the Sparkfile."""
    address = Address.parse(text)
    return [address] if address.tag and address.kind else project.names.all(text)


def _model_text(project: Project, address: Address, records: list[Record]) -> str:
    from spark_build.app.inspecting import accepted_of, tags_of
    from spark_build.report.shows import model_text

    tags, accepted = tags_of(project, address.target), accepted_of(project, address)
    return model_text(str(address), records, tags=tags, accepted=accepted)


def _show_datasets(project: Project, found: list[Address], options: argparse.Namespace) -> int:
    """Of one its rows; of several each with its address before it."""
    from spark_build.app.inspecting import accepted_of
    from spark_build.app.results import view
    from spark_build.report.shows import dataset_rows

    typed_by = {a: str(a) if len(found) > 1 else options.target for a in found}
    folders = {a: view(project, project.record_of(text).output) for a, text in typed_by.items()}
    for folder in folders.values():
        _refuse_unknown_split(folder, options.split)
    if not options.json:
        for address, folder in folders.items():
            _print_dataset(project, address, folder, options, is_named=len(found) > 1)
        return 0
    rows: list[dict[str, Any]] = []
    accepted: dict[str, str] = {}
    for address, folder in folders.items():
        own = dataset_rows(folder, split=options.split, rejected=options.rejected, limit=options.limit)
        rows += own if len(found) == 1 else [{"dataset": address.target, **row} for row in own]
        accepted |= accepted_of(project, address)
    _print_json({"version": 1, "rows": rows, "accepted": accepted})
    return 0


def _print_dataset(
    project: Project, address: Address, folder: Path, options: argparse.Namespace, *, is_named: bool
) -> None:
    from spark_build.app.inspecting import accepted_of
    from spark_build.report.shows import accepted_lines, dataset_text

    if is_named:
        print(address.target)
    _print_lines(accepted_lines(accepted_of(project, address)))
    text = dataset_text(
        folder,
        split=options.split,
        rejected=options.rejected,
        limit=options.limit,
        width=terminal_width(sys.stdout),
    )
    print(text + ("\n" if is_named else ""))


def _refuse_unknown_split(folder: Path, split: str | None) -> None:
    from spark_build.contract.rows import DatasetFolder

    splits = DatasetFolder(folder).splits
    if split is not None and split not in splits:
        raise UsageError(f"the dataset has no split '{split}'", fix=f"it has {', '.join(splits) or 'none'}")


def run_report(options: argparse.Namespace) -> int:
    from spark_build.app.reporting import report
    from spark_build.report.dataset.gathering import Asked
    from spark_build.report.words import size

    project = project_of(options)
    asked = Asked(options.samples, options.unredacted)
    told = report(project, options.target, Path(options.to) if options.to else None, asked)
    project.close()
    if options.json:
        _print_json({"version": 1, "path": str(told.path), "bytes": told.size, **to_builtins(told.facts)})
        return 0
    print(f"{told.path}: {size(told.size)}")
    if told.facts.stale:
        _print_lines(["not what the Sparkfile asks for today:", *(f"  {line}" for line in told.facts.stale)])
    return 0


def run_log(options: argparse.Namespace) -> int:
    from spark_build.app.inspecting import events_of, is_running
    from spark_build.report.log import EventLines, curve_text, read_events

    project = project_of(options)
    stage = project.main_stage(options.stage)
    events = events_of(project, stage)
    if options.text:
        print(Path(str(events).removesuffix(".events.jsonl") + ".log").read_text(errors="replace"), end="")
        return 0
    if options.json:
        print(events.read_text(errors="replace") if events.exists() else "", end="")
        return 0
    lines, told = EventLines(), 0
    while True:
        alive = options.follow and is_running(project, stage, events)
        found = read_events(events) if events.exists() else []
        _print_lines(lines.lines(found[told:]))
        told = len(found)
        if not alive:
            break
        time.sleep(FOLLOW_SECONDS)
    if not found:
        print(f"{stage} reported nothing; --text shows what its worker printed")
    if curve := curve_text(found):
        print(curve)
    return 0


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def run_graph(options: argparse.Namespace) -> int:
    from spark_build.report.graph import edges_of, graph_text

    project = project_of(options)
    stages = project.graph.closure(project.stages_of(options.targets))
    edges = [edge for edge in edges_of(project.graph) if edge.to in stages]
    rules = {stage: [step.rule for step in project.graph.nodes[stage].steps] for stage in stages}
    if options.json:
        told = [{"from": e.source, "to": e.to, "reads": e.label, "guard": e.is_guard} for e in edges]
        _print_json({"version": 1, "stages": stages, "edges": told})
    else:
        print(graph_text(stages, edges, options.format, rules))
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    from spark_build.app.inspecting import findings
    from spark_build.report.doctor import doctor_json, doctor_text, exit_code

    found = findings(project_of(options))
    if options.json:
        _print_json(doctor_json(found))
    else:
        print(doctor_text(found, is_colored(sys.stdout)))
    return exit_code(found)


def _print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)
