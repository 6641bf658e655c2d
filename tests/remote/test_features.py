"""What the endpoint really does is tried before it is relied on, and what it lacks costs work, never a result."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_build.core.digest import canonical_json
from spark_build.remote import features
from spark_build.remote.bucket import Bucket
from spark_build.remote.features import Features, features_of, try_out
from spark_build.storage.state import State
from tests.remote.conftest import Team
from tests.services import faults
from tests.services.fault_proxy import FaultProxy
from tests.services.faults import Fault
from tests.services.service import Service
from tests.spark import Folder

CLOCK = (
    'store: {{remote: "s3://{}/team"}}\nenvironment: {{hermetic: off}}\n'
    'targets: {{clock: {{recipe: {{use: command, with: {{run: "date +%N > {{output}}/x"}}}}}}}}\n'
)
NO_CONDITIONS = faults.without_headers("if-none-match", "if-match")


@pytest.fixture
def proxy(moto_server: Service) -> Iterator[FaultProxy]:
    with FaultProxy(moto_server) as running:
        yield running


def bucket(service: Service, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    return Bucket(f"s3://{service.new_bucket()}/team")


def test_a_good_endpoint_has_them_all_and_nothing_is_left_of_the_trial(
    server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = bucket(server, monkeypatch)
    assert not try_out(asked, "trusted").problems()
    assert not list(asked.list(""))


def test_a_lease_is_renewed_and_taken_over_on_both(server: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceph 18 refuses every If-Match whose ETag stands in quotes."""
    asked = bucket(server, monkeypatch)
    features_of(asked, "trusted", State(None), print)
    first = asked.put_new("k", b"first")
    assert asked.put_over("k", b"second", first) is not None
    assert asked.put_over("k", b"third", first) is None
    assert asked.get("k") == b"second"


@pytest.mark.parametrize(
    ("fault", "operation", "lacks"),
    [
        (faults.without_headers("if-none-match"), "PutObject", "creates"),
        (faults.without_headers("if-match"), "PutObject", "replaces"),
        (faults.without_headers("range"), "GetObject", "ranges"),
        (faults.empty_listing(), "ListObjectsV2", "lists"),
    ],
)
def test_what_an_endpoint_lacks_is_noticed_and_told(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, fault: Fault, operation: str, lacks: str
) -> None:
    asked = bucket(proxy.service, monkeypatch)
    proxy.inject(fault, on=operation, times=None)
    warned: list[str] = []
    found = features_of(asked, "trusted", State(None), warned.append)
    assert [name for name in ("creates", "replaces", "ranges", "lists") if not getattr(found, name)] == [
        lacks
    ]
    assert len(warned) == 1


def test_it_is_tried_once_a_week_for_each_store(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, state = bucket(proxy.service, monkeypatch), State(None)
    before = features_of(asked, "trusted", state, print)
    proxy.forget()
    assert features_of(asked, "trusted", state, print) == before
    assert not proxy.requests
    now = features.time.time()
    monkeypatch.setattr(features.time, "time", lambda: now + 8 * 86400)
    features_of(asked, "trusted", state, print)
    assert proxy.requests


@pytest.mark.parametrize(
    "noted", [b"", b"[]", b'{"at": "x"}', canonical_json({"at": 0, "features": {"more": 1}})]
)
def test_a_note_that_is_none_is_not_believed(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, noted: bytes
) -> None:
    asked, state = bucket(proxy.service, monkeypatch), State(None)
    features_of(asked, "trusted", state, print)
    (name,) = state.named("remote-features/")
    state.put(name, noted)
    assert features_of(asked, "trusted", state, print) == Features(True, True, True, True)


def test_where_ranges_are_not_known_the_right_bytes_come_all_the_same(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = bucket(proxy.service, monkeypatch)
    asked.put("k", bytes(range(200)))
    proxy.inject(faults.without_headers("range"), on="GetObject", times=None)
    assert asked.get_range("k", 50, 3) == bytes([50, 51, 52])


def test_without_conditional_writes_a_build_says_so_takes_no_lease_and_loses_no_result(
    quick_team: Team, proxy: FaultProxy
) -> None:
    proxy.inject(NO_CONDITIONS, on="PutObject", times=None)
    first, second = (clock(quick_team, name, proxy) for name in ("first", "second"))
    ours = first.build()
    assert "two machines may do the same work" in ours.err
    assert not [r for r in proxy.requests if "/leases/" in r.key and "/trial-" not in r.key]
    theirs = second.build("--offline").outputs
    assert theirs != ours.outputs
    assert "not deterministic" in second.spark("store", "push").err
    for of, outputs in ((first, ours.outputs), (second, theirs)):
        assert quick_team.clone(of, f"clone-{of.path.name}").build().outputs == outputs
    proxy.forget()
    assert not first.build().err
    assert not proxy.requests


def test_a_record_that_the_last_of_two_wrote_over_is_still_there(proxy: FaultProxy, quick_team: Team) -> None:
    """Both looked, and nothing stood there; then both wrote."""
    proxy.inject(NO_CONDITIONS, on="PutObject", times=None)
    first, second = (clock(quick_team, name, proxy) for name in ("first", "second"))
    ours, theirs = (folder.build("--no-push").outputs for folder in (first, second))
    first.spark("store", "push")
    (record,) = [name for name in quick_team.names("team/trusted/records/") if name.count(".") == 1]
    quick_team.service.client().delete_object(Bucket=quick_team.bucket, Key=record)
    second.spark("store", "push")
    assert quick_team.clone(second, "of-second").build().outputs == theirs
    assert quick_team.clone(first, "of-first").build().outputs == ours


def clock(team: Team, name: str, proxy: FaultProxy) -> Folder:
    """A project whose result is another each time."""
    folder = Folder(team.root / name, dict(proxy.service.environment))
    Path(folder.path).mkdir()
    folder.sparkfile(CLOCK.format(team.bucket))
    return folder
