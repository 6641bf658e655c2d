"""A manifest: rows of JSON lines (CSV, Parquet …), or one path a line, that name media files beside them."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from spark_build.contract import Bad, InputPath, Needs, Project, Raw, RuleParams, Source, SourceFile
from spark_build.contract.media import MARK, MEDIA_KINDS
from spark_build.contract.params import Field
from spark_build.core.digest import digest_json
from spark_build.core.errors import ItemRejected
from spark_build.core.ports import Reporter
from spark_build.core.values import replace
from spark_build.modalities.text.read import read_records
from spark_build.modalities.text.records import Reading
from spark_build.sources._media import format_of, read_media, record_of

# of a row whose media is called by no modality: content tells which it is
_ANY_MEDIA = ("path", "file", "file_name", "filename", "media")
_IN_META = ("caption", "transcript", "duration")  # of schema v1: fields of the item, the rest stays in meta
_LISTS = (".txt", ".lst", ".list", "")  # one path a line
_ROW, _NUMBER = "row", "number"  # of a record as `read` gives it
_DIGITS = re.compile(r"(\d+)")


class Params(RuleParams):
    path: InputPath = Field(
        description="The manifest. Rows name media by `image`, `audio`, `video`, or `path`, frames by `frames_dir`; "
        "`id`, `split`, `meta` and other fields are the item's. A .txt has one path a line."
    )
    root: str | None = Field(
        None, description="The folder that its paths start from; by default the manifest's own."
    )
    frames: Literal["each", "first", "middle", "none"] = Field(
        "each",
        description="Of a frames_dir: each frame is an item with the row's fields, or only one of them.",
    )
    max_bytes: int = Field(2 << 30, ge=1, description="Larger media files are rejected.")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="Images (and frames of a video) with more pixels are rejected unread.",
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        "manifest": "path", "file": "path", "jsonl": "path", "folder": "root", "base": "root", "dir": "root",
        "frame": "frames",
    }  # fmt: skip

    @property
    def folder(self) -> str:
        return posixpath.normpath(self.root or posixpath.dirname(self.path) or ".")

    @property
    def name(self) -> str:
        """The manifest's path from the folder."""
        return posixpath.relpath(self.path, self.folder)


class Manifest(Source):
    """Each file of the folder is read by itself and remembered; the rows then say which of them are items."""

    Params = Params
    revision = 1
    libraries = ("pillow", "av")
    limits_items = True

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return Needs(paths={"path": params.folder})

    @classmethod
    def keyed(cls, params: Any) -> dict[str, Any]:
        own = super().keyed(params)
        return {**{name: value for name, value in own.items() if name != "root"}, "manifest": params.name}

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        if file.path == self.params.name:
            yield from _rows(file)
        elif (found := format_of(file)) is not None:
            limits = {"max_bytes": self.params.max_bytes, "max_pixels": self.params.max_pixels}
            try:
                yield record_of(read_media(file, found, **limits), None)
            except ItemRejected as why:
                yield Bad(why.reason, why.detail)

    def looks_at_all(self) -> bool:
        return True

    def gather(
        self, records: Sequence[tuple[str, Raw | Bad]], report: Reporter
    ) -> Iterator[tuple[int, Raw | Bad]]:
        name = self.params.name
        files = {source: found for source, found in records if source != name}
        for number, (source, found) in enumerate(records):
            if source == name:
                for made in [found] if isinstance(found, Bad) else _items(found, files, self.params.frames):
                    yield number, made


def _rows(file: SourceFile) -> Iterator[Raw | Bad]:
    for number, found in enumerate(_parsed(file), 1):
        if isinstance(found, ItemRejected):
            yield Bad(found.reason, found.detail)
        else:
            row, own_id = found
            yield Raw({_ROW: row, _NUMBER: number}, key=digest_json(row), id=own_id)


def _parsed(file: SourceFile) -> Iterator[tuple[dict[str, Any], str | None] | ItemRejected]:
    if PurePosixPath(file.path).suffix.lower() in _LISTS:
        lines = file.location.read_text("utf-8", errors="surrogateescape").splitlines()
        yield from (({"path": line.strip()}, None) for line in lines if line.strip())
        return
    for record in read_records(file.path, file.location, Reading()):
        yield (
            record
            if isinstance(record, ItemRejected)
            else ({**record.fields, "meta": record.meta}, record.id)
        )


def _items(found: Raw, files: Mapping[str, Raw | Bad], frames: str) -> Iterator[Raw | Bad]:
    """What a row stands for: one item, or one for each of its frames."""
    row = dict(found.fields[_ROW])
    try:
        folder = row.pop("frames_dir", None)
        item = _item(found, row, files)
        if folder is None or frames == "none":
            yield item
            return
        paths = _chosen(_frames_of(_path(folder), files), frames)
    except ItemRejected as why:
        yield Bad(why.reason, f"row {found.fields[_NUMBER]}: {why.detail}")
        return
    for number, path in enumerate(paths):
        own_id = item.id if item.id is None or len(paths) == 1 else f"{item.id}#{number}"
        try:
            fields = {**item.fields, "image": _media(files, path, "image")[1]}
            yield replace(item, fields=fields, id=own_id, source=path)
        except ItemRejected as why:
            yield Bad(why.reason, why.detail, path)


def _item(found: Raw, row: dict[str, Any], files: Mapping[str, Raw | Bad]) -> Raw:
    """Errors: ItemRejected where a file is not there, broken, or of another kind than the row says."""
    meta, split = row.pop("meta", None), row.pop("split", None)
    row.pop("id", None)
    meta = dict(meta or {})
    fields = {name: meta.pop(name) for name in _IN_META if meta.get(name) is not None}
    source = None
    for name, value in row.items():
        if isinstance(value, str) and name in (*MEDIA_KINDS, *_ANY_MEDIA):
            kind, fields_value = _media(files, _path(value), name if name in MEDIA_KINDS else None)
            fields[kind], source = fields_value, source or _path(value)
        elif value is not None:
            fields[name] = value
    return Raw(fields, key=found.key, id=found.id, split=split, meta=meta, source=source)


def _media(files: Mapping[str, Raw | Bad], path: str, kind: str | None) -> tuple[str, Any]:
    found = files.get(path)
    if found is None:
        raise ItemRejected("missing_file", f"{path}: not there, or no media")
    if isinstance(found, Bad):
        raise ItemRejected(found.reason, f"{path}: {found.detail}")
    ((own, value),) = found.fields.items()
    if kind not in (None, own):
        raise ItemRejected("other_kind", f"{path}: the row calls it {kind}, and it is {value[MARK]}")
    return own, value


def _path(value: str) -> str:
    """From the root, plainly. Errors: ItemRejected where it leads out of it."""
    path = posixpath.normpath(value)
    if path.startswith(("/", "../")) or path == "..":
        raise ItemRejected("outside", f"{value}: leads out of the folder")
    return path


def _frames_of(folder: str, files: Mapping[str, Raw | Bad]) -> list[str]:
    """Frame 10 comes after frame 9. Errors: ItemRejected where there are none."""
    inside = [path for path in files if posixpath.dirname(path) == folder]
    if not inside:
        raise ItemRejected("missing_file", f"{folder}: no frames in it")
    return sorted(inside, key=lambda path: [int(p) if p.isdigit() else p for p in _DIGITS.split(path)])


def _chosen(paths: Sequence[str], frames: str) -> list[str]:
    if frames == "each":
        return list(paths)
    return [paths[0] if frames == "first" else paths[len(paths) // 2]]
