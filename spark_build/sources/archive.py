"""Members of zip and tar archives, and samples of webdataset shards."""

import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from spark_build.contract import Bad, InputPath, Raw, SourceFile
from spark_build.contract.params import Field
from spark_build.core.digest import digest_file
from spark_build.core.errors import ItemRejected
from spark_build.core.values import replace
from spark_build.sources._archives import Limits, members, unpack
from spark_build.sources._labels import FileSource, LabelledParams, labelled
from spark_build.sources._reading import is_asked_for, libraries_for, read_file, split_of

Unpacked = tuple[str, Path | Bad]  # a member's path, and where it lies now

_WEBDATASET_TYPES = {
    "cls": "text",
    "caption": "text",
    "transcript": "text",
}  # which no suffix of a file tells


class Params(LabelledParams):
    path: InputPath = Field(
        description="An archive, or a folder of some: zip, tar, tar.gz, tar.bz2, tar.xz, tar.zst."
    )
    form: Literal["files", "webdataset"] = Field(
        "files",
        description="files: each member is read as a file of a folder is. webdataset: members that share a name up "
        "to its first dot are one item, what follows the dot names the field.",
    )
    max_total_bytes: int = Field(
        256 << 30, ge=1, description="Of all that one archive unpacks to; then it ends."
    )
    max_ratio: float = Field(
        200.0,
        gt=1,
        description="Unpacked to packed, of an archive that unpacks to more than 16 MiB; then it ends.",
    )
    max_members: int = Field(1_000_000, ge=1, description="Of one archive; then it ends.")
    max_depth: int = Field(32, ge=0, description="Folders above a member; deeper ones are rejected.")

    synonyms: ClassVar[Mapping[str, str]] = {
        **LabelledParams.synonyms,
        "file": "path", "archive": "path", "folder": "path", "shards": "path",
        "format": "form", "max_files": "max_members",
    }  # fmt: skip

    @model_validator(mode="after")
    def _labels_files(self) -> "Params":
        if self.form == "webdataset" and self.label is not None:
            raise ValueError("label: parent goes with form: files; a sample's own member `cls` is its label")
        return self


class Archive(FileSource):
    """Nothing is unpacked but one member at a time, into a place of its own; archives within are not opened."""

    Params = Params
    revision = 2

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return libraries_for(params)

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        split = split_of(file.path)
        with tempfile.TemporaryDirectory(prefix="spark-archive-") as folder:
            unpacked = self._unpacked(file, Path(folder))
            for found in (
                self._samples(unpacked) if self.params.form == "webdataset" else self._files(unpacked)
            ):
                yield self._placed(found, file, split, folder)

    def _placed(self, found: Raw | Bad, file: SourceFile, split: str | None, folder: str) -> Raw | Bad:
        """Named by its place in the archive, and by the archive where there may be several."""
        place = self.inputs.get("path")
        within = "" if place is not None and place.is_file() else f"{file.path}/"
        if found.source == file.path:
            within = ""  # the archive as a whole
        if isinstance(found, Bad):
            return replace(
                found, detail=found.detail.replace(f"{folder}/", ""), source=f"{within}{found.source}"
            )
        return replace(found, source=f"{within}{found.source}", split=found.split or split)

    def _files(self, unpacked: Iterable[Unpacked]) -> Iterator[Raw | Bad]:
        for path, place in unpacked:
            for found in [place] if isinstance(place, Bad) else self._records(path, place):
                yield replace(found, source=path or found.source)
            _remove(place)

    def _samples(self, unpacked: Iterable[Unpacked]) -> Iterator[Raw | Bad]:
        """A shard holds the members of one sample side by side."""
        for sample, group in groupby(unpacked, key=lambda one: _sample_and_field(one[0])[0]):
            places, fields, bad = list[Path | Bad](), dict[str, Any](), list[Bad]()
            for path, place in group:
                places.append(place)
                value = place if isinstance(place, Bad) else self._value(path, place)
                if isinstance(value, Bad):
                    bad.append(value)
                else:
                    fields[_sample_and_field(path)[1]] = value
            if bad:
                yield Bad(bad[0].reason, bad[0].detail, sample or bad[0].source)
            elif fields:
                yield Raw(fields, key=sample, source=sample)
            for place in places:
                _remove(place)

    def _value(self, path: str, place: Path) -> Any:
        """What a member gives its sample: a text, the object of a JSON file, a list where it has many rows."""
        name = _sample_and_field(path)[1]
        if not name:
            return Bad("no_extension", f"{path}: a member's name says its field after a dot", path)
        records = list(self._records(path, place))
        if bad := next((found for found in records if isinstance(found, Bad)), None):
            return replace(bad, detail=f"{path}: {bad.detail}")
        values = [_only_value(found, path) for found in records if isinstance(found, Raw)]
        return values[0] if len(values) == 1 else values

    def _records(self, path: str, place: Path) -> Iterator[Raw | Bad]:
        member = SourceFile(path, place, place.stat().st_size, digest_file(place))
        try:
            yield from labelled(member, read_file(member, self._reading), self.params)
        except ItemRejected as why:  # the member, not the archive
            yield Bad(why.reason, why.detail)

    @cached_property
    def _reading(self) -> LabelledParams:
        own: Any = self.params
        types = {**_WEBDATASET_TYPES, **own.types} if own.form == "webdataset" else own.types
        copied: LabelledParams = own.model_copy(update={"types": types})
        return copied

    def _unpacked(self, file: SourceFile, folder: Path) -> Iterator[Unpacked]:
        params: Any = self.params
        limits = Limits(
            params.max_bytes, params.max_total_bytes, params.max_ratio, params.max_members, params.max_depth
        )
        try:
            for number, member in enumerate(members(file.location, limits)):
                if isinstance(member, Bad):
                    yield member.source or "", member
                elif is_asked_for(member.path, params):
                    place = folder / str(number)
                    bad = unpack(member, place, limits)
                    if bad is not None:
                        _remove(place)
                    yield member.path, bad or place
        except ItemRejected as why:
            yield "", Bad(why.reason, f"{file.path}: {why.detail}", file.path)


def _sample_and_field(path: str) -> tuple[str, str]:
    """'shard/0001' and 'seg.png' of 'shard/0001.seg.png'."""
    folder, name = posixpath.split(path)
    stem, _, extension = name.partition(".")
    return posixpath.join(folder, stem), extension.lower()


def _only_value(found: Raw, path: str) -> Any:
    """A document's text; of a row the whole of it."""
    if found.key == path:
        return next(iter(found.fields.values()))
    own = {} if found.id is None else {"id": found.id}
    return {**own, **found.fields, **found.meta}


def _remove(place: Path | Bad) -> None:
    if isinstance(place, Path):
        place.unlink(missing_ok=True)
