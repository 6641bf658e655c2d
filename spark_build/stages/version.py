"""Version: shards as they are, or with their media; all rejected rows, the versioner's card; then it is published."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.contract.rows import DatasetFolder, figures_of
from spark_build.contract.rules import Versioner
from spark_build.core.errors import SparkError, StageFailed
from spark_build.core.files import shards_in
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Blobs, Services
from spark_build.core.tree import Tree
from spark_build.core.values import Struct, replace
from spark_build.stages.contexts import step_context
from spark_build.stages.loading import failed, load
from spark_build.stages.media import take_media
from spark_build.stages.media_shards import IN_FILES, write_media_shards


def run(job: Job, context: Context, services: Services) -> Outcome:
    """Inputs: `dataset` (of the stage before); `ingest` (its rejected/, where there is a filter)."""
    output = Path(job.output)
    has_media = write_media_shards(context.dataset, output, services.blobs)
    for name in ("dataset", "ingest"):
        if name in context.inputs:
            _lay_out(context.inputs[name], output, with_data=name == "dataset" and not has_media)
    if has_media:
        take_media(job, services.blobs, context.inputs["dataset"], IN_FILES)
    folder = DatasetFolder(output)
    figures = figures_of(folder.counts())
    before = dict(_shard_stats(output))
    versioners = [
        _Use(step, load(job, step, Versioner), _context(context, job, step, figures)) for step in job.steps
    ]
    for use in versioners:
        use.call("writing the version", lambda rule, own: rule.write(own))
    if changed := sorted(set(before.items()) ^ set(_shard_stats(output))):
        raise StageFailed(
            f"the versioner '{job.steps[0].rule}' changed {changed[0][0]}: shards are as the gates left them",
            fix="a versioner writes beside data/ and rejected/ only",
        )
    publishing = [use for use in versioners if job.publishes and use.step.options.get("publishes")]
    files = _files(job, services.blobs) if publishing else {}
    for use in publishing:
        use.call("publishing the version", lambda rule, own: rule.publish(own, files))
    return Outcome(metrics=figures)


class _Use(Struct, frozen=True):
    step: JobStep
    versioner: Versioner
    context: Context

    def call(self, doing: str, what: Callable[[Versioner, Context], None]) -> None:
        try:
            what(self.versioner, self.context)
        except SparkError:
            raise
        except Exception as error:
            raise failed(self.step, doing, error) from error


def _context(context: Context, job: Job, step: JobStep, figures: dict[str, float]) -> Context:
    own = step_context(context, job, step)
    return replace(own, facts={**own.facts, **_facts(job, DatasetFolder(Path(job.output)), figures)})


def _files(job: Job, blobs: Blobs) -> dict[str, Path]:
    """All that the result holds: what lies in its folder, and what it takes from the store."""
    output = Path(job.output)
    own = {p.relative_to(output).as_posix(): p for p in output.rglob("*") if p.is_file()}
    taken = Tree.parse(job.taken.read_bytes()) if job.taken.exists() else ()
    return dict(sorted({**own, **{e.path: blobs.path(e.digest) for e in taken}}.items()))


def _facts(job: Job, folder: DatasetFolder, figures: dict[str, float]) -> dict[str, Any]:
    counts = folder.counts()
    counts.pop("rejected")
    return {
        "card": dict(job.options.get("card") or {}),
        "tag": job.options.get("tag"),
        "fields": folder.fields,
        "splits": counts,
        "gates": list(job.options.get("gates") or dict.fromkeys(row["gate"] for row in folder.rejected())),
        "figures": figures,
    }


def _lay_out(source: Path, output: Path, *, with_data: bool) -> None:
    for part in ("data", "rejected") if with_data else ("rejected",):
        for file in shards_in(source / part):
            target = output / part / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                _link_or_copy(file, target)


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)  # another device, or a file system without links


def _shard_stats(output: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for part in ("data", "rejected"):
        for file in shards_in(output / part):
            stat = file.stat()
            yield file.relative_to(output).as_posix(), (stat.st_size, stat.st_mtime_ns)
