"""Files behind URLs, fetched and pinned by `spark update`."""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from spark_build.contract import Bad, Context, OutsideSource, Project, Raw, Secret, SourceFile, Unkeyed
from spark_build.contract.params import Field
from spark_build.core.digest import canonical_json, digest_bytes, digest_file
from spark_build.core.errors import BadInput, Unavailable
from spark_build.core.exchange import Failed
from spark_build.core.values import Struct, replace
from spark_build.sources._download import Asking, download
from spark_build.sources._labels import FileSource, LabelledParams, labelled
from spark_build.sources._reading import libraries_for, read_file
from spark_build.sources._urls import names_of, with_suffix

_FILES, _FAILED, _REASON = "files", "failed", ".reason.json"
_VALIDATORS = "validators.json"  # kept beside: what servers call their content never shapes a result
_MOST_TOLD = 3


class Params(LabelledParams):
    urls: list[str] = Field([], description="What is fetched, each one file.")
    file: str | None = Field(
        None, description="A file of the project with more URLs, one a line; # begins a comment."
    )
    authorization: Secret | None = Field(
        None,
        description='Sent as the header Authorization to the hosts named here: "Bearer ${secret.TOKEN}".',
    )
    allow_private: bool = Field(
        default=False,
        description="Also from private, loopback and link-local addresses; looked at by every redirect.",
    )
    timeout: Unkeyed[float] = Field(
        60.0, gt=0, description="Seconds that one try may take, from name to last byte."
    )
    retries: Unkeyed[int] = Field(
        3, ge=0, description="Further tries of what may pass: no connection, 429, 503 …"
    )
    wait: Unkeyed[float] = Field(
        0.5, ge=0, description="Seconds before the second try, twice as many before each further one."
    )
    parallel: Unkeyed[int] = Field(8, ge=1, le=64, description="URLs that are fetched at a time.")

    synonyms: ClassVar[Mapping[str, str]] = {
        **LabelledParams.synonyms,
        "url": "urls", "list": "file", "path": "file", "url_list": "file", "token": "authorization",
        "max_retries": "retries", "backoff": "wait", "workers": "parallel", "concurrency": "parallel",
    }  # fmt: skip

    @field_validator("urls")
    @classmethod
    def _are_urls(cls, value: list[str]) -> list[str]:
        for url in value:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"'{url}' is no http or https URL")
        return value

    @model_validator(mode="after")
    def _names_some(self) -> "Params":
        if not self.urls and self.file is None:
            raise ValueError("name some: urls: [https://…], or file: urls.txt")
        return self


class Http(FileSource, OutsideSource):
    """What could not be fetched is a rejected item with its reason; the next `spark update` asks again.

    Where something that may pass keeps it from a file that it has fetched before, that one stays.
    """

    Params = Params
    revision = 2
    outside_params = ("urls", "file", "authorization", "allow_private", "max_bytes")
    outside_parts = (f"{_FILES}/", f"{_FAILED}/")

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return libraries_for(params)

    @classmethod
    def asks(cls, params: Any, project: Project) -> Any:
        listed = project.digest(params.file) if params.file is not None else None
        if params.file is not None and listed is None:
            raise BadInput(f"{params.file}: no such file", fix="file: names a file with one URL a line")
        return {"urls": params.urls, "listed": listed, "max_bytes": params.max_bytes}

    def bring(self, context: Context, before: Path | None) -> None:
        urls, noted = self._urls(context.base_dir), context.scratch / _VALIDATORS
        known = json.loads(noted.read_bytes()) if noted.exists() else {}
        self._fetching = context.scratch / "fetching"
        shutil.rmtree(self._fetching, ignore_errors=True)
        self._fetching.mkdir()
        names = names_of(urls)
        wanted = [_Wanted(url, names[url], known.get(url, {}), before) for url in urls]
        with ThreadPoolExecutor(self.params.parallel) as pool:
            fetched = list(pool.map(lambda one: self._fetch(one, context, set(names.values())), wanted))
        failed = [one for one in fetched if isinstance(one, _Lost)]
        for one in failed:
            told_of = {"reason": one.reason, "detail": one.detail}
            _write_json(context.output / _FAILED / f"{one.name}{_REASON}", told_of)
            context.report.log(f"{one.url}: {one.reason} ({one.detail})")
        if len(failed) == len(urls):
            told = "; ".join(f"{one.url}: {one.reason} ({one.detail})" for one in failed[:_MOST_TOLD])
            raise Unavailable(f"none of {len(urls):,} URLs could be fetched: {told}", fix="check the URLs")
        kept = {one.url: one.told for one in fetched if isinstance(one, _Got)}
        _write_json(noted, kept)

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        group, _, name = file.path.partition("/")
        if group == _FAILED:
            told = json.loads(file.location.read_bytes())
            yield Bad(told["reason"], told["detail"], name.removesuffix(_REASON))
            return
        file = replace(file, path=name)
        for found in labelled(file, read_file(file, self.params), self.params):
            yield replace(found, source=name)

    def _urls(self, base_dir: Path) -> list[str]:
        urls = list(self.params.urls)
        if self.params.file is not None:
            lines = (base_dir / self.params.file).read_text(encoding="utf-8", errors="replace").splitlines()
            urls += [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        if not urls:
            raise BadInput(f"{self.params.file} names no URL", fix="one a line")
        return sorted(set(urls))

    def _fetch(self, one: "_Wanted", context: Context, names: Collection[str]) -> "_Got | _Lost":
        place = self._fetching / digest_bytes(one.url.encode())
        try:
            answer = download(one.url, place, self._asking(), one.validators if one.held else {})
        except Failed as why:
            place.unlink(missing_ok=True)
            if why.may_pass and one.held is not None:
                context.report.log(f"{one.url}: {why.reason} ({why.detail}); kept as it was fetched before")
                return self._taken(one, one.held, one.known, names, context)
            return _Lost(one.url, one.name, why.reason, why.detail)
        if answer.is_unchanged and one.held is not None:
            return self._taken(one, one.held, one.known, names, context)
        told = {"type": answer.content_type, "digest": digest_file(place), **answer.validators}
        return self._taken(one, place, told, names, context)

    def _taken(
        self, one: "_Wanted", place: Path, told: Mapping[str, str], names: Collection[str], context: Context
    ) -> "_Got":
        name = with_suffix(one.name, told["type"], one.url, names)  # what others are called today counts
        to = context.output / _FILES / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if place == one.held:
            shutil.copyfile(place, to)
        else:
            place.replace(to)
        return _Got(one.url, {**told, "name": name})

    def _asking(self) -> Asking:
        own = self.params
        return Asking(own.max_bytes, own.timeout, own.retries, own.wait, own.allow_private, own.authorization)


class _Wanted(Struct, frozen=True):
    url: str
    name: str
    known: Mapping[str, str]  # what the server said of it last time
    before: Path | None

    @property
    def held(self) -> Path | None:
        """Where it lies as it was fetched last time."""
        if self.before is None or not self.known:
            return None
        place = self.before / _FILES / self.known["name"]
        return place if place.is_file() and digest_file(place) == self.known["digest"] else None

    @property
    def validators(self) -> dict[str, str]:
        return {name: value for name, value in self.known.items() if name not in ("name", "type", "digest")}


class _Got(Struct, frozen=True):
    url: str
    told: Mapping[str, str]


class _Lost(Struct, frozen=True):
    url: str
    name: str
    reason: str
    detail: str


def _write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(canonical_json(value) + b"\n")
