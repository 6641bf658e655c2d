"""Rows: a dataset's records as a recipe reads them; shards, length, a seeded order, seekable."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import BadInput
from spark_build.core.files import shards_in
from spark_build.core.tree import part_of
from spark_build.core.values import Struct

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

RESERVED_COLUMNS = ("id", "source", "meta")  # beside the dataset's own fields in every shard


class DatasetFolder(Struct, frozen=True, dict=True):
    """A dataset as it lies on disk: `data/<split>-NNNNN.parquet`, `rejected/*.parquet`."""

    path: Path

    @cached_property
    def splits(self) -> tuple[str, ...]:
        names = {part_of(f"data/{f.name}") for f in shards_in(self.path / "data")}
        return tuple(sorted(n.removeprefix("data/").removesuffix("-*") for n in names if n.endswith("-*")))

    @cached_property
    def fields(self) -> dict[str, str]:
        """Field name -> field type, from the first shard: all shards have the same."""
        import pyarrow.parquet as pq

        from spark_build.contract.shards import fields_of

        first = next(iter(shards_in(self.path / "data")), None)
        if first is None:
            raise BadInput("the dataset has no rows", fix="build it first, or look at what its gates reject")
        return fields_of(pq.read_schema(first))

    def counts(self) -> dict[str, int]:
        """Rows of every split, and `rejected`; from the shards' footers alone."""
        import pyarrow.parquet as pq

        def rows(shards: Iterable[Path]) -> int:
            return sum(pq.read_metadata(shard).num_rows for shard in shards)

        counts = {split: rows(self.shards(split)) for split in self.splits}
        return {**counts, "rejected": rows(shards_in(self.path / "rejected"))}

    def rejected(self) -> list[dict[str, Any]]:
        """Rows of `rejected/`: those of ingest, then those of the filter."""
        import pyarrow.parquet as pq

        order = {"ingest": 0, "filter": 1}
        shards = shards_in(self.path / "rejected")
        shards.sort(key=lambda shard: (order.get(shard.name.rpartition("-")[0], 2), shard.name))
        return [row for shard in shards for row in pq.ParquetFile(shard).read().to_pylist()]

    def shards(self, split: str) -> list[Path]:
        return sorted(
            f for f in shards_in(self.path / "data") if part_of(f"data/{f.name}") == f"data/{split}-*"
        )

    def rows(self, split: str) -> "Rows":
        shards = self.shards(split)
        if not shards:
            raise BadInput(
                f"the dataset has no split '{split}'", fix=f"it has {', '.join(self.splits) or 'none'}"
            )
        return Rows(tuple(shards))

    def has(self, split: str) -> bool:
        return split in self.splits


class Rows(Struct, frozen=True, dict=True):
    shards: tuple[Path, ...]

    @cached_property
    def table(self) -> "pa.Table":
        """All shards as one table (memory-mapped where the file system allows)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pa.concat_tables([pq.ParquetFile(s, memory_map=True).read() for s in self.shards])

    @property
    def fields(self) -> dict[str, str]:
        """Field name -> field type, as the dataset declares them."""
        from spark_build.contract.shards import fields_of

        return fields_of(self.table.schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        from spark_build.contract.shards import rows_of

        for batch in self._batches():
            yield from rows_of(batch)

    def _batches(self) -> Iterator["pa.RecordBatch"]:
        """A row group at a time, where not all is in memory anyway."""
        import pyarrow.parquet as pq

        if "table" in self.__dict__:
            yield from self.table.to_batches(max_chunksize=1024)
            return
        for shard in self.shards:
            with pq.ParquetFile(shard, memory_map=True) as file:
                for group in range(file.num_row_groups):
                    yield from file.read_row_group(group, use_threads=False).to_batches(max_chunksize=1024)

    def take(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        import numpy as np

        from spark_build.contract.columns import positions_of
        from spark_build.contract.shards import rows_of

        return rows_of(self.table.take(positions_of(np.asarray(positions, np.int64))))

    def column(self, name: str) -> list[Any]:
        values: list[Any] = self.table[name].to_pylist()
        if name == "meta":
            return [json.loads(value) if value else {} for value in values]
        if self.fields.get(name) == "json":
            return [None if value is None else json.loads(value) for value in values]
        return values

    def order(self, seed: int, epoch: int) -> "np.ndarray[Any, Any]":
        """A permutation of the positions, the same for the same (seed, epoch) on every machine."""
        import numpy as np

        return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(self))


def figures_of(counts: Mapping[str, int]) -> dict[str, float]:
    """A dataset's figures for `require`: items, items.<split>, rejected (a share of all that came in)."""
    kept, rejected = sum(v for k, v in counts.items() if k != "rejected"), counts.get("rejected", 0)
    figures = {f"items.{split}": float(n) for split, n in counts.items() if split != "rejected"}
    return {"items": float(kept), "rejected": rejected / max(1, kept + rejected), **figures}
