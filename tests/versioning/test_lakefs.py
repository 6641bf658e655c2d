"""Versions in a lakeFS repository: one commit, merge and tag per content. The server is played (see the double)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lakefs_double import KEY, SECRET, Lake, running

from spark_build.contract import Context
from spark_build.core.errors import BadInput, SparkError, StageFailed, TransientError, Unavailable
from spark_build.versioning._lakefs_server import Repository
from spark_build.versioning._published import digest_of
from spark_build.versioning.lakefs import LakeFS, Params, history
from tests.golden import Heard
from tests.spark import Folder

PATH = "datasets/notes"


@pytest.fixture
def lake() -> Iterator[Lake]:
    with running() as found:
        yield found


def dataset(folder: Path, text: str = "one") -> dict[str, Path]:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "train 00000.parquet").write_bytes(text.encode())
    (folder / "README.md").write_text(f"# {text}\n")
    (folder / "LICENSE").write_text("the same in all\n")
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def publish(lake: Lake, at: Path, files: dict[str, Path], **params: Any) -> dict[str, Any]:
    own = {
        "endpoint": lake.url,
        "repository": "data",
        "path": PATH,
        "access_key_id": KEY,
        "secret_access_key": SECRET,
    }
    heard, facts = Heard(), {"inputs": {"dataset": {"data/train-*": "ab" * 32}}, "splits": {"train": 1}}
    context = Context({}, at / "output", at / "scratch", heard, base_dir=at, facts=facts)
    LakeFS(Params(**{**own, **params})).publish(context, files)
    return dict(heard.notes["published"])


def held(lake: Lake, ref: str = "main") -> dict[str, bytes]:
    found = lake.commits[lake.resolved(ref) or ""].objects
    return {
        path.removeprefix(f"{PATH}/"): data for path, data in found.items() if path.startswith(f"{PATH}/")
    }


def test_a_version_is_committed_merged_and_tagged_with_digest_and_lineage(lake: Lake, tmp_path: Path) -> None:
    lake.commit("main", "others", {}, {"elsewhere/a": b"stays"})
    files = dataset(tmp_path / "v")
    told = publish(lake, tmp_path, files, tag="1.0")
    assert held(lake) == held(lake, "1.0") == {path: file.read_bytes() for path, file in files.items()}
    assert lake.commits[lake.branches["main"]].objects["elsewhere/a"] == b"stays"
    assert told["commit"] == lake.tags["1.0"] == lake.branches["main"]
    metadata = lake.commits[told["commit"]].metadata
    assert metadata["spark.artifact"] == told["artifact"] == digest_of(files)
    assert json.loads(metadata["spark.lineage"])["inputs"] == {"dataset": {"data/train-*": "ab" * 32}}
    assert list(lake.branches) == ["main"]


def test_the_same_again_changes_nothing_and_another_version_uploads_what_differs(
    lake: Lake, tmp_path: Path
) -> None:
    first = publish(lake, tmp_path, dataset(tmp_path / "v"), tag="1.0")
    known = len(lake.commits)
    assert publish(lake, tmp_path, dataset(tmp_path / "v"), tag="1.0") == first
    assert len(lake.commits) == known
    lake.uploads.clear()
    files = dataset(tmp_path / "v", "two")
    (tmp_path / "v" / "LICENSE").rename(tmp_path / "gone")
    del files["LICENSE"]
    second = publish(lake, tmp_path, files, tag="1.1")
    assert sorted(lake.uploads) == [f"{PATH}/README.md", f"{PATH}/data/train 00000.parquet"]
    assert sorted(held(lake)) == ["README.md", "data/train 00000.parquet"]
    assert second["before"] == first["commit"]
    server = Repository(lake.url, "data", KEY, SECRET)
    assert [one["tag"] for one in history(server, "main", PATH)] == ["1.1", "1.0"]


def test_a_content_that_came_before_is_another_commit_when_it_comes_again(lake: Lake, tmp_path: Path) -> None:
    for text in ("one", "two", "one"):
        publish(lake, tmp_path, dataset(tmp_path / "v", text))
    server = Repository(lake.url, "data", KEY, SECRET)
    assert len(list(history(server, "main", PATH))) == 3
    assert held(lake)["README.md"] == b"# one\n"


def test_a_tag_that_names_something_else_is_refused_before_anything_is_uploaded(
    lake: Lake, tmp_path: Path
) -> None:
    publish(lake, tmp_path, dataset(tmp_path / "v"), tag="v1")
    lake.uploads.clear()
    with pytest.raises(BadInput, match=r"'v1' names datasets/notes with other content[\s\S]*like 'v2'"):
        publish(lake, tmp_path, dataset(tmp_path / "v", "two"), tag="v1")
    assert not lake.uploads


@pytest.mark.parametrize("fails", ["POST /commits", "POST /merge/", "POST /tags", "POST /objects"])
def test_what_was_cut_off_is_done_by_the_next_run_and_nothing_twice(
    lake: Lake, tmp_path: Path, fails: str
) -> None:
    lake.fails[fails] = 503
    with pytest.raises(TransientError, match="503 for now"):
        publish(lake, tmp_path, dataset(tmp_path / "v"), tag="1.0")
    publish(lake, tmp_path, dataset(tmp_path / "v"), tag="1.0")
    mine = [c for c in lake.log("main") if c.metadata.get("spark.path") == PATH]
    assert len(mine) == 2  # the commit, and its merge
    assert lake.tags["1.0"] == lake.branches["main"] == mine[0].id
    assert list(lake.branches) == ["main"]


def test_others_who_change_the_same_path_meanwhile_are_not_overwritten(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = Repository.merge

    def changed_meanwhile(self: Repository, *given: Any) -> str:
        lake.commit("main", "others", {}, {f"{PATH}/README.md": b"theirs"})
        return merge(self, *given)

    monkeypatch.setattr(Repository, "merge", changed_meanwhile)
    with pytest.raises(StageFailed, match="changed on main by somebody else"):
        publish(lake, tmp_path, dataset(tmp_path / "v"))
    assert held(lake) == {"README.md": b"theirs"}


@pytest.mark.parametrize(
    ("params", "kind", "told"),
    [
        ({"secret_access_key": "wrong-one"}, Unavailable, "authenticating"),
        ({"repository": "none"}, StageFailed, "repository not found"),
        ({"branch": "none"}, StageFailed, "not found"),
        ({"endpoint": "http://127.0.0.1:9"}, TransientError, "no_connection"),
    ],
)
def test_refusals_are_told_without_the_key(
    lake: Lake, tmp_path: Path, params: dict[str, str], kind: type[SparkError], told: str
) -> None:
    with pytest.raises(kind, match=told) as raised:
        publish(lake, tmp_path, dataset(tmp_path / "v"), **params)
    assert "wrong-one" not in str(raised.value)


def test_a_build_publishes_once_and_ls_shows_the_commit(folder: Folder, lake: Lake) -> None:
    folder.sparkfile(
        f"""\
datasets:
  notes:
    source: data
    version:
      use: lakefs
      with:
        endpoint: {lake.url}
        repository: data
        path: {PATH}
        tag: "1.0"
        access_key_id: "${{secret.LAKE_KEY}}"
        secret_access_key: "${{secret.LAKE_SECRET}}"
"""
    )
    for number in range(3):
        folder.write(f"data/{number}.md", f"note {number}")
    folder = Folder(folder.path, {"LAKE_KEY": KEY, "LAKE_SECRET": SECRET})
    folder.build()
    assert any(path.startswith("data/train") for path in held(lake))
    known = len(lake.commits)
    folder.build()
    assert len(lake.commits) == known
    shown = folder.spark("ls", "dataset:notes").out
    assert lake.branches["main"][:7] in shown
    for file in (f for f in folder.path.rglob("*") if f.is_file()):
        assert SECRET.encode() not in file.read_bytes(), file
