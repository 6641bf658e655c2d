"""Where a dataset is made of another one: what of that one is other than before, by where its rows come from."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.rows import DatasetFolder
from spark_build.contract.shards import write_shard
from spark_build.core.digest import Digest
from spark_build.core.values import Struct
from spark_build.stages.previous import OldFolder, digest_of
from spark_build.stages.row_changes import Side, row_changes
from spark_build.stages.splicing import DoesNotFit, Shard


class ChangedRows(Struct, frozen=True):
    sources: Collection[str]  # what any row comes from that came, went or changed
    gone: int  # rows of these before …
    new: int  # … and now
    total: int  # all rows now


def changed_rows(given: Mapping[str, Any], now: DatasetFolder, to: Path) -> ChangedRows:
    """Lays all rows now of the changed sources out in `to`, as a dataset. Errors: DoesNotFit."""
    was = OldFolder(given)
    was.check()  # so that its shards have the digests that are told
    if [*was.fields.items()] != [*now.fields.items()]:
        raise DoesNotFit("other fields")
    names = sorted({*was.dataset.splits, *now.splits})
    then = {
        n: _side(was.dataset, n, [was.files[f"data/{p.name}"] for p in was.dataset.shards(n)]) for n in names
    }
    here = {n: _side(now, n, [*map(digest_of, now.shards(n))]) for n in names}
    come_from = [{n: _sources(side) for n, side in sides.items()} for sides in (then, here)]
    sources: set[str] = set()
    for name in names:
        changes = row_changes(then[name], here[name])
        sources |= {come_from[0][name][p] for p in changes.gone} | {
            come_from[1][name][p] for p in changes.new
        }
    sources = _with_below(sources, {source for side in come_from for own in side.values() for source in own})
    found = [
        {n: [p for p, s in enumerate(own) if s in sources] for n, own in side.items()} for side in come_from
    ]
    for name, positions in found[1].items():
        _write(here[name], positions, to / "data" / f"{name}-00000.parquet")
    gone, new = (sum(map(len, side.values())) for side in found)
    return ChangedRows(sources, gone, new, sum(map(len, come_from[1].values())))


def _side(dataset: DatasetFolder, split: str, digests: Sequence[Digest]) -> Side:
    return Side([Shard.of(path) for path in dataset.shards(split)], digests)


def _sources(side: Side) -> list[str]:
    return [value for shard in side.shards for value in shard.read("source")["source"].to_pylist()]


def _with_below(changed: set[str], known: set[str]) -> set[str]:
    """What begins like one of them and goes on with a slash goes with it (see ingest_changes.py)."""
    return changed | {s for s in known if any(s[:cut] in changed for cut, c in enumerate(s) if c == "/")}


def _write(side: Side, positions: Sequence[int], file: Path) -> None:
    if positions:
        import pyarrow as pa

        file.parent.mkdir(parents=True, exist_ok=True)
        write_shard(pa.concat_tables([side.slice(p, 1) for p in positions]).combine_chunks(), file)
