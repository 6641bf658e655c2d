"""What `spark diff` is asked to lay side by side: a build, a tag, today's results, the lock of a commit."""

import subprocess
from collections.abc import Mapping

from spark_build.app import Project
from spark_build.app.lineage import lineage, readers
from spark_build.app.overrides import bare, meant, with_profile
from spark_build.core.address import KINDS, Address, kind_of, target_of
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.record import Record
from spark_build.core.values import Struct, replace
from spark_build.engine.action import Manifest
from spark_build.engine.chain import Past
from spark_build.engine.plan import StagePlan
from spark_build.pinning import LOCK_NAME, Lock
from spark_build.report.diff import Result
from spark_build.storage.runs import Run

_FORMS = "a build (`spark runs`; @1 is the last), model:NAME, model:NAME@TAG, a commit, or COMMIT:model:NAME"


class Side(Struct, frozen=True):
    words: str  # 'build 20261126T…', 'model:x@v1', 'the lock of 3f2a1b9'
    results: Mapping[str, Result]  # by stage
    target: str | None = None  # None: all that there are
    stage: str | None = None  # one stage of it was named
    is_today: bool = False


def side_of(project: Project, text: str) -> Side:
    """Errors: UsageError where the text names nothing that has results."""
    past = Past(project.records, project.journal)
    if text.startswith("@"):
        return _build(project, text)
    if (address := _address(project, text)) is not None:
        return _of_address(project, address, past)
    for rev, rest in commit_and_address(text):
        if (commit := commit_of(project, rev)) is not None:
            return _of_commit(project, commit, project.resolve(rest) if rest else None)
    try:
        return _build(project, text)
    except UsageError:
        raise UsageError(f"'{text}' is nothing that has results", fix=_FORMS) from None


def _address(project: Project, text: str) -> Address | None:
    """None where it is something else. A tagged result may be of a target that is no more."""
    try:
        address = Address.parse(text)
        if address.tag is not None and (tagged := _tag_of(project, address)) is not None:
            return tagged
        if address.tag is not None and address.kind is not None:
            return address  # a run's target may be no more as well
        address = project.resolve(text)
    except UsageError:
        if kind_of(text) in KINDS:
            raise  # it is meant as one
        return None
    if address.kind == "deployment":
        raise UsageError(f"'{text}' is a deployment, which has no results", fix="name its model")
    return address


def _tag_of(project: Project, address: Address) -> Address | None:
    kinds = [address.kind] if address.kind else ["dataset", "model"]
    named = (replace(address, kind=kind) for kind in kinds)
    return next((n for n in named if project.lock.tag(f"{n.target}@{n.tag}") is not None), None)


def _of_address(project: Project, address: Address, past: Past) -> Side:
    if address.tag is not None:
        return _tagged(project, address, past)
    plan = project.planner().plan([*project.graph.of_target(address.target), address.main_stage])
    results = {stage.stage: _planned_result(stage) for stage in plan.stages}
    return Side(f"{address} (today)", results, address.target, _named(address), is_today=True)


def _named(address: Address) -> str | None:
    return address.main_stage if address.stage else None


def _planned_result(planned: StagePlan) -> Result:
    if planned.record is not None and planned.state in ("fresh", "restore"):
        return record_result(planned.record, planned.stage)
    return Result(planned.stage, planned.key, None, planned.manifest)


def record_result(record: Record, stage: str) -> Result:
    return Result(
        stage,
        record.key,
        record.output,
        record.manifest,
        record.parts,
        record.metrics,
        record.notes.get("gates", {}),
        record.libraries,
        record.size,
        record.seconds,
        record.started,
        record.told,
    )


