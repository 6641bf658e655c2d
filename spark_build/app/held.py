"""What the results of a dataset, and of those made of it, hold of certain records: rows, shards, blobs."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from spark_build.app import Project
from spark_build.contract.media import content_of, is_reference
from spark_build.contract.rows import RESERVED_COLUMNS
from spark_build.core.address import stage_name, target_of
from spark_build.core.digest import Digest
from spark_build.core.errors import StoreDamaged
from spark_build.core.forgotten import REASON
from spark_build.core.record import Record
from spark_build.core.tree import Entry, Tree
from spark_build.core.values import Struct
from spark_build.sources._rows import record_of
from spark_build.stages.ids import ID_DIGITS, content_id

_SUFFIX, _REJECTED = ".parquet", "rejected/"
_STAGES = ("ingest", "filter", "version")
_HEX_DIGITS = frozenset("0123456789abcdef")


class Result(Struct, frozen=True, dict=True):
    """One result of a stage, as far as it is in the store."""

    record: Record
    stage: str  # as today's Sparkfile calls it
    tree: Tree
    only_compares: bool = False  # its items with ours: what it rejects may name one that it matched

    @property
    def target(self) -> str:
        return target_of(self.stage)

    @property
    def shards(self) -> Iterator[Entry]:
        part = _REJECTED if self.only_compares else ""
        return (e for e in self.tree if e.path.endswith(_SUFFIX) and e.path.startswith(part))

    @property
    def is_ingest(self) -> bool:
        return stage_name(self.stage) == "ingest"

    @property
    def has_whole_records(self) -> bool:
        """Whether its rows are the records as they were read."""
        return self.is_ingest and len(self.record.manifest["steps"]) == 1

    @property
    def holds_references(self) -> bool:
        """Whether rows refer to media, which a version holds itself."""
        return stage_name(self.stage) in ("ingest", "filter")


class Known(Struct, frozen=True):
    """A record as rows name it."""

    name: str  # its id before transforms made items of it
    source: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Known":
        return cls(record_of(str(row["id"])), str(row["source"]))

    def is_in(self, row: "Known") -> bool:
        """Whether a row is of this record: a mix puts the dataset's name before what it comes from."""
        return row.name == self.name and f"/{row.source}".endswith(f"/{self.source}")


