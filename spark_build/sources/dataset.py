"""Another dataset of the file: `source: dataset:calls`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from spark_build.contract import Bad, Context, DatasetRef, Needs, Project, Raw, RuleParams, Source, SourceFile
from spark_build.contract.params import Field
from spark_build.contract.rows import DatasetFolder
from spark_build.core.errors import BadInput
from spark_build.sources._rows import read_shard

EVERY_SPLIT = ("*",)


class Params(RuleParams):
    dataset: DatasetRef = Field(description="dataset:NAME, of this file, an included or an imported one.")
    splits: list[str] | str | None = Field(None, description="Only these splits; by default all of them.")

    synonyms: ClassVar[Mapping[str, str]] = {"name": "dataset", "from": "dataset", "split": "splits"}


class Dataset(Source):
    """Its items as its gates left them, with ids, splits and fields. A change of its card or tag wakes nobody."""

    Params = Params
    revision = 1
    inputs_are_for_fetch = True
    unread = ("splits",)
    is_remembered = False

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return Needs(rows={"dataset": params.dataset}, reads=_splits(params) or EVERY_SPLIT)

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        return {}  # which splits are read is told by the parts of the input

    def fetch(self, context: Context) -> Path:
        found = DatasetFolder(context.inputs["dataset"]).splits
        if missing := [split for split in _splits(self.params) if split not in found]:
            raise BadInput(
                f"{self.params.dataset} has no split '{missing[0]}'",
                fix=f"it has {', '.join(found) or 'none of these'}",
            )
        return context.inputs["dataset"]

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        return read_shard(file)

    def field_types(self) -> Mapping[str, str]:
        return DatasetFolder(self.inputs["dataset"]).fields


def _splits(params: Any) -> tuple[str, ...]:
    named = [params.splits] if isinstance(params.splits, str) else params.splits or []
    return tuple(sorted(set(named)))