def _tagged(project: Project, address: Address, past: Past) -> Side:
    block = meant(project, address)
    if isinstance(block, Run):
        return _of_run(project, block, address)
    if isinstance(block, str):
        side = _of_address(with_profile(project, block), bare(address), past)
        return replace(side, words=f"{address} (today)")
    stage = str(block.get("stage") or address.main_stage)
    record = project.records.get(block["key"])
    if record is None:
        only = Result(stage, block["key"], block["output"], None, block.get("parts", {}))
        return Side(str(address), {stage: only}, address.target, _named(address))
    found = {stage: record_result(record, stage)}
    before = lineage(project, stage, record, past, block.get("before", {}))
    found |= {name: record_result(made, name) for name, made in before.items()}
    found |= _beside(project, stage, record, past)
    return Side(str(address), found, address.target, _named(address))


def _of_run(project: Project, run: Run, address: Address) -> Side:
    """All that a build with overrides gave, as it was built."""
    records = {stage: project.records.get(key) for stage, key in run.stages.items()}
    results = {stage: record_result(record, stage) for stage, record in records.items() if record is not None}
    return Side(str(address), results, address.target, _named(address))


def _beside(project: Project, stage: str, record: Record, past: Past) -> dict[str, Result]:
    """The evaluations and packages of a training: the newest that read just this result."""
    others = [other for other in project.graph.of_target(target_of(stage)) if other != stage]
    found = readers(project, {stage: record}, past, others)
    return {other: record_result(reader, other) for other, reader in found.items()}


def _build(project: Project, text: str) -> Side:
    """All results as they stood after a build: its own, and of stages that it did not ask for the ones before."""
    chosen = project.journal.find(text)
    keys: dict[str, str | None] = {}
    for entry in project.journal.entries():  # the newest first
        if entry.id <= chosen.id:
            for stage, told in entry.stages.items():
                keys.setdefault(stage, told.get("key"))
    records = {stage: project.records.get(key) for stage, key in keys.items() if key}
    results = {stage: record_result(r, stage) for stage, r in records.items() if r is not None}
    return Side(f"build {chosen.id}", results)


def commit_and_address(text: str) -> list[tuple[str, str]]:
    """Every way to read `COMMIT:ADDRESS`, and the whole as a commit."""
    found = [(text, "")]
    for index, character in enumerate(text):
        if character == ":" and 0 < index < len(text) - 1:
            found.append((text[:index], text[index + 1 :]))
    return found


def commit_of(project: Project, rev: str) -> str | None:
    try:
        done = _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    except OSError:  # no git here
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _of_commit(project: Project, commit: str, address: Address | None) -> Side:
    done = _git(project, "show", f"{commit}:./{LOCK_NAME}")
    if done.returncode != 0:
        raise UsageError(
            f"commit {commit[:9]} has no {LOCK_NAME}", fix=f"git log -- {LOCK_NAME} lists those with one"
        )
    lock = Lock.parse(done.stdout, LOCK_NAME)
    results = {stage: _locked(project, lock, stage) for stage in lock.names("stages")}
    words = f"the lock of {commit[:9]}"
    if address is None:
        return Side(words, results)
    if not any(target_of(stage) == address.target for stage in results):
        raise SparkError(f"{words} has no results of {address.target}", fix="name another commit or target")
    return Side(f"{address.target} in {words}", results, address.target, _named(address))


def _locked(project: Project, lock: Lock, stage: str) -> Result:
    """By its Record where the store has that, else as far as the lock tells."""
    block = lock.stage(stage)
    assert block is not None
    record = project.records.get(block.key)
    if record is not None and record.output == block.output:
        return record_result(record, stage)
    node = project.graph.nodes.get(stage)
    manifest: Manifest | None = None
    if block.manifest and node is not None:
        from spark_build.engine.locked import manifest_of_block

        manifest = manifest_of_block(node, block, node.libraries_policy or project.graph.libraries_policy)
    metrics = (lock.get("stages", stage) or {}).get("metrics", {})
    return Result(stage, block.key, block.output, manifest, block.parts, metrics, libraries=block.libraries)


def _git(project: Project, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *words], cwd=project.root, capture_output=True, text=True, check=False)
