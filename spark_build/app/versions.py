"""The versions that a dataset has had, by the Records of this store, with what each was made from."""

from typing import Any

from spark_build.app import Project
from spark_build.app.lineage import lineage
from spark_build.core.address import tag_of, without_tag
from spark_build.core.record import Record
from spark_build.engine.chain import Past
from spark_build.report.versions import DatasetVersion


def versions_of(project: Project, dataset: str) -> tuple[DatasetVersion, ...]:
    """The newest first; what came out alike is one version, as it was built last."""
    stage, tagged = f"{dataset}/version", _tagged(project, dataset)
    keys = [*project.journal.keys(stage), *(block["key"] for block in tagged.values())]
    records = [r for key in dict.fromkeys(keys) if (r := project.records.get(key)) is not None]
    past, found = Past(project.records, project.journal), dict[str, DatasetVersion]()
    for record in sorted(records, key=lambda r: r.started, reverse=True):
        if record.output not in found:
            tags = tuple(name for name, block in tagged.items() if block["output"] == record.output)
            found[record.output] = _version(project, stage, record, tags, past)
    return tuple(found.values())


def _tagged(project: Project, dataset: str) -> dict[str, Any]:
    names = [name for name in project.lock.names("tags") if without_tag(name) == dataset]
    return {tag_of(name): block for name in names if (block := project.lock.tag(name))}


def _version(
    project: Project, stage: str, record: Record, tags: tuple[str, ...], past: Past
) -> DatasetVersion:
    (step,) = record.manifest["steps"]
    published = record.notes.get("published") or {}
    return DatasetVersion(
        output=record.output,
        built=record.started,
        tag=step["params"].get("tag"),
        tags=tags,
        commit=published.get("commit"),
        repository=published.get("repository"),
        items=record.metrics.get("items"),
        is_here=not project.objects.missing(record.output),
        made_from={name: r.output for name, r in sorted(lineage(project, stage, record, past, {}).items())},
    )
