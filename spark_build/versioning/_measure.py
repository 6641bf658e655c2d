"""What a dataset's shards hold, measured: rows, lengths, labels, and what was rejected."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.counting import counts_of, read_column, text_of
from spark_build.contract.items import FLAGS, flags_in
from spark_build.contract.media import MEDIA_KINDS
from spark_build.contract.rows import DatasetFolder
from spark_build.contract.shards import fields_of
from spark_build.core.errors import BadInput
from spark_build.core.files import shards_in
from spark_build.core.values import Struct
from spark_build.versioning._facts import FieldFacts, media_facts, spread_of


class Measured(Struct, frozen=True):
    fields: Mapping[str, str]  # type by name
    splits: Mapping[str, int]  # rows by name
    bytes_by_split: Mapping[str, int]  # of the columns, before compression
    shards: Mapping[str, Sequence[str]]  # paths by split
    facts: Mapping[str, FieldFacts]
    rejected: Mapping[tuple[str, str], int]  # rows by (gate, reason)
    flagged: Mapping[tuple[str, str], int]  # likewise, of rows that stayed
    files: Sequence[str]  # of data/ and rejected/

    @property
    def rows(self) -> int:
        return sum(self.splits.values())


def measure(folder: Path) -> Measured:
    """Errors: BadInput where there is no data."""
    import pyarrow.parquet as pq

    dataset = DatasetFolder(folder)
    shards = {split: dataset.rows(split).shards for split in dataset.splits}
    paths = [shard for of_split in shards.values() for shard in of_split]
    if not paths:
        raise BadInput("the dataset has no data", fix="see what rejected it: spark show DATASET --rejected")
    fields = fields_of(pq.read_schema(paths[0]))
    return Measured(
        fields=fields,
        splits={split: sum(pq.read_metadata(s).num_rows for s in of) for split, of in shards.items()},
        bytes_by_split={split: sum(map(_column_bytes, of)) for split, of in shards.items()},
        shards={split: [_relative(s, folder) for s in of] for split, of in shards.items()},
        facts={name: _facts(paths, name, kind) for name, kind in fields.items()},
        rejected=_rejected(folder),
        flagged=_flagged(paths),
        files=sorted(_relative(f, folder) for part in ("data", "rejected") for f in shards_in(folder / part)),
    )


def _column_bytes(shard: Path) -> int:
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(shard)
    return sum(int(metadata.row_group(i).total_byte_size) for i in range(metadata.num_row_groups))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _facts(shards: Sequence[Path], name: str, kind: str) -> FieldFacts:
    if kind in MEDIA_KINDS:
        return media_facts(shards, name, kind)
    import numpy as np

    lengths: dict[str, list[np.ndarray[Any, Any]]] = {}
    labels: Counter[str] = Counter()
    filled = 0
    for column in read_column(shards, name):
        if column.null_count:  # a call that loads pyarrow.compute
            column = column.drop_null()
        filled += len(column)
        if kind == "label":
            labels.update(column.to_pylist())
        for unit, counts in counts_of(column, kind).items():
            lengths.setdefault(unit, []).append(counts)
    spreads = {unit: spread_of(np.concatenate(counts)) for unit, counts in lengths.items()} if filled else {}
    by_frequency = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    return FieldFacts(kind, filled, spreads, dict(by_frequency))


def _rejected(folder: Path) -> dict[tuple[str, str], int]:
    import pyarrow.parquet as pq

    counts: Counter[tuple[str, str]] = Counter()
    for file in shards_in(folder / "rejected"):
        table = pq.ParquetFile(file).read(columns=["gate", "reason"])
        gates, reasons = ([value or "" for value in table[name].to_pylist()] for name in ("gate", "reason"))
        counts.update(zip(gates, reasons, strict=True))
    return dict(sorted(counts.items()))


def _flagged(shards: Sequence[Path]) -> dict[tuple[str, str], int]:
    """Findings of gates with `action: flag`, which stand in the rows' meta."""
    counts: Counter[tuple[str, str]] = Counter()
    for column in read_column(shards, "meta"):
        if FLAGS.encode() in text_of(column)[0].tobytes():  # most datasets have none, and nothing is parsed
            for meta in filter(None, column.to_pylist()):
                counts.update((told["gate"], told["reason"]) for told in flags_in(json.loads(meta)))
    return dict(sorted(counts.items()))
