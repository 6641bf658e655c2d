"""Points of a Qdrant collection, scrolled and pinned by `spark update`."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from spark_build.contract import (
    Bad,
    Context,
    OutsideSource,
    Project,
    Raw,
    RuleParams,
    Secret,
    SourceFile,
    Unkeyed,
)
from spark_build.contract.params import Field
from spark_build.core.digest import canonical_json, digest_json
from spark_build.core.errors import BadInput, SparkError, Unavailable
from spark_build.sources._pinned_rows import ROWS, without_credentials, write_rows


class Params(RuleParams):
    url: Secret | None = Field(None, description="Of the server: http://localhost:6333.")
    api_key: Secret | None = Field(None, description='The server\'s: "${secret.QDRANT_KEY}".')
    path: str | None = Field(
        None,
        description="In place of a server the folder of qdrant-client's local mode, from the Sparkfile's on.",
    )
    collection: str = Field(min_length=1, description="Its name.")
    fields: dict[str, str] = Field(
        {}, description="Field: key of the payload (`meta.lang` is one within `meta`); by default all keys."
    )
    filter: dict[str, Any] | None = Field(
        None,
        description="Which points, as Qdrant's API writes it: {must: [{key: lang, match: {value: en}}]}.",
    )
    vector: str | None = Field(
        None, description="The field that takes a point's vector; by default none does."
    )
    vector_name: str | None = Field(None, description="Which of several named vectors that is.")
    split: str | None = Field(None, description="The key of the payload that says the split of a point.")
    max_points: int = Field(10_000_000, ge=1, description="More than so many are an error.")
    page: Unkeyed[int] = Field(256, ge=1, le=10_000, description="Points that are asked for at a time.")
    timeout: Unkeyed[int] = Field(60, ge=1, description="Seconds that one answer may take.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "host": "url", "location": "url", "token": "api_key", "collection_name": "collection", "name": "collection",
        "payload": "fields", "columns": "fields", "where": "filter", "scroll_filter": "filter", "limit": "max_points",
        "vectors": "vector", "with_vectors": "vector", "batch_size": "page", "folder": "path",
    }  # fmt: skip

    @field_validator("fields")
    @classmethod
    def _free_names(cls, value: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in value if name in ("id", "source", "meta")]:
            raise ValueError(f"a field can't be called '{taken[0]}'")
        return value

    @model_validator(mode="after")
    def _names_one(self) -> "Params":
        if (self.url is None) == (self.path is None):
            raise ValueError("name one: url: http://… of a server, or path: a folder of the local mode")
        if self.vector_name is not None and self.vector is None:
            raise ValueError("vector_name without vector: the field that takes it")
        if self.vector is not None and self.vector in self.fields:
            raise ValueError(f"two values for the field '{self.vector}'")
        return self


class Qdrant(OutsideSource):
    """A point is a record by its id; the whole payload is kept, so that other `fields` need no new look."""

    Params = Params
    revision = 1
    outside_params = ("path", "collection", "filter", "vector_name", "max_points")
    outside_parts = (f"{ROWS}/",)

    @classmethod
    def asks(cls, params: Any, project: Project) -> Any:
        place = params.path if params.url is None else without_credentials(params.url)
        asked = {"place": place, "collection": params.collection, "filter": params.filter}
        return {**asked, "vector": params.vector_name if params.vector else False}

    def bring(self, context: Context, before: Path | None) -> None:
        points = dict(self._points(context.base_dir))
        if not points:
            raise BadInput(f"'{self.params.collection}' gives no point", fix="check collection and filter")
        # numbers before UUIDs, each in their own order
        ordered = sorted(points, key=lambda point_id: (isinstance(point_id, str), point_id))
        write_rows((points[point_id] for point_id in ordered), context.output)
        context.report.log(f"{len(points):,} points")

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        with open(file.location, "rb") as lines:
            for line in lines:
                yield self._record(json.loads(line))

    def _record(self, point: dict[str, Any]) -> Raw | Bad:
        own, payload = self.params, point.get("payload") or {}
        names = own.fields or {name: name for name in payload if name != own.split}
        fields = {
            field: _within(payload, key) if own.fields else payload[key] for field, key in names.items()
        }
        if own.vector is not None:
            fields[own.vector] = point.get("vector")
        if all(value is None for value in fields.values()):
            return Bad("empty", f"point {point['id']} has no value", ROWS)
        split = _within(payload, own.split) if own.split is not None else None
        return Raw(
            fields, digest_json(point), str(point["id"]), None if split is None else str(split), source=ROWS
        )

    def _points(self, base: Path) -> Iterator[tuple[int | str, bytes]]:
        """By id, as canonical JSON. Errors: Unavailable, in which no key stands; BadInput."""
        try:
            from qdrant_client import QdrantClient, models
        except ImportError:
            raise Unavailable("qdrant needs qdrant-client", fix="pip install 'spark-build[qdrant]'") from None
        own, offset, count = self.params, None, 0
        try:
            chosen = models.Filter(**own.filter) if own.filter else None
        except ValueError as error:
            first = str(error).replace("\n", " ")[:300]
            raise BadInput(
                f"the filter is none of Qdrant's: {first}", fix="its documentation has some"
            ) from None
        wanted: Any = [own.vector_name] if own.vector_name else own.vector is not None
        with _told(own):
            client = QdrantClient(**self._place(base))
            try:
                while True:
                    page, offset = client.scroll(
                        own.collection, chosen, limit=own.page, offset=offset, with_vectors=wanted
                    )
                    count += len(page)
                    if count > own.max_points:
                        raise BadInput(
                            f"more than {own.max_points:,} points", fix="a filter, or raise max_points"
                        )
                    yield from (self._row(point) for point in page)
                    if offset is None:
                        return
            finally:
                client.close()

    def _place(self, base: Path) -> dict[str, Any]:
        own = self.params
        if own.url is not None:
            return {
                "url": own.url,
                "api_key": own.api_key,
                "timeout": own.timeout,
                "check_compatibility": False,
            }
        folder = base / own.path
        if not (folder / "meta.json").is_file():  # the client would make one
            raise Unavailable(
                f"{own.path}: no folder of Qdrant's", fix="path names what QdrantClient(path=…) made"
            )
        return {"path": str(folder)}

    def _row(self, point: Any) -> tuple[int | str, bytes]:
        own_id = point.id if isinstance(point.id, int) else str(point.id)
        row = {"id": own_id, "payload": _plain(point.payload or {})}
        if self.params.vector is not None:
            row["vector"] = _plain(self._vector(point.vector))
        return own_id, canonical_json(row)

    def _vector(self, vector: Any) -> Any:
        """Errors: BadInput where it is not said which of several is meant."""
        if not isinstance(vector, Mapping):
            return vector if vector is None or isinstance(vector, list) else vector.model_dump()
        if self.params.vector_name is None and len(vector) > 1:
            raise BadInput(
                "its points have several vectors", fix=f"vector_name: one of {', '.join(sorted(vector))}"
            )
        found = (
            vector.get(self.params.vector_name)
            if self.params.vector_name
            else next(iter(vector.values()), None)
        )
        return found if found is None or isinstance(found, list) else found.model_dump()


def _within(payload: Any, key: str) -> Any:
    """The value under the key itself, or along its dots; None where there is none."""
    if isinstance(payload, Mapping) and key in payload:
        return payload[key]
    name, dot, rest = key.partition(".")
    return _within(payload[name], rest) if dot and isinstance(payload, Mapping) and name in payload else None


def _plain(value: Any) -> Any:
    """As JSON has it; no number is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | bool) else str(value)


@contextmanager
def _told(own: Any) -> Iterator[None]:
    """What the client raises, in words without the key."""
    try:
        yield
    except SparkError:
        raise
    except Exception as error:  # the client's own, its HTTP library's, ValueError of the local mode
        said = str(error).replace("\n", " ")[:300] or type(error).__name__
        place = own.path if own.url is None else without_credentials(own.url)
        said = said.replace(own.api_key, "***") if own.api_key else said
        raise Unavailable(f"{place}: {said}", fix="check the place, the collection and api_key") from None
