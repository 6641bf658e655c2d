"""The policies that `spark store policy` prints, held against a server that enforces them."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from spark_build.app.access import Remote, policy
from spark_build.core.errors import UsageError
from tests.services.ceph import another_user
from tests.services.service import Service
from tests.spark import Folder

PREFIX = "team/bot"
ASK: Mapping[str, Callable[[Any, str, str], Any]] = {
    "get": lambda client, bucket, name: client.get_object(Bucket=bucket, Key=name),
    "put": lambda client, bucket, name: client.put_object(Bucket=bucket, Key=name, Body=b"y"),
    "put new": lambda client, bucket, name: client.put_object(
        Bucket=bucket, Key=f"{name}-new", Body=b"y", IfNoneMatch="*"
    ),
    "parts": lambda client, bucket, name: in_parts(client, bucket, name),
    "delete": lambda client, bucket, name: client.delete_object(Bucket=bucket, Key=name),
    "list": lambda client, bucket, name: client.list_objects_v2(Bucket=bucket, Prefix=f"{name}/"),
}
ALWAYS_REFUSED = {  # but for a gc, which sees all scopes
    "list the bucket": lambda client, bucket: client.list_objects_v2(Bucket=bucket),
    "list all scopes": lambda client, bucket: client.list_objects_v2(Bucket=bucket, Prefix=f"{PREFIX}/"),
    "list a neighbour": lambda client, bucket: client.list_objects_v2(Bucket=bucket, Prefix=f"{PREFIX}/trusted"),
    "read the policy": lambda client, bucket: client.get_bucket_policy(Bucket=bucket),
    "write a policy": lambda client, bucket: client.put_bucket_policy(Bucket=bucket, Policy=OPEN % (bucket, bucket)),
    "open the bucket": lambda client, bucket: client.put_bucket_acl(Bucket=bucket, ACL="public-read-write"),
    "remove the bucket": lambda client, bucket: client.delete_bucket(Bucket=bucket),
}  # fmt: skip
OPEN = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*",'
    ' "Resource": ["arn:aws:s3:::%s", "arn:aws:s3:::%s/*"]}]}'
)
READ, WRITE = {"get", "list"}, {"get", "put", "put new", "parts", "list"}
WRITES = {"records": WRITE, "packs": WRITE, "leases": {*WRITE, "delete"}, "epoch": WRITE}
REMOVES = {
    "records": {*READ, "delete"}, "leases": {*READ, "delete"}, "packs": {*WRITE, "delete"},
    "epoch": {*READ, "delete", "put"},
}  # fmt: skip
READS = {f"trusted/{kind}": READ for kind in WRITES}
SCOPES = ("trusted", "scopes/pr", "scopes/pr2")
FOLDERS = (
    *(f"{PREFIX}/{scope}/{kind}" for scope in SCOPES for kind in WRITES), "team/botany/trusted/records", "other",
)  # fmt: skip
SEES = {f"{scope}/{kind}": READ for scope in SCOPES for kind in WRITES}
ROLES: dict[str, tuple[str, str, dict[str, set[str]]]] = {
    "a reader": ("reader", "trusted", READS),
    "a reader of a scope": ("reader", "scopes/pr", {**READS, **{f"scopes/pr/{kind}": READ for kind in WRITES}}),
    "a writer": ("writer", "trusted", {f"trusted/{kind}": may for kind, may in WRITES.items()}),
    "a writer of a scope": (
        "writer", "scopes/pr", {**READS, **{f"scopes/pr/{kind}": may for kind, may in WRITES.items()}}
    ),
    "gc of a scope": ("gc", "scopes/pr", {**SEES, **{f"scopes/pr/{kind}": may for kind, may in REMOVES.items()}}),
    "gc": ("gc", "*", {f"{scope}/{kind}": may for scope in SCOPES for kind, may in REMOVES.items()}),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_its_work_needs_and_nothing_else(ceph: Service, role: str) -> None:
    name, scope, may = ROLES[role]
    bucket, client = opened(ceph, name, scope)
    allowed = {f"{PREFIX}/{folder}": asked for folder, asked in may.items()}
    admin = ceph.client()
    with ThreadPoolExecutor(len(FOLDERS)) as pool:
        found = list(pool.map(lambda folder: allowed_in(admin, client, bucket, folder), FOLDERS))
    assert dict(zip(FOLDERS, found, strict=True)) == {
        folder: allowed.get(folder, set()) for folder in FOLDERS
    }
    done = {what for what, ask in ALWAYS_REFUSED.items() if not is_refused(lambda a=ask: a(client, bucket))}
    assert done == ({"list all scopes", "list a neighbour"} if name == "gc" else set())


def test_to_a_reader_what_is_not_there_is_refused_and_the_listing_tells_that_it_is_not(ceph: Service) -> None:
    bucket, client = opened(ceph, "reader", "trusted")
    assert is_refused(lambda: client.get_object(Bucket=bucket, Key=f"{PREFIX}/trusted/records/none"))
    listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{PREFIX}/trusted/records/none")
    assert listed["KeyCount"] == 0


def opened(ceph: Service, role: Any, scope: str) -> tuple[str, Any]:
    """A bucket, and a client of somebody who has that role alone."""
    bucket, user = ceph.new_bucket(), another_user(ceph, role)
    document = json.dumps(policy(Remote.of(f"s3://{bucket}/{PREFIX}"), role, scope))
    ceph.client(api="iam").put_user_policy(UserName=user.name, PolicyName="p", PolicyDocument=document)
    return bucket, ceph.client(user)


def allowed_in(admin: Any, client: Any, bucket: str, folder: str) -> set[str]:
    """What of `ASK` is done there, with an object that is there; an epoch is one, all else is asked below it."""
    found = set()
    for what, ask in ASK.items():
        is_epoch = folder.endswith("epoch") and what in ("get", "put", "delete")
        name = folder if is_epoch or what == "list" else f"{folder}/k"
        admin.put_object(Bucket=bucket, Key=name, Body=b"x")
        if not is_refused(lambda a=ask, n=name: a(client, bucket, n)):
            found.add(what)
    return found


def in_parts(client: Any, bucket: str, name: str) -> None:
    """One upload that is done, and one that is given up."""
    for is_done in (True, False):
        upload = client.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
        where = {"Bucket": bucket, "Key": name, "UploadId": upload}
        part = client.upload_part(**where, PartNumber=1, Body=b"y")
        assert len(client.list_parts(**where)["Parts"]) == 1
        if is_done:
            parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
            client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        else:
            client.abort_multipart_upload(**where)


def is_refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "403"):
            raise
        return True
    return False


# as they are printed


def test_the_policy_is_for_the_bucket_and_the_prefix_of_the_sparkfile(folder: Folder) -> None:
    not_pinned = "datasets: {d: {source: {use: huggingface, with: {dataset: a/b}}}}"
    folder.sparkfile(f"store: {{remote: s3://team-cache/support-bot/}}\n{not_pinned}")
    out = folder.spark("store", "policy", "writer", "--scope", "pr").out
    told = json.loads(out)
    assert {s["Sid"]: (s["Action"], s["Resource"]) for s in told["Statement"]} == {
        "ReadTrusted": (["s3:GetObject"], ["arn:aws:s3:::team-cache/support-bot/trusted/*"]),
        "Write": (
            ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            ["arn:aws:s3:::team-cache/support-bot/scopes/pr/*"],
        ),
        "GiveUpLeases": (["s3:DeleteObject"], ["arn:aws:s3:::team-cache/support-bot/scopes/pr/leases/*"]),
        "List": (["s3:ListBucket"], ["arn:aws:s3:::team-cache"]),
    }
    assert told["Statement"][-1]["Condition"] == {
        "StringLike": {"s3:prefix": ["support-bot/trusted/*", "support-bot/scopes/pr/*"]}
    }
    assert folder.spark("store", "policy", "writer", "--scope", "scopes/pr", "--json").out == out


@pytest.mark.parametrize("url", ["s3://b", "s3://b/"])
def test_a_store_may_have_the_whole_bucket(url: str) -> None:
    assert "Condition" not in policy(Remote.of(url), "gc", "*")["Statement"][-1]
    (read, listing) = policy(Remote.of(url), "reader")["Statement"]
    assert (read["Resource"], listing["Condition"]["StringLike"]) == (
        ["arn:aws:s3:::b/trusted/*"],
        {"s3:prefix": ["trusted/*"]},
    )


@pytest.mark.parametrize(
    "url", [None, "", "s3://", "s3:///x", "https://b/p", "s3://b/p*", "s3://b/${aws:username}"]
)
def test_where_no_bucket_is_named_or_its_prefix_would_stand_for_others_there_is_no_policy(
    url: str | None,
) -> None:
    with pytest.raises(UsageError):
        Remote.of(url)


@pytest.mark.parametrize("scope", ["*", "../trusted", "a/b", "pr*", "scopes/"])
def test_no_scope_is_wider_than_its_name(folder: Folder, scope: str) -> None:
    folder.sparkfile("store: {remote: s3://b}\ndatasets: {d: {source: .}}")
    told = folder.spark("store", "policy", "gc", "--scope", scope, code=2)
    assert "is no name of a scope" in told.err
    assert told.out == ""
