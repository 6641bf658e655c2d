"""Whatever happens to what lies in the bucket: no wrong byte is ever taken, and what is damaged is made again."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from spark_build.core.digest import digest_json
from tests.remote.conftest import Team
from tests.remote.memory import KEY, Memory, opened, pushed, taken

FILES = {"a": b"first", "b": bytes(range(100)), "empty": b""}


def test_a_bit_flipped_anywhere_in_a_small_store_is_never_taken(tmp_path: Path) -> None:
    bucket = Memory()
    record = pushed(bucket, tmp_path / "first", FILES)
    assert taken(bucket, tmp_path / "good") == (record, FILES)
    positions = [(name, at) for name, data in bucket.contents().items() for at in range(len(data))]
    assert len(positions) > 1000
    for number, (name, at) in enumerate(positions):
        whole = bucket.get(name) or b""
        bucket.put(name, whole[:at] + bytes([whole[at] ^ (1 << number % 8)]) + whole[at + 1 :])
        told, files = taken(bucket, tmp_path / str(number))
        assert told in (None, record), f"{name} {at}"
        assert files in ({}, FILES), f"{name} {at}"
        bucket.put(name, whole)


@pytest.mark.long
def test_ten_thousand_bits_flipped_in_a_large_store_are_never_taken(tmp_path: Path) -> None:
    chance = random.Random(5)
    bucket = Memory()
    files = {f"f{n}": chance.randbytes(5000) for n in range(20)} | {"large": chance.randbytes(5 << 20)}
    record = pushed(bucket, tmp_path / "first", files)
    contents = bucket.contents()
    sizes = [len(data) for data in contents.values()]
    for number in range(10_000):
        name = chance.choices(list(contents), [size**0.5 for size in sizes])[0]
        whole, at = contents[name], chance.randrange(len(contents[name]))
        bucket.put(name, whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :])
        folder = tmp_path / "next"
        told, got = taken(bucket, folder)
        assert told in (None, record), f"{number}: {name} {at}"
        assert got in ({}, files), f"{number}: {name} {at}"
        bucket.put(name, whole)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[:1], lambda d: d[:-1], lambda d: d + b"x", lambda d: b"", lambda d: bytes(len(d))],
    ids=["one byte", "one byte less", "one byte more", "nothing", "zeros"],
)
def test_what_was_cut_lengthened_or_emptied_is_never_taken(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    bucket = Memory()
    files = {**FILES, "large": random.Random(3).randbytes((16 << 20) + 5)}
    record = pushed(bucket, tmp_path / "first", files)
    for number, (name, whole) in enumerate(bucket.contents().items()):
        bucket.put(name, damage(whole))
        told, got = taken(bucket, tmp_path / str(number))
        assert told in (None, record), name
        assert got in ({}, files), name
        bucket.put(name, whole)


def test_a_record_under_another_key_is_not_taken(tmp_path: Path) -> None:
    bucket = Memory()
    pushed(bucket, tmp_path / "first", FILES)
    other = digest_json({"steps": [], "stage": "eval"})
    bucket.put(f"trusted/records/{other}.json", bucket.get(f"trusted/records/{KEY}.json") or b"")
    assert opened(bucket, tmp_path / "second").record(other) is None


def test_a_damaged_result_is_built_again_said_and_put_right_there(team: Team) -> None:
    first = team.project()
    built = first.build("model:large")
    weights = next(name for name in team.names() if "/objects/" in name)
    team.change(weights, lambda data: b"x" + data[1:])
    second = team.clone(first)
    again = second.build("model:large")
    assert again.outcomes["model:large/train"] == "ran"
    assert again.outputs == built.outputs
    assert "does not hold what it should" in again.err
    third = team.clone(first, "third")
    assert third.build("model:large").outcomes["model:large/train"] == "restored"


def test_a_record_that_is_damaged_there_costs_a_run_and_is_put_right(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("model:small")
    for name in quick_team.names("team/trusted/records/"):
        quick_team.change(name, lambda data: data.replace(b"a", b"b"))
    second = quick_team.clone(first)
    again = second.build("model:small")
    assert set(again.outcomes.values()) == {"ran"}
    assert "is not taken" in again.err
    assert not quick_team.clone(first, "third").build("model:small").ran


def test_what_is_gone_from_the_bucket_is_built_again(quick_team: Team) -> None:
    first = quick_team.project()
    first.build("model:large")
    for name in [n for n in quick_team.names() if "/objects/" in n or "/packs/" in n]:
        quick_team.service.client().delete_object(Bucket=quick_team.bucket, Key=name)
    second = quick_team.clone(first)
    assert second.build("model:large").outcomes["model:large/train"] == "ran"
    assert not quick_team.clone(first, "third").build("model:large").ran
