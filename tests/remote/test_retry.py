"""Each fault on each operation: once, and nobody notices; always, and what was tried is told, and nothing is lost."""

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spark_build.app.remoting import ANSWER_VARIABLE
from spark_build.core.digest import digest_json
from spark_build.core.errors import StoreDamaged, TransientError
from spark_build.core.record import Record
from spark_build.core.trust import Trust
from spark_build.remote.bucket import TRIES, Bucket
from spark_build.remote.store import RemoteStore
from spark_build.storage.local import LocalStore
from tests.remote.conftest import Team
from tests.services import faults
from tests.services.fault_proxy import FaultProxy
from tests.services.service import Service
from tests.spark import Folder

ANSWER_SECONDS = 0.3
CONTENT = bytes(range(256)) * 40
MANIFEST = {"steps": [], "stage": "train"}
FILES = {"a": b"first", "b": CONTENT, "large": CONTENT * 500}  # 5 MB: by itself

# those that a repeated request makes good; what they did to a body that came in is found by its digest
FAULTS = {
    "500": faults.internal_error(),
    "503": faults.slow_down(),
    "no answer": faults.no_answer(),
    "no answer, though done": faults.no_answer(reached=True),
    "reset": faults.reset(),
    "reset, though done": faults.reset(reached=True),
    "truncated": faults.truncated(),
}
OPERATIONS: dict[str, tuple[str, Callable[[Bucket], object], object]] = {
    "GET": ("GetObject", lambda bucket: bucket.get("k"), CONTENT),
    "GET of a range": ("GetObject", lambda bucket: bucket.get_range("k", 100, 3000), CONTENT[100:3100]),
    "HEAD": ("HeadObject", lambda bucket: bucket.head("k").size, len(CONTENT)),  # type: ignore[union-attr]
    "PUT": ("PutObject", lambda bucket: bucket.put("n", CONTENT), None),
    "PUT of what is new": ("PutObject", lambda bucket: bucket.put_new("n", CONTENT) is not None, True),
    "PUT of what is not new": ("PutObject", lambda bucket: bucket.put_new("k", b"other"), None),
    "PUT over": ("PutObject", lambda bucket: bucket.put_over("k", b"x", ETAG) is not None, True),
    "PUT over another": ("PutObject", lambda bucket: bucket.put_over("k", b"x", '"0"'), None),
    "LIST": ("ListObjectsV2", lambda bucket: [one.path for one in bucket.list("f")], ["f/k"]),
    "DELETE": ("DeleteObject", lambda bucket: bucket.delete("k"), None),
}
ETAG = f'"{hashlib.md5(CONTENT).hexdigest()}"'


@pytest.fixture
def proxy(moto_server: Service) -> Iterator[FaultProxy]:
    with FaultProxy(moto_server) as running:
        yield running


