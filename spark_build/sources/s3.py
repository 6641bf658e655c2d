"""Objects below a prefix of an S3 bucket, fetched and pinned by `spark update`."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import field_validator

from spark_build.contract import Bad, Context, OutsideSource, Project, Raw, SourceFile, Unkeyed
from spark_build.contract.params import Field
from spark_build.core.buckets import open_bucket, told
from spark_build.core.digest import canonical_json, digest_json
from spark_build.core.errors import BadInput, TransientError
from spark_build.core.values import Struct, replace
from spark_build.sources._labels import FileSource, LabelledParams, labelled
from spark_build.sources._reading import is_asked_for, libraries_for, read_file

_FILES, _LIST = "files", "objects.json"
_CHUNK_BYTES = 1 << 20


class Params(LabelledParams):
    url: str = Field(
        description="`s3://bucket/prefix`. Credentials and endpoint as for every tool: AWS_*, profiles."
    )
    max_objects: int = Field(1_000_000, ge=1, description="More than so many are an error.")
    parallel: Unkeyed[int] = Field(8, ge=1, le=64, description="Objects that are fetched at a time.")

    synonyms: ClassVar[Mapping[str, str]] = {
        **LabelledParams.synonyms,
        "uri": "url", "bucket": "url", "prefix": "url", "path": "url", "workers": "parallel", "concurrency": "parallel",
    }  # fmt: skip

    @field_validator("url")
    @classmethod
    def _is_of_a_bucket(cls, value: str) -> str:
        if not value.startswith("s3://") or not value.removeprefix("s3://").split("/")[0]:
            raise ValueError(f"'{value}' names no bucket\n  fix: s3://bucket/prefix")
        return value.rstrip("/")


class S3(FileSource, OutsideSource):
    """Each object is a file by its key from the prefix on; one with its ETag and size of last time isn't fetched again.

    `objects.json`, which is brought along and not read, holds each object's ETag, size, and version where the bucket
    keeps versions: with it the lock pins these as well.
    """

    Params = Params
    revision = 2
    outside_params = ("url", "max_objects")
    outside_parts = (f"{_FILES}/",)

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return libraries_for(params)

    @classmethod
    def asks(cls, params: Any, project: Project) -> Any:
        return {"url": params.url, "include": params.include, "exclude": params.exclude}

    def bring(self, context: Context, before: Path | None) -> None:
        store, kept = open_bucket(self.params.url), context.scratch / "fetched"
        known = _known(before)
        found = self._listed(store)
        with ThreadPoolExecutor(self.params.parallel) as pool:
            fetched = list(
                pool.map(lambda one: self._fetch(store, one, known.get(one.key), before, kept), found)
            )
        for one, place in fetched:
            to = context.output / _FILES / one.key
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, to)
        told_of = {one.key: one.told for one, _ in fetched}
        (context.output / _LIST).write_bytes(canonical_json(told_of) + b"\n")
        shutil.rmtree(kept, ignore_errors=True)
        new = sum(place.parent == kept for _, place in fetched)
        context.report.log(f"{self.params.url}: {len(fetched):,} objects, {new:,} of them fetched")

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        file = replace(file, path=file.path.removeprefix(f"{_FILES}/"))
        for found in labelled(file, read_file(file, self.params), self.params):
            yield replace(found, source=file.path)

    def _listed(self, store: Any) -> list["_Object"]:
        """By key. Errors: BadInput where there are none, too many, or two that can't both be files."""
        import obstore

        found: list[_Object] = []
        for one in self._asked(lambda: (meta for page in obstore.list(store) for meta in page)):
            if is_asked_for(one["path"], self.params):
                found.append(_Object(one["path"], one["size"], one["e_tag"] or ""))
            if len(found) > self.params.max_objects:
                raise BadInput(
                    f"{self.params.url}: more than {self.params.max_objects:,} objects",
                    fix="a longer prefix, `include`, or raise max_objects",
                )
        found = sorted(_without_markers(found), key=lambda one: one.key)
        if not found:
            raise BadInput(f"{self.params.url}: no object there", fix="check prefix, `include` and `exclude`")
        return found

    def _asked(self, ask: Any) -> Iterator[Any]:
        """Page by page, with what goes wrong in between told in words."""
        pages = iter(told(self.params.url, ask))
        while (one := told(self.params.url, lambda: next(pages, None))) is not None:
            yield one

    def _fetch(
        self, store: Any, one: "_Object", known: "_Object | None", before: Path | None, kept: Path
    ) -> tuple["_Object", Path]:
        """Errors: TransientError where it is another one by now, or not there any more."""
        import obstore

        if known is not None and before is not None and (known.etag, known.size) == (one.etag, one.size):
            return known, before / _FILES / one.key
        place = kept / digest_json([one.key, one.etag, one.size])[:32]
        noted = place.with_suffix(".json")
        if noted.exists():  # an update before this one was cut off later
            return _Object(one.key, **json.loads(noted.read_bytes())), place
        kept.mkdir(parents=True, exist_ok=True)
        options: Any = {"if_match": one.etag} if one.etag else {}
        url = f"{self.params.url}/{one.key}"
        try:
            answer = told(url, lambda: obstore.get(store, one.key, options=options))
            told(url, lambda: _write(answer, place))
        except (FileNotFoundError, TransientError) as error:
            if isinstance(error, TransientError) and "recondition" not in error.message:
                raise
            raise TransientError(f"{url} changed while it was fetched", fix="spark update again") from None
        meta = answer.meta
        if place.stat().st_size != one.size or (meta["e_tag"] or "") != one.etag:
            raise TransientError(f"{url} changed while it was fetched", fix="spark update again")
        got = replace(one, version=meta["version"])
        noted.write_bytes(canonical_json(got.told))
        return got, place


class _Object(Struct, frozen=True):
    key: str  # from the prefix on
    size: int
    etag: str
    version: str | None = None

    @property
    def told(self) -> dict[str, Any]:
        own = {"size": self.size, "etag": self.etag}
        return {**own, "version": self.version} if self.version else own


def _known(before: Path | None) -> dict[str, _Object]:
    """What was fetched last time, by key."""
    if before is None or not (before / _LIST).exists():
        return {}
    return {key: _Object(key, **of) for key, of in json.loads((before / _LIST).read_bytes()).items()}


def _without_markers(found: Iterable[_Object]) -> list[_Object]:
    """Without the empty objects that consoles make for a folder. Errors: BadInput for one that holds something."""
    objects = list(found)
    folders = {str(above) for one in objects for above in PurePosixPath(one.key).parents}
    for one in objects:
        if one.key in folders and one.size:
            raise BadInput(
                f"'{one.key}' is an object and a folder of others", fix=f"exclude: /{one.key}, or rename it"
            )
    return [one for one in objects if one.key not in folders]


def _write(answer: Any, place: Path) -> None:
    part = place.with_suffix(".part")
    with open(part, "wb") as out:
        for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES):
            out.write(chunk)
    os.replace(part, place)
