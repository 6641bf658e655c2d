"""Servers that tests ask: what they keep, who wins a race, whom they refuse, and that they end with their users."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.services.ceph import another_user
from tests.services.keeper import NotStarted, shared
from tests.services.service import Service, User
from tests.spark import REPOSITORY

WRITERS = 8


@pytest.fixture(params=["moto_server", "ceph"])
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.getfixturevalue(request.param)
    return found


def store(service: Service, bucket: str) -> Any:
    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=service.url,
        access_key_id=service.users["admin"].access_key,
        secret_access_key=service.users["admin"].secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def test_what_obstore_puts_boto3_gets(service: Service) -> None:
    bucket, data = service.new_bucket(), os.urandom(3_000_000)
    store(service, bucket).put("a/b c+é", data)
    assert service.client().get_object(Bucket=bucket, Key="a/b c+é")["Body"].read() == data


def test_what_boto3_puts_obstore_gets(service: Service) -> None:
    bucket, data = service.new_bucket(), os.urandom(3_000_000)
    service.client().put_object(Bucket=bucket, Key="k", Body=data)
    assert bytes(store(service, bucket).get("k").bytes()) == data


def test_a_large_object_in_parts_comes_back(service: Service) -> None:
    bucket, data = service.new_bucket(), os.urandom(13_000_000)
    store(service, bucket).put("k", data, use_multipart=True, chunk_size=5 << 20)
    assert bytes(store(service, bucket).get("k").bytes()) == data


def test_a_new_bucket_is_empty_and_another_each_time(service: Service) -> None:
    buckets = [service.new_bucket() for _ in range(2)]
    assert len(set(buckets)) == 2
    assert service.client().list_objects_v2(Bucket=buckets[0])["KeyCount"] == 0


def test_the_environment_is_all_that_boto3_needs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    bucket = service.new_bucket()
    assert bucket in {
        found["Name"] for found in boto3.session.Session().client("s3").list_buckets()["Buckets"]
    }


def test_of_eight_conditional_puts_exactly_one_wins(ceph: Service) -> None:
    bucket, client, together = ceph.new_bucket(), ceph.client(), Barrier(WRITERS)

    def put(writer: int, key: str) -> str:
        together.wait()
        return refusal(
            lambda: client.put_object(Bucket=bucket, Key=key, Body=f"{writer}".encode(), IfNoneMatch="*")
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        for key in map(str, range(20)):
            told = list(pool.map(put, range(WRITERS), [key] * WRITERS))
            assert sorted(told) == ["", *["PreconditionFailed"] * (WRITERS - 1)]
            assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == f"{told.index('')}".encode()


def test_a_conditional_put_over_what_is_there_is_refused(service: Service) -> None:
    bucket, client = service.new_bucket(), service.client()
    client.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    again = refusal(lambda: client.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*"))
    assert again == "PreconditionFailed"
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


# who may do what: Ceph alone


def test_a_reader_reads_and_cannot_write(ceph: Service) -> None:
    bucket = opened_to(ceph, reader=["s3:GetObject", "s3:ListBucket"])
    client = ceph.client("reader")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert refusal(lambda: client.put_object(Bucket=bucket, Key="k", Body=b"y")) == "AccessDenied"
    assert refusal(lambda: client.delete_object(Bucket=bucket, Key="k")) == "AccessDenied"


def test_a_writer_writes_where_the_policy_says_and_nowhere_else(ceph: Service) -> None:
    bucket = opened_to(ceph, "scopes/mine/*", writer=["s3:PutObject"])
    client = ceph.client("writer")
    client.put_object(Bucket=bucket, Key="scopes/mine/k", Body=b"y")
    assert refusal(lambda: client.put_object(Bucket=bucket, Key="trusted/k", Body=b"y")) == "AccessDenied"
    assert refusal(lambda: client.get_object(Bucket=bucket, Key="k")) == "AccessDenied"


def test_nobody_gets_in_without_a_policy_or_with_a_wrong_secret(ceph: Service) -> None:
    bucket = ceph.new_bucket()
    wrong = User("admin", ceph.users["admin"].access_key, "another secret")
    assert refusal(lambda: ceph.client("reader").list_objects_v2(Bucket=bucket)) == "AccessDenied"
    assert refusal(lambda: ceph.client(wrong).list_objects_v2(Bucket=bucket)) == "SignatureDoesNotMatch"


def test_a_policy_of_a_user_alone_lets_it_in(ceph: Service) -> None:
    bucket, user = ceph.new_bucket(), another_user(ceph, "guest")
    ceph.client().put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refusal(lambda: ceph.client(user).get_object(Bucket=bucket, Key="k")) == "AccessDenied"
    statement = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket}/*"]}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    ceph.client(api="iam").put_user_policy(UserName=user.name, PolicyName="p", PolicyDocument=document)
    assert ceph.client(user).get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert refusal(lambda: ceph.client(user).put_object(Bucket=bucket, Key="k", Body=b"y")) == "AccessDenied"


def opened_to(ceph: Service, keys: str = "*", **actions: list[str]) -> str:
    """A bucket with an object "k", and a policy of its own."""
    bucket = ceph.new_bucket()
    ceph.client().put_object(Bucket=bucket, Key="k", Body=b"x")
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam:::user/{user}"]},
            "Action": allowed,
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{keys}"],
        }
        for user, allowed in actions.items()
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    ceph.client().put_bucket_policy(Bucket=bucket, Policy=policy)
    return bucket


def refusal(ask: Callable[[], object]) -> str:
    """The error's code, "" where it is done as asked."""
    try:
        ask()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