class Held(Struct, dict=True):
    """The results of a dataset, and of those made of it, that this store has."""

    project: Project
    dataset: str

    @cached_property
    def targets(self) -> set[str]:
        """The dataset, and those of the file that are made of it, through however many."""
        targets = {self.dataset}
        for node in self.project.graph.nodes.values():  # in topological order
            if node.kind == "ingest" and any(target_of(stage) in targets for stage in node.upstream()):
                targets.add(node.target)
        return targets

    @cached_property
    def results(self) -> list[Result]:
        """Those of ingests first, as shards may go through all stages; of each stage the newest first."""
        comparing, found = self._comparing, []
        for record in self._records:
            stages = self._stages_of(record)
            stage = next((s for s in stages if target_of(s) in self.targets), None)
            other = next((s for s in stages if target_of(s) in comparing), None)
            if (named := stage or other) is not None and (tree := self._tree(record)) is not None:
                found.append(Result(record, named, tree, only_compares=stage is None))
        return sorted(found, key=lambda result: _STAGES.index(stage_name(result.stage)))

    def own(self) -> Iterator[Result]:
        """Those of the dataset itself."""
        return (result for result in self.results if result.target == self.dataset)

    @property
    def _comparing(self) -> set[str]:
        """Datasets whose gates hold their items against these."""
        nodes = self.project.graph.nodes.values()
        filters = (node for node in nodes if node.kind == "filter" and node.target not in self.targets)
        return {n.target for n in filters if any(target_of(s) in self.targets for s in n.upstream())}

    @cached_property
    def others(self) -> list[tuple[str, Tree]]:
        """Results of all other targets that the Sparkfile has, where nothing of them is gone."""
        known = set(self.project.graph.targets())
        found = []
        for record in self._records:
            for target in dict.fromkeys(target_of(stage) for stage in self._stages_of(record)):
                is_other = target in known and target not in self.targets
                if is_other and (tree := self._tree(record)) is not None and self._is_whole(tree):
                    found.append((target, tree))
        return found

    @cached_property
    def lacks_something(self) -> bool:
        """Whether some of the results are not whole, so that not every item is found in them."""
        return not all(self._is_whole(result.tree) for result in self.results)

    def _is_whole(self, tree: Tree) -> bool:
        return all(os.path.lexists(self.path(entry.digest)) for entry in tree)

    @cached_property
    def _records(self) -> list[Record]:
        return sorted(self.project.records.all(), key=lambda r: (r.started, r.key), reverse=True)

    def _stages_of(self, record: Record) -> list[str]:
        """A result may be that of several stages which do the same."""
        return [record.stage, *self._stages_by_key.get(record.key, ())]

    @cached_property
    def _stages_by_key(self) -> dict[Digest, list[str]]:
        stages: dict[Digest, list[str]] = {}
        for stage in self.project.graph.nodes:
            for key in self.project.journal.keys(stage):
                stages.setdefault(key, []).append(stage)
        return stages

    def _tree(self, record: Record) -> Tree | None:
        try:
            return self.project.objects.tree(record.output)
        except (KeyError, StoreDamaged):
            return None

    # rows

    def names_of(self, shard: Entry) -> list[dict[str, Any]]:
        """Of a shard's rows what names them, unless they say of a forgotten item that it was left out.

        [] where it is not here, or can't be read.
        """
        is_rejected = shard.path.startswith(_REJECTED)
        rows = self._read(shard.digest, ["id", "source", *(["reason", "matched"] if is_rejected else [])])
        return [row for row in rows if row.get("reason") != REASON]

    def rows_of(self, digest: Digest) -> list[dict[str, Any]]:
        """All of a shard's rows, as the stage that wrote them had them."""
        from spark_build.contract.shards import rows_of

        rows: list[dict[str, Any]] = self._read(digest, None, rows_of)
        return rows

    def _read(
        self, digest: Digest, columns: list[str] | None, rows: Callable[[Any], Any] | None = None
    ) -> list[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path(digest)) as file:
                table = file.read(columns=columns, use_threads=False)
        except (OSError, pa.ArrowException):  # not here, or damaged
            return []
        found: list[Any] = rows(table) if rows is not None else table.to_pylist()
        return found

    def path(self, digest: Digest) -> Path:
        return Path(self.project.objects.path(digest))


def fields_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in RESERVED_COLUMNS}


def without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A shard has a null where the record has no such field."""
    return {name: value for name, value in fields.items() if value is not None}


def content_of_row(row: Mapping[str, Any]) -> str:
    """The id that the row would have by its content."""
    return content_id({name: content_of(value) for name, value in without_nothing(fields_of(row)).items()})


def is_content_id(name: str) -> bool:
    """Whether an id looks as if it was made of its item's content."""
    return len(name) == ID_DIGITS and set(name) <= _HEX_DIGITS


def blobs_in(fields: Mapping[str, Any]) -> Iterator[Digest]:
    """The digests of the media that these fields are: what stands deeper in a user's JSON refers to nothing."""
    found = (str(value.get("digest")) for value in fields.values() if is_reference(value))
    return (digest for digest in found if len(digest) == 64 and set(digest) <= _HEX_DIGITS)


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list) and not is_reference(value):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(inner)


def parts_with(tree: Tree, digests: Collection[Digest]) -> Iterable[Digest]:
    """Digests of the tree's parts that hold one of these objects."""
    return [d for part, d in tree.parts().items() if any(e.digest in digests for e in tree.select(part))]
