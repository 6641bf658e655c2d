"""`spark show`: a model with all that is known of it, a dataset's rows, an item's way."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract.items import FLAGS, flags_in
from spark_build.contract.rows import DatasetFolder
from spark_build.contract.shards import told_rows, without_bytes
from spark_build.core.errors import UsageError
from spark_build.report.tables import table
from spark_build.report.words import count, duration, figure, is_set, moment, printable, short, size, value

if TYPE_CHECKING:
    from spark_build.core.record import Record

_LONGEST_CELL = 400


def model_text(
    address: str,
    records: Sequence["Record"],
    *,
    tags: Sequence[str] = (),
    accepted: Mapping[str, str] | None = None,
) -> str:
    """A target's stages as their Records tell them: params, inputs, figures, digests, size, when."""
    if not records:
        return f"{address} is not built yet"
    head = f"{address}{'  tags: ' + ', '.join(tags) if tags else ''}"
    told = [head, *accepted_lines(accepted or {})]
    return "\n\n".join(["\n".join(told), *("\n".join(_stage_lines(record)) for record in records)])


def accepted_lines(accepted: Mapping[str, str]) -> list[str]:
    """What was accepted rather than built, by stage."""
    return [f"{printable(stage)}: {printable(note)}" for stage, note in accepted.items()]


def _stage_lines(record: "Record") -> Iterator[str]:
    yield printable(record.stage)
    yield f"  built    {moment(record.started)}, took {duration(record.seconds)}"
    yield f"  output   {short(record.output)}, {size(record.size)}"
    for name, digest in sorted(record.parts.items()):
        yield f"    {printable(name)} {short(digest)}"
    for step in record.manifest.get("steps", []):
        yield f"  rule     {printable(step['rule'])}" + (
            f" revision {step['revision']}" if "revision" in step else ""
        )
        params = step.get("params", {})
        yield from (
            f"    {printable(n)}: {value(given)}" for n, given in sorted(params.items()) if is_set(given)
        )
        if unset := [name for name, given in sorted(params.items()) if not is_set(given)]:
            yield f"    unset: {', '.join(map(printable, unset))}"
    for name, given in _inputs(record.manifest):
        yield f"  input    {printable(name)}: {given}"
    for name, number in sorted(record.metrics.items()):
        yield f"  figure   {printable(name)} {figure(number)}"
    for name, given in sorted(record.notes.items()):
        yield f"  note     {printable(name)}: {_shortened(value(given), 120)}"