@pytest.fixture
def bucket(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """With "k" and "f/k" in it."""
    for name, value in proxy.service.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{proxy.service.new_bucket()}/team"
    bucket = Bucket(url, answer_seconds=ANSWER_SECONDS, sleep=lambda seconds: None)
    bucket.put("k", CONTENT)
    bucket.put("f/k", CONTENT)
    return bucket


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_once_is_done_as_if_nothing_was(
    proxy: FaultProxy, bucket: Bucket, fault: str, operation: str
) -> None:
    name, ask, expected = OPERATIONS[operation]
    proxy.inject(FAULTS[fault], on=name)
    assert ask(bucket) == expected
    assert [request.fault for request in proxy.requests].count(FAULTS[fault].name) == 1
    if operation in ("PUT", "PUT of what is new"):
        assert bucket.get("n") == CONTENT


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", ["503", "reset"])
def test_what_always_fails_ends_with_what_was_tried(
    proxy: FaultProxy, bucket: Bucket, fault: str, operation: str
) -> None:
    name, ask, _ = OPERATIONS[operation]
    proxy.forget()
    proxy.inject(FAULTS[fault], on=name, times=None)
    with pytest.raises(TransientError) as told:
        ask(bucket)
    assert proxy.counts()[name] == TRIES
    message = told.value.message
    assert operation.split()[0] in message
    assert f"failed {TRIES} times in " in message
    assert told.value.fix
    assert ("503" if fault == "503" else "last: ") in message


def test_who_hangs_is_noticed_each_time(proxy: FaultProxy, bucket: Bucket) -> None:
    proxy.inject(faults.no_answer(), times=None)
    began = time.monotonic()
    with pytest.raises(TransientError, match=r"no answer, or no more of it, within 0\.3 s"):
        bucket.get("k")
    assert TRIES * ANSWER_SECONDS <= time.monotonic() - began < TRIES * ANSWER_SECONDS + 10


def test_a_body_that_comes_slowly_is_not_cut_off(proxy: FaultProxy, bucket: Bucket) -> None:
    """Ten times what an answer may take, and no piece of it takes that long."""
    bucket.put("slow", b"x" * 60)
    proxy.inject(faults.byte_by_byte(ANSWER_SECONDS / 6), on="GetObject", times=None)
    assert bucket.get("slow") == b"x" * 60
    assert proxy.counts()["GetObject"] == 1


def test_a_large_body_may_take_longer_to_be_sent_than_a_small_one(bucket: Bucket) -> None:
    seconds = [bucket._seconds_for(size) for size in (100, 16 << 20, 64 << 20)]
    assert seconds[0] == ANSWER_SECONDS
    assert seconds[1] >= 32
    assert seconds[2] >= 128
    bucket._is_slow = True
    assert bucket._seconds_for(16 << 20) >= 256


# a whole result, there and back


def pushed(bucket: Bucket, folder: Path) -> Record:
    store = LocalStore(folder)
    attempt = folder / "attempt"
    attempt.mkdir(parents=True)
    for name, data in FILES.items():
        (attempt / name).write_bytes(data)
    tree = store.objects.add_folder(attempt)
    record = Record(
        digest_json(MANIFEST), "0" * 64, "model:x/train", MANIFEST, tree.digest, tree.parts(), tree.size, 1.0, "now"
    )  # fmt: skip
    RemoteStore(bucket, store.objects, store.state, trust=Trust()).push(record, with_artifact=True)
    return record


def taken(bucket: Bucket, folder: Path, key: str) -> dict[str, bytes]:
    store = LocalStore(folder)
    remote = RemoteStore(bucket, store.objects, store.state, trust=Trust())
    record = remote.record(key)
    assert record is not None
    remote.fetch(record.output)
    return {entry.path: store.objects.read(entry.digest) for entry in store.objects.tree(record.output)}


@pytest.mark.parametrize("fault", [*FAULTS, "flipped"])
@pytest.mark.parametrize("nth", [1, 3])
def test_a_result_goes_there_and_back_whatever_fails_once(
    proxy: FaultProxy, bucket: Bucket, tmp_path: Path, fault: str, nth: int
) -> None:
    bad = FAULTS.get(fault, faults.flipped_bit())
    for operation in ("PutObject", "GetObject", "ListObjectsV2", "HeadObject", "DeleteObject"):
        # a flipped bit in a listing, which no digest vouches for, is another name: something travels again
        proxy.inject(bad, on=operation, nth=nth)
    record = pushed(bucket, tmp_path / "first")
    proxy.heal()
    for operation in ("GetObject", "ListObjectsV2"):
        proxy.inject(bad, on=operation, nth=nth)
    assert taken(bucket, tmp_path / "second", record.key) == FILES


def test_what_comes_damaged_each_time_is_not_taken(proxy: FaultProxy, bucket: Bucket, tmp_path: Path) -> None:
    record = pushed(bucket, tmp_path / "first")
    proxy.inject(faults.flipped_bit(), on="GetObject", key="*/packs/*", times=None)
    with pytest.raises(StoreDamaged, match="read twice"):
        taken(bucket, tmp_path / "second", record.key)


def test_what_a_flipped_bit_changed_on_its_way_in_ceph_refuses_and_it_is_sent_again(
    ceph: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(ceph) as proxy:
        for name, value in proxy.service.environment.items():
            monkeypatch.setenv(name, value)
        asked = Bucket(f"s3://{ceph.new_bucket()}/team", sleep=lambda seconds: None)
        proxy.inject(faults.flipped_bit_on_the_way_in(), on="PutObject")
        asked.put("k", CONTENT)
        assert asked.get("k") == CONTENT
        assert proxy.counts()["PutObject"] == 2


# through the tool

ONE = (
    'store: {{remote: "s3://{bucket}/team"}}\nenvironment: {{hermetic: off}}\n'
    'targets: {{m: {{recipe: {{use: command, with: {{run: "{before}date +%N > {{output}}/x"}}}}}}}}\n'
)


def project(team: Team, service: Service, *, before: str = "") -> Folder:
    folder = Folder(team.root / "first", dict(service.environment))
    folder.path.mkdir()
    folder.sparkfile(ONE.format(bucket=team.bucket, before=before))
    return folder


def test_an_upload_that_fails_fails_no_build_and_push_brings_it_later(
    quick_team: Team, proxy: FaultProxy
) -> None:
    first = project(quick_team, proxy.service)
    proxy.inject(faults.slow_down(), on="PutObject", times=None)
    built = first.build()
    assert "was not uploaded" in built.err + built.out
    assert "failed 6 times" in built.err + built.out
    assert "spark store push" in built.err + built.out
    refused = first.spark("store", "push", code=1)
    assert "SlowDown" in refused.err
    proxy.heal()
    first.spark("store", "push")
    restored = quick_team.clone(first).build()
    assert restored.outcomes == {"model:m/train": "restored"}
    assert restored.outputs == built.outputs


def test_a_remote_that_falls_silent_during_a_build_ends_nothing_that_runs(
    quick_team: Team, proxy: FaultProxy
) -> None:
    began = quick_team.root / "began"
    first = project(quick_team, proxy.service, before=f"touch {began}; sleep 2; ")
    first.env[ANSWER_VARIABLE] = "0.2"
    running = first.start("build", "--json")
    while not began.exists():
        assert running.poll() is None
        time.sleep(0.02)
    proxy.inject(faults.no_answer(), times=None)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, out + err
    assert "spark store push" in out + err
    proxy.heal()
    assert not first.build().ran


def test_a_fetch_that_always_fails_says_so_and_works_later(quick_team: Team, proxy: FaultProxy) -> None:
    first = project(quick_team, quick_team.service)
    built = first.build()
    second = quick_team.clone(first)
    second.env["AWS_ENDPOINT_URL"] = proxy.url
    proxy.inject(faults.truncated(), on="GetObject", key="*/packs/*", times=None)
    refused = second.build(code=1)
    assert "failed 6 times" in refused.out + refused.err
    proxy.heal()
    assert second.build().outputs == built.outputs


def test_what_a_stage_costs_in_requests(quick_team: Team, proxy: FaultProxy) -> None:
    """Of each that runs: its Record (before and after the lease), lease, pack, listing, Record, the lease's end."""
    first = project(quick_team, proxy.service)
    first.build()
    first.edit("date", "date +%s; date")
    proxy.forget()
    first.build()
    assert proxy.counts() == {"GetObject": 5, "PutObject": 4, "DeleteObject": 1}
    proxy.forget()
    first.build()
    first.spark("plan")
    assert not proxy.requests
