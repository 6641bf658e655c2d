"""Who may do what in the remote store: one IAM policy for each role."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from spark_build.core.errors import UsageError
from spark_build.core.trust import TRUSTED
from spark_build.core.values import Struct
from sparkfile_schema.keys import NAME_PATTERN

if TYPE_CHECKING:
    from spark_build.app import Project

Role = Literal["reader", "writer", "gc"]
Policy = dict[str, Any]

ALL = "*"  # every scope
_READ = ("s3:GetObject",)
_WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_REMOVE = ("s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_WRITTEN_ANEW = (
    "epoch",
    "packs/*",
    "trees/*",
)  # by who removes: of these nothing is believed but by its digest
_SPECIAL = "*?$"  # in the names of a policy they stand for others


def policy_of(project: Project, role: Role, scope: str | None) -> Policy:
    """For the Sparkfile's remote store, whatever else of it is not pinned yet. Errors: UsageError."""
    from spark_build.app.graph_cache import outside

    graph = outside(project.request, project.lock, project.world)[2]
    return policy(Remote.of(graph.store.get("remote")), role, _scope_of(scope, role))


def _scope_of(name: str | None, role: Role) -> str:
    """The folder of a scope: `pr` is that of scopes/pr."""
    if name in (None, "", TRUSTED):
        return ALL if role == "gc" and name is None else TRUSTED
    short = str(name).removeprefix("scopes/")
    if not re.fullmatch(NAME_PATTERN, short):
        raise UsageError(f"'{name}' is no name of a scope", fix="letters, digits, '.', '_' and '-'")
    return f"scopes/{short}"


class Remote(Struct, frozen=True):
    """`store.remote`, taken apart."""

    bucket: str
    prefix: str  # '', or ends with a slash

    @classmethod
    def of(cls, url: str | None) -> Remote:
        """Errors: UsageError."""
        scheme, _, rest = (url or "").partition("://")
        bucket, _, prefix = rest.rstrip("/").partition("/")
        if scheme != "s3" or not bucket:
            raise UsageError(
                "a policy is for the bucket of a remote store, and the Sparkfile names none",
                fix="store: {remote: s3://BUCKET/PREFIX}",
            )
        if special := sorted(set(_SPECIAL) & set(prefix)):
            raise UsageError(
                f"store.remote: '{special[0]}' in '{prefix}' stands for other names in a policy",
                fix="give the store a prefix of letters, digits, '-', '_' and '/'",
            )
        return cls(bucket, f"{prefix}/" if prefix else "")


def policy(remote: Remote, role: Role, scope: str = TRUSTED) -> Policy:
    """For IAM, of Amazon's or another service's; `scope` is `trusted`, `scopes/NAME` or, for a gc, `*`."""
    reads = dict.fromkeys((TRUSTED, scope))
    if role == "reader":
        return _policy(_objects(remote, "Read", _READ, reads), _listing(remote, reads))
    if role == "writer":
        return _policy(
            *([_objects(remote, "ReadTrusted", _READ, [TRUSTED])] if scope != TRUSTED else []),
            _objects(remote, "Write", _WRITE, [scope]),
            _objects(remote, "GiveUpLeases", ("s3:DeleteObject",), [f"{scope}/leases"]),
            _listing(remote, reads),
        )
    # what lies in its scope may be named from another one: it has to see all
    scopes = [TRUSTED, "scopes"] if scope == ALL else [scope]
    inside = [TRUSTED, "scopes/*"] if scope == ALL else [scope]
    anew = [_arn(remote, f"{one}/{kind}") for one in inside for kind in _WRITTEN_ANEW]
    return _policy(
        _objects(remote, "ReadAll", _READ, [""]),
        _objects(remote, "Remove", _REMOVE, scopes),
        _allow("PutTogetherAnew", ("s3:PutObject",), anew),
        _listing(remote, [""], also=("s3:ListBucketMultipartUploads",)),
    )


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _objects(remote: Remote, name: str, actions: Iterable[str], folders: Iterable[str]) -> Policy:
    return _allow(name, actions, [_arn(remote, _below(folder)) for folder in folders])


def _listing(remote: Remote, folders: Iterable[str], also: Iterable[str] = ()) -> Policy:
    statement = _allow("List", ("s3:ListBucket", *also), [f"arn:aws:s3:::{remote.bucket}"])
    names = [f"{remote.prefix}{_below(folder)}" for folder in folders]
    if names == ["*"]:  # the bucket's own listing names no prefix, and such a condition would refuse it
        return statement
    return {**statement, "Condition": {"StringLike": {"s3:prefix": names}}}


def _below(folder: str) -> str:
    return f"{folder}/*" if folder else "*"


def _allow(name: str, actions: Iterable[str], resources: list[str]) -> Policy:
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": resources}


def _arn(remote: Remote, path: str) -> str:
    return f"arn:aws:s3:::{remote.bucket}/{remote.prefix}{path}"
