"""The card of `snapshot`, and the whole version committed, merged and tagged in a lakeFS repository."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import field_validator

from spark_build.contract import Context, Secret, Versioner
from spark_build.contract.params import Field, Unkeyed
from spark_build.core.digest import canonical_json
from spark_build.core.errors import BadInput, StageFailed
from spark_build.versioning import snapshot
from spark_build.versioning._lakefs_server import Refused, Repository
from spark_build.versioning._published import Version, another_tag, version_of

_PATH, _ARTIFACT, _TAG, _LINEAGE = "spark.path", "spark.artifact", "spark.tag", "spark.lineage"
_PIECE = 1 << 20


class Params(snapshot.Params):
    endpoint: str = Field(description="The server: https://lakefs.example.org.")
    repository: str = Field(description="The repository's name there.")
    path: str = Field(description="Where the dataset lies in it, like `datasets/tickets`.")
    branch: str | None = Field(
        None, description="What is merged into; by default the repository's own main branch."
    )
    access_key_id: Secret = Field(description='"${secret.LAKECTL_CREDENTIALS_ACCESS_KEY_ID}".')
    secret_access_key: Secret = Field(description='"${secret.LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY}".')
    message: Unkeyed[str | None] = Field(None, description="Of the commit; by default path and tag.")

    synonyms: ClassVar[Mapping[str, str]] = {
        **snapshot.Params.synonyms,
        "repo": "repository", "url": "endpoint", "host": "endpoint", "server": "endpoint", "prefix": "path",
        "into": "branch", "key": "access_key_id", "secret": "secret_access_key",
    }  # fmt: skip

    @field_validator("path")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        parts = PurePosixPath(value).parts
        if value.startswith("/") or not parts or ".." in parts:
            raise ValueError("no path in the repository\n  fix: a prefix, like `datasets/tickets`")
        return PurePosixPath(value).as_posix()

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or "@" in value:
            raise ValueError(f"'{value}' is no http or https URL without a password")
        return value


class LakeFS(Versioner):
    """Writes what `snapshot` writes; beyond it one commit, merge and tag for each content, however often it runs.

    A branch of its own takes the objects that changed, so that nobody sees half of a version; it is gone afterwards.
    The commit's metadata hold the version's digest, tag and lineage.
    """

    Params = Params
    revision = 1

    def write(self, context: Context) -> None:
        snapshot.Snapshot(self.params).write(context)

    def publish(self, context: Context, files: Mapping[str, Path]) -> None:
        own = self.params
        server = Repository(own.endpoint, own.repository, own.access_key_id, own.secret_access_key)
        version = version_of(files, own.tag, context.facts)
        try:
            done = _Publishing(server, version, own.path, own.message).into(own.branch)
        except Refused as refused:
            raise StageFailed(
                f"{own.endpoint}, repository '{own.repository}': {refused.said} ({refused.status})",
                fix="check repository, branch and tag",
            ) from None
        context.report.note("published", {"with": "lakefs", "repository": own.repository, **done})


def history(server: Repository, ref: str, path: str) -> Iterator[dict[str, Any]]:
    """Versions that the branch has had, the newest first: commit, and what its metadata say.

    The merge stands for the commit that it brought, which says the same.
    """
    before = None
    for commit in server.commits(ref):
        told = commit.get("metadata") or {}
        if told.get(_PATH) == path and told.get(_ARTIFACT) != before:
            before = told.get(_ARTIFACT)
            yield {"commit": commit["id"], "artifact": before, "tag": told.get(_TAG)}


class _Publishing:
    def __init__(self, server: Repository, version: Version, path: str, message: str | None) -> None:
        self._server, self._version, self._path = server, version, path
        self._message = message or " ".join(filter(None, (path, version.tag)))

    def into(self, branch: str | None) -> dict[str, Any]:
        """What was found there or done: artifact, commit, tag, and the commit of the version before."""
        server, version = self._server, self._version
        main = branch or server.default_branch()
        self._check_tag()
        newest = next(history(server, main, self._path), None)
        if newest is None or newest["artifact"] != version.digest:
            self._commit(main)
        newest, *earlier = _first_two(history(server, main, self._path))
        if newest["artifact"] != version.digest:
            raise StageFailed(
                f"{self._path} was changed on {main} by somebody else meanwhile", fix="build again"
            )
        if version.tag is not None and server.tag(version.tag) is None:
            server.make_tag(version.tag, newest["commit"])
        told = {"path": self._path, "branch": main, "artifact": version.digest, "commit": newest["commit"]}
        told |= {"tag": version.tag} if version.tag else {}
        return told | ({"before": earlier[0]["commit"]} if earlier else {})

    def _check_tag(self) -> None:
        """Errors: BadInput where it names other content already."""
        tag = self._version.tag
        if tag is None or self._server.tag(tag) is None:
            return
        tagged = next(history(self._server, tag, self._path), None)
        if tagged is None or tagged["artifact"] != self._version.digest:
            what = f"{self._path} with other content" if tagged else f"a commit without {self._path}"
            other = another_tag(self._path, tag, is_ours=tagged is not None)
            raise BadInput(
                f"the tag '{tag}' names {what}", fix=f"give this version a tag of its own, like '{other}'"
            )

    def _commit(self, main: str) -> None:
        """On a branch of its own, which a run that was cut off may have left."""
        server, version = self._server, self._version
        work = f"spark-{hashlib.sha256(self._path.encode()).hexdigest()[:8]}-{version.digest[:12]}"
        told = {_PATH: self._path, _ARTIFACT: version.digest, **({_TAG: version.tag} if version.tag else {})}
        told[_LINEAGE] = canonical_json(version.lineage).decode()
        server.drop_branch(work)
        server.make_branch(work, main)
        try:
            self._upload(work)
            server.commit(work, self._message, told)
            server.merge(work, main, self._message, told)
        except Refused as refused:
            if refused.status != 409:
                raise
            raise StageFailed(
                f"{self._path} was changed on {main} by somebody else meanwhile: {refused.said}",
                fix="build again",
            ) from None
        finally:
            server.drop_branch(work)

    def _upload(self, work: str) -> None:
        """What is not there as it is now; what the version has no more goes."""
        prefix = f"{self._path}/"
        there = {one["path"].removeprefix(prefix): one for one in self._server.objects(work, prefix)}
        for path, file in sorted(self._version.files.items()):
            known = there.pop(path, None)
            if known is None or not _is_content_of(known, file):
                self._server.upload(work, prefix + path, file)
        for path in sorted(there):
            self._server.delete(work, prefix + path)


def _is_content_of(known: Mapping[str, Any], file: Path) -> bool:
    """By the MD5 that the server names an uploaded object's content with; another checksum is other content."""
    if known.get("size_bytes") != file.stat().st_size:
        return False
    digest = hashlib.md5(usedforsecurity=False)
    with open(file, "rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return str(known.get("checksum")) == digest.hexdigest()


def _first_two(found: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(islice(found, 2)) or [{"artifact": None}]
