"""What sources that read files share: their parameters, and records as the contract wants them."""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import ClassVar, Literal

from pydantic import field_validator

from spark_build.contract import Bad, Raw, RuleParams, SourceFile
from spark_build.contract.params import Field
from spark_build.core.digest import canonical_row, digest_bytes
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.kinds import Format
from spark_build.modalities.text.kinds import KINDS
from spark_build.modalities.text.read import read_records
from spark_build.modalities.text.records import HtmlReading, Reading, Record
from spark_build.sources._media import format_of, read_media, record_of
from spark_build.sources._packed import unpacked, without_compression

Modality = Literal["text", "image", "audio", "video"]

# that shape what is read of each; lxml is trafilatura's parser
_LIBRARIES: Mapping[Modality, tuple[str, ...]] = {
    "text": ("charset-normalizer", "trafilatura", "lxml"),
    "image": ("pillow",),
    "audio": ("av",),
    "video": ("av",),
}

_RESERVED = ("id", "source", "meta")
_SPLITS = {
    "train": "train", "training": "train", "test": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
_SHARD_NUMBER = re.compile(r"-\d+(-of-\d+)?$")
_IGNORED = ("__pycache__",)


class HtmlParams(RuleParams):
    tables: bool = Field(default=True, description="Keep tables.")
    links: bool = Field(default=False, description="Keep where links point to.")
    formatting: bool = Field(default=True, description="Headings and lists as Markdown.")
    whole_page: bool = Field(default=False, description="All text of the page, navigation and footers too.")


class ReadingParams(RuleParams):
    include: list[str] | str = Field(
        [], description="Patterns (`*.md`, `docs/**/*.txt`): only these files are read."
    )
    exclude: list[str] | str = Field([], description="Patterns of files that are not read.")
    text_field: str = Field("text", description="The field that takes the text of a document.")
    columns: dict[str, str] = Field(
        {}, description="Field: column, for files of rows; columns that are not named are left out."
    )
    id: str | None = Field(
        None,
        description="The column that names a row; by default 'id' where there is one, else its content does.",
    )
    encoding: str = Field(
        "auto", description="Of text that says nothing of its own; auto finds out and repairs."
    )
    whitespace: Literal["normalize", "keep"] = Field(
        "normalize",
        description="Of documents: LF line ends, no white space before them, one blank line in a row. "
        "Rows are never touched.",
    )
    delimiter: str = Field("auto", description="Between the values of a CSV; auto looks at its header.")
    types: dict[str, str] = Field(
        {}, description=f"Suffix: kind, for more suffixes. Kinds: {', '.join(KINDS)}."
    )
    max_bytes: int = Field(
        2 << 30, ge=1, description="Larger files are rejected (not JSON lines and Parquet)."
    )
    modalities: list[Modality] = Field(
        ["text", "image", "audio", "video"],
        min_length=1,
        description="What is read; files that hold something else are passed over. Content tells, not a name: a "
        "document's field is `text`, an image's `image`, and so on.",
    )
    max_pixels: int = Field(
        100_000_000, ge=1, description="Images (and frames of a video) with more pixels are rejected unread."
    )
    html: HtmlParams = Field(HtmlParams(), description="What is taken out of an HTML page.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "glob": "include", "pattern": "include", "patterns": "include", "ignore": "exclude",
        "skip": "exclude", "modality": "modalities", "kinds": "modalities", "media": "modalities",
        "charset": "encoding", "sep": "delimiter", "separator": "delimiter",
        "column": "columns", "fields": "columns", "rename": "columns", "id_column": "id",
        "strip": "whitespace", "limit": "max_bytes", "max_size": "max_bytes", "text_column": "text_field",
    }  # fmt: skip

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            is_text = value == "auto" or "x".encode(value).decode(value) == "x"
        except (LookupError, TypeError, ValueError):
            is_text = False
        if not is_text:
            raise ValueError(f"'{value}' is no text encoding that Python knows")
        return value if value == "auto" else codecs.lookup(value).name

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if value != "auto" and len(value) != 1:
            raise ValueError("one character, or auto")
        return value

    @field_validator("types")
    @classmethod
    def _known_kinds(cls, value: dict[str, str]) -> dict[str, str]:
        for kind in value.values():
            if kind not in KINDS:
                raise ValueError(f"'{kind}' is none of {', '.join(KINDS)}")
        return value

    @field_validator("columns")
    @classmethod
    def _free_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name in _RESERVED:
                raise ValueError(f"a field can't be called '{name}'; `id:` names the column of ids")
        return value

    def reading(self) -> Reading:
        return Reading(
            text_field=self.text_field,
            encoding=self.encoding,
            normalizes_whitespace=self.whitespace == "normalize",
            columns=self.columns,
            id_column=self.id,
            delimiter=self.delimiter,
            types={f".{suffix.lstrip('.').lower()}": kind for suffix, kind in self.types.items()},
            max_bytes=self.max_bytes,
            html=HtmlReading(**self.html.model_dump()),
        )


def read_file(file: SourceFile, params: ReadingParams) -> Iterator[Raw | Bad]:
    """The file's records; none of a file that is ignored or not asked for."""
    if not is_asked_for(file.path, params):
        return
    split = split_of(file.path)
    if (found := format_of(file)) is not None:
        yield from _media(file, found, params, split)
        return
    if "text" not in params.modalities:
        return
    try:
        with unpacked(file) as whole:
            for record in read_records(whole.path, whole.location, params.reading()):
                yield _bad(record) if isinstance(record, ItemRejected) else _raw(record, file, split)
    except ItemRejected as rejected:  # of what is compressed
        yield _bad(rejected)


def _media(file: SourceFile, found: Format, params: ReadingParams, split: str | None) -> Iterator[Raw | Bad]:
    """Where only one of audio and video is asked for, a file has to be opened to know which it is."""
    families = {
        "image" if modality == "image" else "av" for modality in params.modalities if modality != "text"
    }
    if found.family not in families:
        return
    try:
        media = read_media(file, found, max_bytes=params.max_bytes, max_pixels=params.max_pixels)
    except ItemRejected as rejected:
        yield _bad(rejected)
        return
    if media.kind in params.modalities:
        yield record_of(media, split)


def libraries_for(params: ReadingParams) -> tuple[str, ...]:
    """Distributions that shape what is read."""
    return tuple(dict.fromkeys(name for modality in params.modalities for name in _LIBRARIES[modality]))


def _raw(record: Record, file: SourceFile, split: str | None) -> Raw:
    key = digest_bytes(canonical_row(record.fields)) if record.is_row else file.path
    return Raw(record.fields, key=key, id=record.id, split=split, meta=record.meta)


def _bad(rejected: ItemRejected) -> Bad:
    return Bad(rejected.reason, rejected.detail)


def is_asked_for(path: str, params: ReadingParams) -> bool:
    """Whether the patterns leave it in, and it is none of the files that are never read."""
    return not is_ignored(path) and _is_wanted(path, params)


def is_ignored(path: str) -> bool:
    """Dot files, editors' backups and Python's caches, at any depth."""
    return any(part.startswith(".") or part.endswith("~") or part in _IGNORED for part in path.split("/"))


def split_of(path: str) -> str | None:
    """What a file's place or name says: `train/a.md`, `test.jsonl`, `data/validation-00000.parquet`."""
    folders = list(PurePosixPath(path).parts[:-1])
    if folders[:1] == ["data"]:
        del folders[0]
    stem = _SHARD_NUMBER.sub("", PurePosixPath(without_compression(path)).stem)
    for name in (*folders[:1], stem):
        if name.lower() in _SPLITS:
            return _SPLITS[name.lower()]
    return None


def _is_wanted(path: str, params: ReadingParams) -> bool:
    include, exclude = _list(params.include), _list(params.exclude)
    return (not include or matches(path, include)) and not matches(path, exclude)


def _list(patterns: list[str] | str) -> list[str]:
    return [patterns] if isinstance(patterns, str) else patterns


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns means it; see `_pattern`."""
    return any(_pattern(p).fullmatch(path) for p in patterns)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    """`*` and `?` stay within a name, `**/` spans folders; without a slash the name alone is looked at."""
    glob = glob if "/" in glob else f"**/{glob}"
    glob = glob.removeprefix("./").removeprefix("/") + ("**" if glob.endswith("/") else "")
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(meaning.get(p) or (_class(p) if p.startswith("[") else re.escape(p)) for p in pieces)
    )


def _class(piece: str) -> str:
    if len(piece) < 3:
        return re.escape(piece)
    inner = piece[1:-1].replace("\\", "\\\\")
    return f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]"
