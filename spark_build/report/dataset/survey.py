"""The rows that were kept, column by column: how their figures spread, their labels and sources, samples."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract.counting import (
    MEDIA_COUNTED,
    MEDIA_FIGURES,
    counts_of,
    in_batch,
    read_batches,
    read_column,
    text_of,
)
from spark_build.contract.media import MEDIA_KINDS, facts_in
from spark_build.core.values import Struct
from spark_build.report.dataset.facts import Labels
from spark_build.report.dataset.samples import Counted, Sample
from spark_build.report.dataset.tallies import Histogram, Tally

if TYPE_CHECKING:
    import numpy as np

_LANGUAGE = ("language", "lang")
_MOST_LABELS = 200  # are told, of each field
_LONGEST_CODE = 35  # characters of a language tag (BCP 47 recommends room for so many)


class Survey(Struct, frozen=True):
    filled: Mapping[str, int]  # rows with a value, by field
    histograms: tuple[Histogram, ...]
    labels: tuple[Labels, ...]
    sources: Labels
    samples: Mapping[str, list[str]]  # ids, by what their items mainly are


def surveyed(shards: Mapping[str, Sequence[Path]], fields: Mapping[str, str], most: int) -> Survey:
    """`shards` by split. `most` samples of each modality are taken."""
    paths = [shard for of_split in shards.values() for shard in of_split]
    measured = [_Measured.of(paths, name, kind) for name, kind in fields.items()]
    meta = _Meta([name for name, kind in fields.items() if kind in MEDIA_KINDS])
    meta.read(paths)
    media = [h for m in meta.figures.items() if (h := m[1].histogram(*m[0])) is not None]
    return Survey(
        filled={name: one.filled for name, one in zip(fields, measured, strict=True)},
        histograms=tuple(sorted([h for m in measured for h in m.histograms] + media, key=_by_field(fields))),
        labels=(*(m.labels for m in measured if m.labels is not None), *meta.labels),
        sources=_sources(paths),
        samples=_samples(paths, fields, most),
    )


def _by_field(fields: Mapping[str, str]) -> Any:
    order = list(fields)
    return lambda histogram: order.index(histogram.field)


class _Measured(Struct, frozen=True):
    """A column by itself; of media only whether they are there."""

    filled: int
    histograms: tuple[Histogram, ...] = ()
    labels: Labels | None = None

    @classmethod
    def of(cls, shards: Sequence[Path], name: str, kind: str) -> "_Measured":
        tallies: dict[str, Tally] = {}
        counted, filled = Counted(), 0
        is_counted = kind == "label" or (kind == "text" and name in _LANGUAGE)
        for column in read_column(shards, f"{name}.path" if kind in MEDIA_KINDS else name):
            column = column.drop_null() if column.null_count else column
            filled += len(column)
            if is_counted:
                for value in column.to_pylist():
                    counted.add(value)
            else:
                for unit, counts in counts_of(column, kind).items():
                    tallies.setdefault(unit, Tally()).add(counts)
        histograms = (h for unit, tally in tallies.items() if (h := tally.histogram(name, unit)) is not None)
        unit = "language" if name in _LANGUAGE else "label"
        labels = _labels(name, unit, counted) if is_counted and filled else None
        return cls(filled, tuple(histograms), labels)


def _labels(name: str, unit: str, counted: Counted) -> Labels:
    counts = counted.by_frequency()
    told = dict(islice(counts.items(), _MOST_LABELS))
    values = sum(counts.values()) + counted.others
    return Labels(name, unit, values, told, values - sum(told.values()), len(counts), counted.others > 0)


class _Meta:
    """What stands in `meta`: facts of media, languages."""

    def __init__(self, media: Sequence[str]) -> None:
        self._media = media
        self.figures: dict[tuple[str, str], Tally] = {}
        self._counted: dict[tuple[str, str], Counted] = {}

    def read(self, shards: Sequence[Path]) -> None:
        names = [f'"{name}"'.encode() for name in _LANGUAGE]
        for column in read_column(shards, "meta"):
            text = text_of(column)[0].tobytes()
            if not self._media and not any(name in text for name in names):
                continue  # most datasets have none of it, and nothing is parsed
            metas = [json.loads(meta) for meta in column.to_pylist() if meta]
            for name in self._media:
                self._add_media(name, [facts for meta in metas if (facts := facts_in(meta, name))])
            for meta in metas:
                self._add_language(meta)

    def _add_media(self, name: str, known: Sequence[Mapping[str, Any]]) -> None:
        import numpy as np

        for fact, unit in MEDIA_FIGURES.items():
            if values := [facts[fact] for facts in known if fact in facts]:
                self.figures.setdefault((name, unit), Tally()).add(np.array(values, np.float64))
        for fact in MEDIA_COUNTED:
            for facts in known:
                if fact in facts:
                    self._counted.setdefault((name, fact), Counted()).add(str(facts[fact]))

    def _add_language(self, meta: Mapping[str, Any]) -> None:
        for name in _LANGUAGE:
            if isinstance(code := meta.get(name), str) and len(code) <= _LONGEST_CODE:
                self._counted.setdefault((f"meta.{name}", "language"), Counted()).add(code)

    @property
    def labels(self) -> list[Labels]:
        return [_labels(name, unit.replace("_", " "), own) for (name, unit), own in self._counted.items()]


def _sources(shards: Sequence[Path]) -> Labels:
    """Rows by the folder at the top of their source, or by the file that lies there."""
    counted = Counted()
    for column in read_column(shards, "source"):
        for source in column.to_pylist():
            top, slash, _ = source.partition("/")
            counted.add(top + slash)
    return _labels("source", "source", counted)


def _samples(shards: Sequence[Path], fields: Mapping[str, str], most: int) -> dict[str, list[str]]:
    """Ids of items that have a video, an image, a sound, or nothing of it: each by the first that holds."""
    kinds = [kind for kind in ("video", "image", "audio") if kind in fields.values()]
    names = {kind: [f"{n}.path" for n, k in fields.items() if k == kind] for kind in kinds}
    samples: dict[str, Sample[str]] = {kind: Sample(most) for kind in (*kinds, "text")}
    for batch in read_batches(shards, ["id", *(name for of_kind in names.values() for name in of_kind)]):
        there = {kind: _is_there(batch, of_kind) for kind, of_kind in names.items()}
        for row, item in enumerate(batch.column("id").to_pylist()):
            kind = next((kind for kind in kinds if there[kind][row]), "text")
            samples[kind].offer(item, item)
    return {kind: sample.values for kind, sample in samples.items() if sample.values}


def _is_there(batch: Any, names: Sequence[str]) -> "np.ndarray[Any, Any]":
    import numpy as np

    columns = [in_batch(batch, name) for name in names]
    there: np.ndarray[Any, Any] = np.any(
        [c.is_valid().to_numpy(zero_copy_only=False) for c in columns], axis=0
    )
    return there
