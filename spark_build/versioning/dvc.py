"""The card of `snapshot`, and the whole version added, committed, tagged and pushed in a DVC repository."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import field_validator

from spark_build.contract import Context, Versioner
from spark_build.contract.params import Field, Needs, Project, Unkeyed
from spark_build.core.values import replace
from spark_build.versioning import _dvc_repository, snapshot
from spark_build.versioning._dvc_repository import Place
from spark_build.versioning._published import version_of

_PASSWORD = re.compile(r"[a-z+]+://[^/@]*:[^/@]*@")
_AUTHOR = re.compile(r"[^<>\n]+ <[^<>\s]+>")


class Params(snapshot.Params):
    repository: str = Field(
        description="The DVC repository: a folder (of its own where it is missing or empty), relative to the "
        "Sparkfile, or a git URL.",
    )
    path: str = Field(description="Where the dataset lies in it: `tickets` is tracked by `tickets.dvc`.")
    branch: str | None = Field(
        None, description="The branch that is committed to; by default the one that is checked out there."
    )
    push: bool = Field(
        True,
        description="Whether data go to the DVC remote, and commit and tag to git's, where the repository has one.",
    )
    remote: str | None = Field(
        None, description="The DVC remote that is pushed to; by default the repository's own."
    )
    message: Unkeyed[str | None] = Field(
        None, description="First line of the commit; by default path and tag."
    )
    author: Unkeyed[str | None] = Field(
        None, description="Who commits: `Name <mail>`; by default as git is set up."
    )
    program: Unkeyed[str] = Field(
        "dvc",
        description="The `dvc` to run: a name on PATH, or where it lies; its environment may be another.",
    )
    secrets: Unkeyed[tuple[str, ...]] = Field(
        (),
        description="Variables that git or the remote need, like AWS_ACCESS_KEY_ID and SSH_AUTH_SOCK: handed on, "
        "masked in logs.",
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        **snapshot.Params.synonyms,
        "repo": "repository",
        "url": "repository",
        "out": "path",
        "rev": "tag",
        "env": "secrets",
    }

    @field_validator("repository", "path", "branch", "remote", "program")
    @classmethod
    def _is_no_option(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip() or value.startswith("-") or "\n" in value):
            raise ValueError("empty, or begins with '-'")
        return value

    @field_validator("repository")
    @classmethod
    def _has_no_password(cls, value: str) -> str:
        if _PASSWORD.match(value):
            raise ValueError(
                "a password in a URL is kept in every log\n  fix: let git's credential helper know it"
            )
        return value

    @field_validator("path")
    @classmethod
    def _lies_inside(cls, value: str) -> str:
        parts = PurePosixPath(value).parts
        if value.startswith("/") or not parts or {"..", ".git", ".dvc"}.intersection(parts):
            raise ValueError(
                "lies outside of the repository's data\n  fix: a folder in it, like `data/tickets`"
            )
        return PurePosixPath(value).as_posix()

    @field_validator("author")
    @classmethod
    def _has_name_and_mail(cls, value: str | None) -> str | None:
        if value is not None and not _AUTHOR.fullmatch(value):
            raise ValueError("no name and mail\n  fix: Ada Lovelace <ada@example.org>")
        return value

    @field_validator("tag")
    @classmethod
    def _is_git_tag(cls, value: str | None) -> str | None:
        if value is not None and not _dvc_repository.is_ref_name(value):
            raise ValueError("git takes no such tag\n  fix: letters, digits, '.', '-', '_' and '/'")
        return value


class Dvc(Versioner):
    """Writes what `snapshot` writes; outside of it one commit and one tag for each content, however often it runs.

    `dvc` and `git` run as programs of their own: dvc takes a second to load, and forty packages. They shape nothing of
    the result. `dvc get REPOSITORY PATH --rev TAG` gives its very bytes.
    """

    Params = Params
    revision = 2

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return replace(super().needs(params, project), secrets=params.secrets)

    def write(self, context: Context) -> None:
        snapshot.Snapshot(self.params).write(context)

    def publish(self, context: Context, files: Mapping[str, Path]) -> None:
        version = version_of(files, self.params.tag, context.facts)
        done = _dvc_repository.publish(
            self._place(context.base_dir), version, context.scratch, context.report
        )
        context.report.note("published", {"with": "dvc", "repository": self.params.repository, **done})

    def _place(self, base: Path) -> Place:
        own = self.params
        names = ("repository", "path", "branch", "push", "remote", "message", "author")
        program = str(base / own.program) if "/" in own.program else own.program
        return Place(base=base, program=program, **{name: getattr(own, name) for name in names})