# one server for many processes

USER = """
import sys
from pathlib import Path
from tests.services.keeper import shared
with shared(sys.argv[1], Path(sys.argv[2])) as service:
    print(service.url, flush=True)
    sys.stdin.read()
"""


def user(kind: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER, kind, str(folder)]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_processes_share_one_server_and_it_ends_with_the_last_although_all_are_killed(tmp_path: Path) -> None:
    mark = tmp_path / uuid.uuid4().hex  # found in the command line of the keeper
    users = [user("moto_server", mark) for _ in range(3)]
    assert len({first_line(process) for process in users}) == 1
    for process in users[:2]:
        process.kill()
        process.wait()
    time.sleep(0.2)
    assert len(running_with(mark)) == 2  # the keeper, and the user who is left
    users[2].kill()
    users[2].wait()
    wait_until(lambda: not running_with(mark))


def test_no_process_and_no_folder_of_ceph_is_left_although_its_user_is_killed(
    ceph: Service, tmp_path: Path
) -> None:
    process = user("ceph", tmp_path)
    assert first_line(process).startswith("http://127.0.0.1:")
    own = Path(json.loads((tmp_path / "told.json").read_text())["folder"])
    assert len(running_with(own)) == 3  # monitor, objects, gateway; another Ceph runs beside them
    process.kill()
    process.wait()
    wait_until(lambda: not running_with(own) and not own.exists())


def test_ceph_dies_with_its_keeper(ceph: Service, tmp_path: Path) -> None:
    process = user("ceph", tmp_path)
    first_line(process)
    own = json.loads((tmp_path / "told.json").read_text())["folder"]
    (keeper,) = [found for found in running_with(tmp_path) if found != process.pid]
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not running_with(own))
    process.kill()
    process.wait()
    shutil.rmtree(own)


def test_a_server_whose_keeper_was_killed_is_started_anew(tmp_path: Path) -> None:
    with shared("moto_server", tmp_path) as first:
        (keeper,) = running_with(tmp_path)
        os.kill(keeper, signal.SIGKILL)
        os.waitid(os.P_PID, keeper, os.WEXITED | os.WNOWAIT)  # its locks are free by then, and not before
        with shared("moto_server", tmp_path) as second:
            assert second.client().list_buckets()["Buckets"] == []
            assert second.url != first.url


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(NotStarted, match=r"No module named 'tests\.services\.nothing'"),
        shared("nothing", tmp_path),
    ):
        pass


def running_with(word: Path | str) -> list[int]:
    """The processes in whose command line it stands."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            if os.fsencode(str(word)) in words:
                found.append(int(entry.name))
    return found
