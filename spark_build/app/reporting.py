"""`spark report`: the newest version of a dataset that is here, what it was made from, and the page about it."""

import os
import re
from pathlib import Path

from spark_build.app import Project
from spark_build.app.explaining import without_data
from spark_build.app.lineage import Meant, tagged
from spark_build.app.results import laid_out
from spark_build.app.versions import versions_of
from spark_build.contract.rows import DatasetFolder
from spark_build.core.address import Address, target_of, typed
from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.tree import Tree
from spark_build.core.values import Struct, replace
from spark_build.engine.chain import Past
from spark_build.engine.plan import Plan
from spark_build.report.causes import causes_text
from spark_build.report.dataset.facts import Facts
from spark_build.report.dataset.gathering import MOST_SAMPLES, Asked, Version, gathered
from spark_build.report.dataset.page import MARK, page

_MOST_CAUSES = 5
_ROWS = ("data/", "rejected/")


class Reported(Struct, frozen=True):
    facts: Facts
    path: Path
    size: int


def report(project: Project, text: str, to: Path | None, asked: Asked) -> Reported:
    """Errors: UsageError for anything but a dataset; SparkError where no version of it is here."""
    if asked.samples > MOST_SAMPLES:
        raise UsageError(
            f"--samples {asked.samples}: a page holds {MOST_SAMPLES} of a kind",
            fix=f"--samples {MOST_SAMPLES}",
        )
    version = version_here(project, text)
    path = to if to is not None else Path(f"{_file_name(text)}-report.html")
    _refuse_other_files(path)
    facts, shown = gathered(version, lambda digest: Path(project.objects.path(digest)), asked)
    data = page(facts, shown).encode()
    _write(path, data)
    return Reported(facts, path, len(data))


def version_here(project: Project, text: str) -> Version:
    found, stale = _named(project, text) if Address.parse(text).tag is not None else _newest(project, text)
    rows = _rows(found.project, found.record.output)
    if rows is None:
        raise SparkError(
            f"{text}: {found.record.output[:12]} is not in the store", fix=f"spark build {typed(text)}"
        )
    origins, target = found.lineage, target_of(found.stage)
    ingest = origins.get(f"{target}/ingest")
    return Version(
        target,
        found.record,
        rows,
        _rows(found.project, ingest.output) if ingest is not None else None,
        origins,
        versions_of(found.project, target),
        stale,
    )


def _named(project: Project, text: str) -> tuple[Meant, tuple[str, ...]]:
    """A tag's version, a run's, or a profile's."""
    from spark_build.app.overrides import bare, meant, with_profile

    address = Address.parse(text)
    if isinstance(found := meant(project, address), str):
        return _newest(with_profile(project, found), str(bare(address)))
    named = tagged(project, address)
    return replace(named, stage=_checked(named.stage)), ()


def _newest(project: Project, text: str) -> tuple[Meant, tuple[str, ...]]:
    """The version that counts as things stand; else the last one that was built, with what has moved since."""
    without_data(project)
    stage = _checked(project.main_stage(text))
    plan, stale = _plan(project, stage)
    if plan is not None and not stale and (record := plan[stage].record) is not None:
        known = {planned.stage: planned.record.key for planned in plan.stages if planned.record is not None}
        return Meant(project, stage, record, known), ()
    for record in Past(project.records, project.journal).of(stage):
        if _rows(project, record.output) is not None:
            return Meant(project, stage, record, {}), stale
    raise SparkError(f"no version of {text} is in the store", fix=f"spark build {typed(text)}")


def _plan(project: Project, stage: str) -> tuple[Plan | None, tuple[str, ...]]:
    """And why what was built is not what is asked for; nothing where it is."""
    try:
        plan = project.planner().plan([stage])
    except SparkError as error:  # a source that is not here
        return None, (error.message,)
    return plan, () if plan[stage].state in ("fresh", "restore") else _causes(plan)


def _checked(stage: str) -> str:
    """Errors: UsageError where it is no dataset's version."""
    if not stage.endswith("/version"):
        raise UsageError(f"{stage} is no version of a dataset", fix="spark report dataset:NAME")
    return stage


def _causes(plan: Plan) -> tuple[str, ...]:
    told = [
        f"{planned.stage}: {cause}"
        for planned in plan.stages
        if planned.state == "run"
        for cause in causes_text(planned.reasons, planned.state)
    ]
    more = len(told) - _MOST_CAUSES
    return (*told[:_MOST_CAUSES], *([f"and {more} more"] if more > 0 else []))


def _rows(project: Project, output: Digest) -> DatasetFolder | None:
    """Its shards; media, of which there may be a million, stay where they are. None where one is not in the store."""
    try:
        entries = tuple(e for e in project.objects.tree(output) if e.path.startswith(_ROWS))
        if project.objects.unsound(entry.digest for entry in entries):
            return None
        return DatasetFolder(laid_out(project, Tree(entries)))
    except KeyError:
        return None


def _file_name(text: str) -> str:
    """`calls` of `dataset:calls`; what a file name had better not hold becomes a dash."""
    address = Address.parse(text)
    name = str(replace(address, stage=None)).rpartition("/")[2].removeprefix("dataset:")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "dataset"


def _refuse_other_files(path: Path) -> None:
    """Errors: UsageError where something stands there that is no report."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", fix=f"--to {path / 'report.html'}")
    if path.exists():
        with open(path, "rb") as file:
            if MARK.encode() not in file.read(1000):
                raise UsageError(f"{path} is there already, and no report", fix="name another file with --to")


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)
