"""`spark forget` reaches the remote store: no byte of the item stays there, and what others made stays whole."""

import base64
import json
from pathlib import Path

import pyarrow.parquet as pq

from spark_build.core.digest import digest_bytes
from spark_build.remote.forgetting import erase
from tests.remote.conftest import Team
from tests.remote.memory import Memory, action, opened, pushed, taken
from tests.spark import Folder, documents

SPARKFILE = """\
store: {{remote: "s3://{bucket}/team"}}
datasets:
  notes: {{source: data, push: all, gates: [{{use: near_duplicates}}]}}
  others: {{source: others}}
targets:
  model: {{dataset: others, recipe: {{use: command, with: {{run: "cat {{inputs.dataset}}/data/* > {{output}}/m"}}}}}}
"""
SECRET = "the person called Xanthippe Quorl lives here"


def project(team: Team) -> Folder:
    folder = team.project()
    folder.sparkfile(SPARKFILE.format(bucket=team.bucket))
    documents(folder, 20)
    documents(folder, 5, name="others")
    folder.write("data/secret.txt", SECRET)
    return folder


def holds(team: Team, digests: set[str]) -> list[str]:
    """Names whose content shows one of these objects, by what the index says and by the pack's own bytes."""
    found = []
    for name in team.names():
        data = team.read(name)
        shown = base64.b64decode(json.loads(data)["payload"]) if "/records/" in name else data
        if SECRET.encode() in shown or ("/trees/" in name and any(d.encode() in shown for d in digests)):
            found.append(name)
    return found


def shards_with(folder: Folder) -> set[str]:
    objects = (f for f in (folder.path / ".spark" / "objects").rglob("*") if f.is_file())
    return {
        f.parent.name + f.name
        for f in objects
        if f.read_bytes()[:4] == b"PAR1" and SECRET in str(pq.read_table(f).to_pylist())
    }


def test_nothing_of_a_forgotten_item_stays_in_the_bucket(team: Team) -> None:
    first = project(team)
    first.build()
    shards = shards_with(first)
    assert holds(team, shards)
    contents = [team.read(name) for name in team.names() if "/packs/" in name]
    rows = [(first.path / ".spark" / "objects" / d[:2] / d[2:]).read_bytes() for d in shards]
    assert any(row in pack for row in rows for pack in contents)
    first.spark("forget", "dataset:notes", "secret.txt", "--reason", "asked")
    assert not holds(team, shards)
    contents = [team.read(name) for name in team.names() if "/packs/" in name]
    assert not any(row in pack for row in rows for pack in contents)
    assert not team.names("team/trusted/memo/")
    second = team.clone(first)
    assert second.build("model:model").outcomes["model:model/train"] == "restored"
    second.build("dataset:notes")
    assert not shards_with(second)


def test_a_machine_that_never_built_it_can_forget_it_there(quick_team: Team) -> None:
    first = project(quick_team)
    first.build()
    shards = shards_with(first)
    second = quick_team.clone(first)
    second.spark("forget", "dataset:notes", "secret.txt")
    assert not holds(quick_team, shards)
    assert not shards_with(second)


def test_what_another_result_has_in_the_same_pack_stays_whole(tmp_path: Path) -> None:
    bucket, folder = Memory(), tmp_path / "first"
    pushed(bucket, folder, {"a": b"to be erased", "b": b"of both"}, action("one"))
    pushed(bucket, folder, {"b": b"of both", "c": b"its own"}, action("two"))
    erase(opened(bucket, folder), {digest_bytes(b"to be erased")}, [])
    assert not any(b"to be erased" in data for data in bucket.contents().values())
    assert taken(bucket, tmp_path / "second", action("one"))[1] == {}
    assert taken(bucket, tmp_path / "third", action("two"))[1] == {"b": b"of both", "c": b"its own"}


def test_a_large_object_goes_with_all_its_parts(tmp_path: Path) -> None:
    bucket, large = Memory(), b"x" * (17 << 20)
    pushed(bucket, tmp_path / "first", {"large": large, "b": b"small"})
    erase(opened(bucket, tmp_path / "first"), {digest_bytes(large)}, [])
    assert not [name for name in bucket.contents() if "/objects/" in name]
