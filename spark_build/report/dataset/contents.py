"""What items hold, as far as a page shows it: excerpts of texts, small pictures of media. Rows are looked up by id."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spark_build.contract.counting import read_batches
from spark_build.contract.media import MEDIA_KINDS, facts_in, is_reference
from spark_build.contract.shards import fields_of, rows_of
from spark_build.core.digest import Digest
from spark_build.core.errors import ItemRejected, Unavailable
from spark_build.core.values import Struct

EXCERPT = 600  # characters of a field
_OF_A_MESSAGE, _MESSAGES = 240, 4
_FIELDS = 8  # of an item are shown
_SLOW, _TOO_SLOW = 3, "no picture: too_slow"  # so many are waited for

Blobs = Callable[[Digest], Path]  # where the store has an object


class Picture(Struct, frozen=True):
    """Of one media value: images as WebP in base64, or a wave; else why there is none."""

    kind: str
    told: str  # 'JPEG, 640 × 427'
    images: tuple[str, ...] = ()
    wave: tuple[int, ...] = ()
    lacks: str = ""

    @property
    def size(self) -> int:
        return sum(map(len, self.images)) + 4 * len(self.wave)


class Excerpt(Struct, frozen=True):
    field: str
    text: str
    left_out: int = 0  # characters, or messages


class Content(Struct, frozen=True):
    id: str
    source: str
    excerpts: tuple[Excerpt, ...] = ()
    pictures: tuple[Picture, ...] = ()
    values: tuple[tuple[str, str], ...] = ()  # labels and numbers, by field


def contents(
    shards: Sequence[Path], ids: Collection[str], blobs: Blobs, budget: "Budget"
) -> Iterator[Content]:
    """Of those of these items that stand in the shards of a version, or of a stage before it."""
    wanted = set(ids)
    for shard in shards if wanted else ():
        for row, fields in _rows(shard, wanted):
            yield _content(row, fields, blobs, budget)


class Budget:
    """How many bytes of pictures a page may hold, and for how many that take too long it waits."""

    def __init__(self, size: int, slow: int = _SLOW) -> None:
        self._left, self._slow, self.left_out = size, slow, 0

    def make(self, kind: str, told: str, made: Callable[[], Picture]) -> Picture:
        if self._left > 0 and self._slow > 0:
            picture = made()
            self._left -= picture.size
            self._slow -= picture.lacks == _TOO_SLOW
            if self._left >= 0:
                return picture
        self.left_out += 1
        return Picture(kind, told, lacks="left out: the page holds enough pictures")


def _rows(shard: Path, wanted: Collection[str]) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Only the row groups that hold a wanted item are read, and of a group with media no more than 16 MiB."""
    import pyarrow.parquet as pq

    ids = [item for batch in read_batches([shard], ["id"]) for item in batch.column(0).to_pylist()]
    places = [place for place, item in enumerate(ids) if item in wanted]
    if not places:
        return
    with pq.ParquetFile(shard) as file:
        fields, begin = fields_of(file.schema_arrow), 0
        for group in range(file.num_row_groups):
            end = begin + file.metadata.row_group(group).num_rows
            if own := [place - begin for place in places if begin <= place < end]:
                table = file.read_row_group(group, use_threads=False)
                for place in own:
                    yield rows_of(table.slice(place, 1))[0], fields
            begin = end


def _content(row: Mapping[str, Any], fields: Mapping[str, str], blobs: Blobs, budget: Budget) -> Content:
    filled = [(name, kind) for name, kind in fields.items() if row.get(name) is not None][:_FIELDS]
    return Content(
        row["id"],
        row["source"],
        tuple(_excerpt(n, kind, row[n]) for n, kind in filled if kind in ("text", "messages", "json")),
        tuple(_picture(row, name, kind, blobs, budget) for name, kind in filled if kind in MEDIA_KINDS),
        tuple((n, _plain(row[n])) for n, kind in filled if kind in ("label", "number")),
    )


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _excerpt(name: str, kind: str, value: Any) -> Excerpt:
    if kind == "messages":
        shown = [f"{m['role']}: {_cut(str(m['content']), _OF_A_MESSAGE)}" for m in value[:_MESSAGES]]
        return Excerpt(name, "\n".join(shown), max(0, len(value) - _MESSAGES))
    text = value if kind == "text" else json.dumps(value, ensure_ascii=False)
    return Excerpt(name, text[:EXCERPT], max(0, len(text) - EXCERPT))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _picture(row: Mapping[str, Any], name: str, kind: str, blobs: Blobs, budget: Budget) -> Picture:
    """Of a value that holds its bytes, or that says by digest where they lie."""
    value = row[name]
    facts = value["facts"] if is_reference(value) else facts_in(row["meta"], name)
    data = None if is_reference(value) else value["bytes"]
    digest = value["digest"] if is_reference(value) else facts.get("digest")

    def made() -> Picture:
        if data is None:
            return _pictured(blobs(digest) if digest else None, kind, facts)
        with TemporaryDirectory(prefix="spark-report-") as folder:
            file = Path(folder, "media")
            file.write_bytes(data)
            return _pictured(file, kind, facts)

    return budget.make(kind, _told(facts), made)


def _pictured(path: Path | None, kind: str, facts: Mapping[str, Any]) -> Picture:
    from spark_build.modalities.media.probing import previewed

    told = _told(facts)
    if path is None or not path.exists():
        return Picture(kind, told, lacks="not in the store")
    try:
        found = previewed(path, kind, float(facts.get("duration") or 0))
    except ItemRejected as why:
        return Picture(kind, told, lacks=f"no picture: {why.reason}")
    except Unavailable as error:
        return Picture(kind, told, lacks=f"{error.message}: {error.fix}")
    return Picture(kind, told, tuple(found.get("images", ())), tuple(found.get("wave", ())))


def _told(facts: Mapping[str, Any]) -> str:
    told = [str(facts["format"])] if "format" in facts else []
    if "width" in facts:
        told.append(f"{facts['width']} × {facts['height']}")
    if "duration" in facts:
        told.append(f"{facts['duration']:.4g} s")
    return ", ".join(told)
