"""Gc of the remote store: what is needed stays, what is young stays, and who is just pushing notices."""

from pathlib import Path

from spark_build.core.digest import Digest
from spark_build.remote.collect import collect_remote
from tests.remote.memory import KEY, Memory, action, opened, pushed, taken

OLD = 0.0  # seconds that something counts as young: nothing is


def test_what_a_needed_record_names_stays_and_all_else_goes(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    kept = {"a": b"kept", "large": bytes(17 << 20)}
    pushed(bucket, folder, kept)
    pushed(bucket, folder, {"b": b"not needed"}, action("other"))
    gone = collect_remote(opened(bucket, folder), {KEY}, set(), young_seconds=OLD)
    assert gone.counts == {"records": 1, "trees": 1, "packs": 1}
    assert taken(bucket, tmp_path / "second")[1] == kept
    assert not any(b"not needed" in data for data in bucket.contents().values())


def test_a_dry_run_says_the_same_and_removes_nothing(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    pushed(bucket, folder, {"a": b"kept"})
    pushed(bucket, folder, {"b": b"not needed"}, action("other"))
    before = bucket.contents()
    dry = collect_remote(opened(bucket, folder), {KEY}, set(), young_seconds=OLD, is_dry=True)
    assert bucket.contents() == before
    wet = collect_remote(opened(bucket, folder), {KEY}, set(), young_seconds=OLD)
    assert (dry.counts, dry.bytes) == (wet.counts, wet.bytes)


def test_what_came_lately_stays_whoever_needs_it(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    pushed(bucket, folder, {"a": b"of a colleague, in no lock that is known here"})
    gone = collect_remote(opened(bucket, folder), set(), set(), young_seconds=3600.0)
    assert not gone.counts
    assert taken(bucket, tmp_path / "second")[1]


def test_an_output_that_a_lock_names_stays_without_its_record(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    record = pushed(bucket, folder, {"a": b"kept"})
    collect_remote(opened(bucket, folder), set(), {record.output}, young_seconds=OLD)
    remote = opened(bucket, tmp_path / "second")
    assert remote.fetch(record.output) == 4


def test_who_noted_what_a_gc_has_removed_sends_it_again(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    pushed(bucket, folder, {"a": b"shared"})
    collect_remote(opened(bucket, tmp_path / "gc"), set(), set(), young_seconds=OLD)
    pushed(bucket, folder, {"a": b"shared", "b": b"new"}, action("next"))
    assert taken(bucket, tmp_path / "second", action("next"))[1] == {"a": b"shared", "b": b"new"}


def test_a_gc_while_a_push_is_under_way_leaves_no_record_without_its_objects(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    pushed(bucket, folder, {"a": b"shared"})

    class WithGc(Memory):
        """Where a gc runs just before the second index is written: the pack that it names is gone by then."""

        def put(self, path: str, data: bytes | memoryview) -> None:
            if "/trees/" in path and not self.is_done:
                self.is_done = True
                collect_remote(opened(self, tmp_path / "gc"), set[Digest](), set(), young_seconds=OLD)
            super().put(path, data)

        is_done = False

    hooked = WithGc(bucket.kept)
    pushed(hooked, folder, {"a": b"shared", "b": b"new"}, action("next"))
    assert hooked.is_done
    assert taken(bucket, tmp_path / "second", action("next"))[1] == {"a": b"shared", "b": b"new"}


def test_leases_and_the_epoch_stay(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    pushed(bucket, folder, {"a": b"x"})
    bucket.put("trusted/leases/one", b"{}")
    bucket.put("scopes/pr/records/x.json", b"of others")
    collect_remote(opened(bucket, folder), set(), set(), young_seconds=OLD)
    assert set(bucket.contents()) == {"trusted/leases/one", "trusted/epoch", "scopes/pr/records/x.json"}
