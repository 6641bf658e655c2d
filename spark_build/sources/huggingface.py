"""A dataset of the Hugging Face hub, pinned to a commit by `spark update`; or a dataset's folder on this machine."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from spark_build.contract import (
    Bad,
    Context,
    InputPath,
    Needs,
    OutsideSource,
    Project,
    Raw,
    SourceFile,
    Unkeyed,
)
from spark_build.contract.params import Field
from spark_build.contract.rules import needs_of_marked_fields
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.core.ports import Reporter
from spark_build.core.values import replace
from spark_build.sources._hub import Hub
from spark_build.sources._hub_layout import CARD, SAVED, Card, card_of, front_matter, is_metadata, splits_of
from spark_build.sources._hub_rows import is_table, label_name, labels_in, read_table
from spark_build.sources._labels import TABLE, FileSource, LabelledParams, labelled, with_table
from spark_build.sources._reading import is_asked_for, libraries_for, read_file

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_TELLS = "$dataset"  # of a record that is no item: what its file says of all
_FILE_NAME = ("file_name", "file")  # in metadata.csv: the media file that a row is about
_DEFAULT_SPLIT = "train"


class Params(LabelledParams):
    dataset: str | None = Field(None, description="Of the hub: `org/name`. Asked by `spark update` alone.")
    path: InputPath | None = Field(
        None,
        description="In place of it a folder: what `save_to_disk` or `to_parquet` wrote, a clone of a dataset's "
        "repository, or files laid out like one.",
    )
    config: str | None = Field(
        None, description="Which of several configs; by default the one that the card says."
    )
    split: list[str] | str = Field([], description="The splits that are kept, by name; by default all.")
    revision: str | None = Field(
        None, description="A branch, tag or commit; `spark update` pins what it is then. By default `main`."
    )
    parallel: Unkeyed[int] = Field(8, ge=1, le=64, description="Files that are fetched at a time.")

    synonyms: ClassVar[Mapping[str, str]] = {
        **LabelledParams.synonyms,
        "repo": "dataset", "repo_id": "dataset", "hub": "dataset", "folder": "path", "data_dir": "path",
        "subset": "config", "name": "config", "config_name": "config", "splits": "split", "commit": "revision",
        "branch": "revision", "data_files": "include", "num_proc": "parallel", "workers": "parallel",
    }  # fmt: skip

    @field_validator("dataset")
    @classmethod
    def _is_hub_id(cls, value: str | None) -> str | None:
        if value is not None and not _HUB_ID.fullmatch(value):
            raise ValueError(f"'{value}' is no id of the hub\n  fix: org/name; a revision goes to `revision`")
        return value

    @model_validator(mode="after")
    def _names_one(self) -> "Params":
        if (self.dataset is None) == (self.path is None):
            raise ValueError("name one: dataset: org/name of the hub, or path: a folder")
        if self.path is not None and self.revision is not None:
            raise ValueError("a folder has no revision; its content counts")
        return self

    @property
    def splits(self) -> list[str]:
        return sorted({self.split} if isinstance(self.split, str) else set(self.split))


class HuggingFace(FileSource, OutsideSource):
    """What `load_dataset` takes for data is read, with its splits. Labels go by name, media are taken out of rows.

    Every file is read and remembered by itself; the card and the layout then say which are data. Code in a repository
    is never run.
    """

    Params = Params
    revision = 2
    limits_items = True
    unread = ("config", "split", "join", TABLE)
    outside_params = ("dataset", "revision")

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return libraries_for(params)

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        if params.path is not None:
            return with_table(needs_of_marked_fields(params, project), params)
        return super().needs(params, project)

    @classmethod
    def asks(cls, params: Any, project: Project) -> Any:
        asked = {"dataset": params.dataset, "revision": params.revision, "config": params.config}
        return {**asked, "splits": params.splits, "include": params.include, "exclude": params.exclude}

    def bring(self, context: Context, before: Path | None) -> Mapping[str, str]:
        own = self.params
        hub = Hub(own.dataset)
        commit = hub.commit(self.pinned.get("revision") or own.revision)
        files = hub.files(commit)
        tell = [files[name] for name in (CARD, SAVED) if name in files]
        for file in tell:
            hub.fetch(file, commit, context.output / file.path)
        card = _card_at(context.output / CARD)
        asked = [path for path in files if is_asked_for(path, own)]
        chosen = self._chosen(splits_of(asked, card, own.config, is_saved=SAVED in files))
        if not chosen:
            raise BadInput(
                f"{own.dataset} at {commit[:12]} has no data files that are read here",
                fix="revision: refs/convert/parquet, where the hub has converted them",
            )
        wanted = [files[path] for path in sorted(chosen) if path not in (CARD, SAVED)]
        with ThreadPoolExecutor(own.parallel) as pool:
            list(pool.map(lambda one: hub.fetch(one, commit, context.output / one.path), wanted))
        size = sum(one.size for one in wanted)
        context.report.log(f"{own.dataset} at {commit}: {len(wanted):,} files, {size:,} bytes")
        return {"revision": commit}

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        if file.path == CARD:
            yield _telling({"card": front_matter(file.location.read_text("utf-8", errors="replace"))})
        elif file.path == SAVED:
            yield _telling({"saved": True})
        elif is_asked_for(file.path, self.params):
            yield _telling({"labels": labels_in(file)} if is_table(file) else {})
            yield from labelled(file, self._records(file), self.params)

    def field_types(self) -> Mapping[str, str]:
        return {**super().field_types(), **dict.fromkeys(self._label_fields, "label")}

    def looks_at_all(self) -> bool:
        return True

    def gather(
        self, records: Sequence[tuple[str, Raw | Bad]], report: Reporter
    ) -> Iterator[tuple[int, Raw | Bad]]:
        told = [(path, one) for path, found in records if (one := _told_by(found)) is not None]
        card = card_of(next((one["card"] for _, one in told if "card" in one), ""))
        is_saved = any("saved" in one for _, one in told)
        paths = [path for path, one in told if not {"card", "saved"} & one.keys()]
        splits = self._chosen(splits_of(paths, card, self.params.config, is_saved=is_saved))
        names = card.labels_of(self.params.config)
        self._note_labels([one.get("labels", {}) for path, one in told if path in splits], names)
        kept = [
            (number, path, found)
            for number, (path, found) in enumerate(records)
            if path in splits and _told_by(found) is None
        ]
        items = [(n, path, _named(found, names, self._field_of)) for n, path, found in _with_metadata(kept)]
        if self.params.join is None:
            return ((n, _in_split(found, splits[path])) for n, path, found in items)
        pairs = [(path, _in_split(found, splits[path])) for _, path, found in items]
        return ((items[n][0], found) for n, found in super().gather(pairs, report))

    def __init__(self, params: Any, inputs: Mapping[str, Path] | None = None) -> None:
        super().__init__(params, inputs)
        self._label_fields: set[str] = set()

    def _records(self, file: SourceFile) -> Iterator[Raw | Bad]:
        if not is_table(file):
            yield from read_file(file, self.params)
            return
        try:
            yield from read_table(file, self.params)
        except ItemRejected as why:
            yield Bad(why.reason, why.detail)

    def _chosen(self, splits: Mapping[str, str | None]) -> dict[str, str | None]:
        """Of the data files those whose split is asked for. Errors: BadInput where one of these is not there."""
        wanted, there = self.params.splits, {split or _DEFAULT_SPLIT for split in splits.values()}
        if missing := [name for name in wanted if name not in there]:
            raise BadInput(f"there is no split '{missing[0]}'", fix=f"one of {', '.join(sorted(there))}")
        return {
            p: s for p, s in splits.items() if not wanted or (s or _DEFAULT_SPLIT) in wanted or is_metadata(p)
        }

    def _note_labels(self, told: Sequence[Mapping[str, Any]], names: Mapping[str, Any]) -> None:
        columns = {column for of_file in (*told, names) for column in of_file}
        self._label_fields = {self._field_of(column) for column in columns}

    def _field_of(self, column: str) -> str:
        return next((field for field, own in self.params.columns.items() if own == column), column)


def _telling(told: Mapping[str, Any]) -> Raw:
    return Raw({_TELLS: told}, key="")


def _told_by(found: Raw | Bad) -> Mapping[str, Any] | None:
    """None of an item."""
    return found.fields.get(_TELLS) if isinstance(found, Raw) else None


def _card_at(place: Path) -> Card:
    text = place.read_text("utf-8", errors="replace") if place.exists() else ""
    return card_of(front_matter(text))


def _in_split(found: Raw | Bad, split: str | None) -> Raw | Bad:
    return found if isinstance(found, Bad) else replace(found, split=split or found.split)


def _named(found: Raw | Bad, names: Mapping[str, Sequence[str]], field_of: Any) -> Raw | Bad:
    """Labels by name where the card alone tells the names, as of a CSV; a table's own were read by it."""
    if isinstance(found, Bad) or not names:
        return found
    fields = dict(found.fields)
    try:
        for column, known in names.items():
            value = fields.get(field_of(column))
            if isinstance(value, str) and value not in known and value.lstrip("-").isdigit():
                value = float(value)  # of a CSV, where every value is text
            if isinstance(value, int | float):
                fields[field_of(column)] = label_name(value, known, column)
    except ItemRejected as why:
        return Bad(why.reason, why.detail)
    return replace(found, fields=fields)


def _with_metadata(
    records: Sequence[tuple[int, str, Raw | Bad]],
) -> Iterator[tuple[int, str, Raw | Bad]]:
    """Media files with the columns of their row in the `metadata.csv` (.jsonl, .parquet) that names them."""
    rows: dict[str, Mapping[str, Any]] = {}
    for _, path, found in records:
        if is_metadata(path) and isinstance(found, Raw):
            name = next((str(found.fields[n]) for n in _FILE_NAME if found.fields.get(n) is not None), None)
            if name is not None:
                rows[(PurePosixPath(path).parent / name).as_posix()] = found.fields
    for number, path, found in records:
        if isinstance(found, Bad) or not is_metadata(path):
            if isinstance(found, Raw) and path in rows:
                told = {n: v for n, v in rows[path].items() if n not in _FILE_NAME}
                found = replace(found, fields={**found.fields, **told})
            yield number, path, found