def _inputs(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    groups = [manifest.get("inputs", {}), *(step.get("inputs", {}) for step in manifest.get("steps", []))]
    for name, given in ((n, g) for group in groups for n, g in sorted(group.items())):
        if isinstance(given, Mapping):
            parts = (f"{part} {short(d) if d else 'absent'}" for part, d in sorted(given.items()))
            yield name, ", ".join(map(printable, parts))
        else:
            yield name, short(str(given))


def dataset_text(
    folder: Path,
    *,
    split: str | None = None,
    rejected: bool = False,
    limit: int = 10,
    width: int | None = None,
) -> str:
    """Rows of a dataset's folder, or of what was rejected, after a line that counts them all."""
    counts = split_counts(folder)
    rows = dataset_rows(folder, split=split, rejected=rejected, limit=limit)
    lines = [counts_text(counts), "", _rows_table(rows, width)]
    total = counts.get("rejected", 0) if rejected else _rows_in(counts, split)
    if total > len(rows):
        lines += ["", f"{len(rows)} of {total} shown; --limit N shows more"]
    return "\n".join(lines)


def counts_text(counts: Mapping[str, int]) -> str:
    splits = [f"{split} {n}" for split, n in counts.items() if split != "rejected"]
    return (
        f"{count(_rows_in(counts, None), 'row')} ({', '.join(splits)}); {counts.get('rejected', 0)} rejected"
    )


def _rows_in(counts: Mapping[str, int], split: str | None) -> int:
    return counts[split] if split is not None else sum(n for s, n in counts.items() if s != "rejected")


def split_counts(folder: Path) -> dict[str, int]:
    """Rows per split, and `rejected`; from the shards' footers alone."""
    import pyarrow.parquet as pq

    dataset = DatasetFolder(folder)
    shards = {split: dataset.rows(split).shards for split in dataset.splits}
    shards["rejected"] = tuple(_rejected_shards(folder))
    return {name: sum(pq.read_metadata(shard).num_rows for shard in files) for name, files in shards.items()}


def dataset_rows(
    folder: Path, *, split: str | None = None, rejected: bool = False, limit: int = 10
) -> list[dict[str, Any]]:
    """The first rows, in canonical order; only the shards that they stand in are read.

    Errors: BadInput where there is no such split.
    """
    dataset = DatasetFolder(folder)
    splits = dataset.splits if split is None else (split,)
    shards = (
        _rejected_shards(folder) if rejected else [s for name in splits for s in dataset.rows(name).shards]
    )
    return list(islice(_rows_of(shards), limit))


def _rejected_shards(folder: Path) -> list[Path]:
    return sorted((folder / "rejected").glob("*.parquet"))


def _rows_of(shards: Iterable[Path], columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for shard in shards:
        with pq.ParquetFile(shard) as file:
            known = columns or without_bytes(file.schema_arrow)
            for batch in file.iter_batches(batch_size=64, columns=known):
                yield from told_rows(batch)


def _rows_table(rows: Sequence[Mapping[str, Any]], width: int | None) -> str:
    if not rows:
        return "no rows"
    names = [n for n in rows[0] if n != "meta" and any(row.get(n) not in (None, "") for row in rows)]
    cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
    return table(names, cells, width)


def _cell(name: str, given: Any) -> str:
    if given is None:
        return ""
    text = short(given) if name in ("id", "matched") and isinstance(given, str) else ""
    if isinstance(given, Mapping) and "digest" in given:
        text = _media_cell(given)
    if not text:
        text = figure(given) if isinstance(given, int | float) and given == given else value(given)
    return _shortened(text, _LONGEST_CELL)


def _media_cell(known: Mapping[str, Any]) -> str:
    """`photos/a.jpg: JPEG, 640 x 480, 81 KB`"""
    told = [str(known[name]) for name in ("format", "video_codec", "audio_codec") if name in known]
    if "width" in known:
        told.append(f"{known['width']} x {known['height']}")
    if "duration" in known:
        told.append(f"{known['duration']:.4g} s")
    return f"{printable(known['path'])}: {', '.join([*told, size(known['bytes'])])}"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def item_text(folder: Path, item: str) -> str:
    """What became of an item (by id, its beginning, or its source): its split, or who rejected it and why.

    Errors: UsageError where nothing matches.
    """
    rows = item_rows(folder, item)
    return "\n".join(printable(_kept(row) if "split" in row else _rejection(row)) for row in rows)


def item_rows(folder: Path, item: str) -> list[dict[str, Any]]:
    """The same as data: source, id and split, or gate, reason, score, threshold and what it was like.

    Errors: UsageError where nothing matches.
    """
    dataset = DatasetFolder(folder)
    kept = [
        {"source": row["source"], "id": row["id"], "split": split, **_flags(row)}
        for split in dataset.splits
        for row in _rows_of(dataset.rows(split).shards, ["id", "source", "meta"])
        if _is_meant(row, item)
    ]
    gone = [
        {name: row.get(name) for name in _TOLD_OF_REJECTED}
        for row in _rows_of(_rejected_shards(folder))
        if _is_meant(row, item)
    ]
    if not kept and not gone:
        raise UsageError(
            f"no item '{item}' came into the dataset", fix="an id, the beginning of one, or a file"
        )
    return [*kept, *gone]


_TOLD_OF_REJECTED = ("source", "id", "gate", "reason", "score", "threshold", "matched", "detail")


def _flags(row: Mapping[str, Any]) -> dict[str, Any]:
    flags = flags_in(json.loads(row["meta"])) if FLAGS in (row["meta"] or "") else []
    return {FLAGS: flags} if flags else {}


def _kept(row: Mapping[str, Any]) -> str:
    kept = f"{row['source']}  {short(row['id'])}  kept, in split {row['split']}"
    return "; ".join([kept, *(f"flagged by {_finding(flag)}" for flag in row.get(FLAGS, ()))])


def _is_meant(row: Mapping[str, Any], item: str) -> bool:
    has_id = len(item) >= 6 and str(row.get("id") or "").startswith(item)
    return has_id or row.get("id") == item or row.get("source") == item


def _rejection(row: Mapping[str, Any]) -> str:
    return f"{row['source']}  {short(row['id'])}  rejected by {_finding(row)}"


def _finding(row: Mapping[str, Any]) -> str:
    """What a gate found: 'near-dup: near_duplicate, score 0.93, threshold 0.9, like 3f2a…'."""
    facts = [f"{row['gate']}: {row['reason']}"]
    if row.get("score") is not None:
        facts.append(f"score {figure(row['score'])}")
    if row.get("threshold") is not None:
        facts.append(f"threshold {figure(row['threshold'])}")
    if row.get("matched"):
        facts.append(f"like {short(row['matched'])}")
    if row.get("detail"):
        facts.append(_shortened(str(row["detail"]), 120))
    return ", ".join(facts)
