"""The proxy that counts and makes faults: what passes is unchanged, each fault is what its name says, and only once."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

from tests.services import faults
from tests.services.fault_proxy import FaultProxy
from tests.services.faults import Fault
from tests.services.service import Service

CONTENT = os.urandom(10_000)
FAULTS = {
    "500": faults.internal_error(),
    "503": faults.slow_down(),
    "no answer": faults.no_answer(),
    "no answer, though done": faults.no_answer(reached=True),
    "reset": faults.reset(),
    "reset, though done": faults.reset(reached=True),
    "truncated": faults.truncated(),
    "flipped": faults.flipped_bit(),
    "flipped on the way in": faults.flipped_bit_on_the_way_in(),
    "byte by byte": faults.byte_by_byte(0.00001),
}


@pytest.fixture
def proxy(moto_server: Service) -> Iterator[FaultProxy]:
    with FaultProxy(moto_server) as running:
        yield running


@pytest.fixture
def bucket(moto_server: Service) -> str:
    """With an object "k"; made without the proxy."""
    name = moto_server.new_bucket()
    moto_server.client().put_object(Bucket=name, Key="k", Body=CONTENT)
    return name


@pytest.fixture
def client(proxy: FaultProxy) -> Any:
    return proxy.service.client(read_timeout=0.5)


def content(client: Any, bucket: str, key: str = "k") -> bytes:
    read: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return read


def bits_that_differ(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


# what passes


def operations(client: Any, bucket: str, upload_id: str) -> dict[str, Callable[[], Any]]:
    """By the name that the proxy has to give it; in this order each works."""
    key = {"Bucket": bucket, "Key": "k"}
    upload = {"Bucket": bucket, "Key": "m", "UploadId": upload_id}
    part = {"PartNumber": 1, "ETag": f'"{hashlib.md5(CONTENT).hexdigest()}"'}
    return {
        "PutObject": lambda: client.put_object(**key, Body=CONTENT),
        "HeadObject": lambda: client.head_object(**key),
        "GetObject": lambda: client.get_object(**key)["Body"].read(),
        "CopyObject": lambda: client.copy_object(Bucket=bucket, Key="p", CopySource=f"{bucket}/k"),
        "ListObjectsV2": lambda: client.list_objects_v2(Bucket=bucket),
        "CreateMultipartUpload": lambda: client.create_multipart_upload(Bucket=bucket, Key="n"),
        "UploadPart": lambda: client.upload_part(**upload, PartNumber=1, Body=CONTENT),
        "ListParts": lambda: client.list_parts(**upload),
        "CompleteMultipartUpload": lambda: client.complete_multipart_upload(
            **upload, MultipartUpload={"Parts": [part]}
        ),
        "AbortMultipartUpload": lambda: client.abort_multipart_upload(**upload),
        "DeleteObject": lambda: client.delete_object(Bucket=bucket, Key="p"),
        "DeleteObjects": lambda: client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "p"}]}),
        "HeadBucket": lambda: client.head_bucket(Bucket=bucket),
    }


def started_upload(service: Service, bucket: str) -> str:
    return str(service.client().create_multipart_upload(Bucket=bucket, Key="m")["UploadId"])


def test_requests_are_counted_by_operation(
    proxy: FaultProxy, moto_server: Service, client: Any, bucket: str
) -> None:
    asked = operations(client, bucket, started_upload(moto_server, bucket))
    del asked["AbortMultipartUpload"]  # of one that is complete
    for ask in asked.values():
        ask()
    client.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=started_upload(moto_server, bucket))
    assert proxy.counts() == dict.fromkeys([*asked, "AbortMultipartUpload"], 1)
    assert proxy.methods() == {"PUT": 3, "HEAD": 2, "GET": 3, "POST": 3, "DELETE": 2}


def test_the_log_tells_keys_and_bytes(proxy: FaultProxy, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="a/b c+é", Body=b"12345")
    content(client, bucket, "a/b c+é")
    told = [(r.operation, r.bucket, r.key, r.sent, r.received, r.status) for r in proxy.requests]
    assert told == [
        ("PutObject", bucket, "a/b c+é", 5, 0, 200),
        ("GetObject", bucket, "a/b c+é", 0, 5, 200),
    ]


@pytest.mark.parametrize("kind", ["moto_server", "ceph"])
def test_large_objects_pass_unchanged(kind: str, request: pytest.FixtureRequest) -> None:
    service: Service = request.getfixturevalue(kind)
    bucket, data = service.new_bucket(), os.urandom(40 << 20)
    with FaultProxy(service) as proxy:
        proxy.service.client().put_object(Bucket=bucket, Key="k", Body=data)
        assert content(service.client(), bucket) == data
        assert content(proxy.service.client(), bucket) == data
        assert [(r.sent, r.received) for r in proxy.requests] == [(len(data), 0), (0, len(data))]


def test_many_connections_at_once_pass(proxy: FaultProxy, bucket: str) -> None:
    client = proxy.service.client()
    with ThreadPoolExecutor(32) as pool:
        keys = [f"k{n}" for n in range(200)]
        list(pool.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=key.encode()), keys))
        assert list(pool.map(lambda key: content(client, bucket, key), keys)) == [k.encode() for k in keys]
    assert proxy.counts() == {"PutObject": 200, "GetObject": 200}


# faults


@pytest.mark.parametrize(("fault", "code"), [("500", "InternalError"), ("503", "SlowDown")])
def test_an_error_of_the_server_comes_without_the_server(
    proxy: FaultProxy, client: Any, bucket: str, fault: str, code: str
) -> None:
    proxy.inject(FAULTS[fault], on="PutObject")
    with pytest.raises(ClientError) as told:
        client.put_object(Bucket=bucket, Key="new", Body=b"x")
    assert told.value.response["Error"]["Code"] == code
    assert "new" not in keys(client, bucket)


@pytest.mark.parametrize("reached", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"), [(faults.reset, ConnectionClosedError), (faults.no_answer, ReadTimeoutError)]
)
def test_the_server_has_done_it_or_not(
    proxy: FaultProxy,
    client: Any,
    bucket: str,
    fault: Callable[..., Fault],
    error: type[Exception],
    reached: bool,
) -> None:
    proxy.inject(fault(reached=reached), on="PutObject")
    with pytest.raises(error):
        client.put_object(Bucket=bucket, Key="new", Body=b"x")
    assert ("new" in keys(client, bucket)) is reached


def test_a_truncated_body_is_shorter_than_it_was_said_to_be(
    proxy: FaultProxy, client: Any, bucket: str
) -> None:
    proxy.inject(faults.truncated(0.25), on="GetObject")
    answer = client.get_object(Bucket=bucket, Key="k")
    assert answer["ContentLength"] == len(CONTENT)
    with pytest.raises(BotoCoreError, match=f"{len(CONTENT) // 4} bytes read"):
        answer["Body"].read()


def test_one_bit_of_what_comes_is_another(proxy: FaultProxy, client: Any, bucket: str) -> None:
    proxy.inject(faults.flipped_bit(), on="GetObject")
    assert bits_that_differ(content(client, bucket), CONTENT) == 1
    assert content(client, bucket) == CONTENT


def test_one_bit_of_what_is_sent_is_kept_as_another(proxy: FaultProxy, client: Any, bucket: str) -> None:
    proxy.inject(faults.flipped_bit_on_the_way_in(), on="PutObject")
    client.put_object(Bucket=bucket, Key="k", Body=CONTENT)
    assert bits_that_differ(content(client, bucket), CONTENT) == 1


def test_a_body_comes_byte_by_byte(proxy: FaultProxy, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=CONTENT[:100])
    proxy.inject(faults.byte_by_byte(0.005), on="GetObject")
    began = time.monotonic()
    assert content(client, bucket) == CONTENT[:100]
    assert time.monotonic() - began > 0.5


def test_the_nth_request_of_a_kind_and_key_so_often_and_no_other(
    proxy: FaultProxy, client: Any, bucket: str
) -> None:
    proxy.inject(faults.slow_down(), on="Put*", key="records/*", nth=2, times=2)
    fates = []
    for key in ("records/1", "packs/1", "records/2", "records/3", "packs/2", "records/4"):
        fates.append(is_refused(lambda key=key: client.put_object(Bucket=bucket, Key=key, Body=b"x")))
    assert fates == [False, False, True, True, False, False]
    assert [r.fault for r in proxy.requests] == ["SlowDown" if refused else "" for refused in fates]


def test_a_fault_for_always_stays_until_it_is_healed(proxy: FaultProxy, client: Any, bucket: str) -> None:
    proxy.inject(faults.internal_error(), times=None)
    assert [is_refused(lambda: content(client, bucket)) for _ in range(3)] == [True] * 3
    proxy.heal()
    assert content(client, bucket) == CONTENT


def test_obstore_tries_again_and_gets_through(proxy: FaultProxy, bucket: str) -> None:
    from obstore.store import S3Store

    proxy.inject(faults.slow_down(), on="GetObject")
    keys = proxy.service.users["admin"]
    store = S3Store(
        bucket,
        endpoint=proxy.url,
        access_key_id=keys.access_key,
        secret_access_key=keys.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    assert bytes(store.get("k").bytes()) == CONTENT
    assert [r.status for r in proxy.requests] == [503, 200]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_operation_ends_under_each_fault_and_the_next_one_gets_through(
    proxy: FaultProxy, moto_server: Service, bucket: str, fault: str
) -> None:
    patient, impatient = (proxy.service.client(read_timeout=seconds) for seconds in (60.0, 0.1))
    for operation, ask in operations(impatient, bucket, started_upload(moto_server, bucket)).items():
        proxy.forget()
        proxy.inject(FAULTS[fault], on=operation)
        with suppress(Exception):  # of a flipped bit boto3 makes any error, or none
            ask()
        patient.list_buckets()
        assert [(r.operation, bool(r.fault)) for r in proxy.requests] == [
            (operation, True),
            ("ListBuckets", False),
        ]


def keys(client: Any, bucket: str) -> list[str]:
    return [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]


def is_refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except ClientError:
        return True
    return False
