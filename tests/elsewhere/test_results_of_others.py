"""Results of other projects: from a folder and from S3, verified, pinned.

S3 is moto's server, which proves logic only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark_build import Project
from spark_build.core.errors import SparkError, StoreDamaged, TransientError, Unavailable, UsageError
from tests.spark import Folder

THEIRS = """
targets:
  base:
    recipe: {use: command, with: {run: "cp words.txt {output}/words.txt"}}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "theirs")
    folder.write("words.txt", "one\n")
    folder.sparkfile(THEIRS)
    build(folder)
    folder.spark("tag", "model:base@v1")
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "ours")
    folder.sparkfile("")
    return folder


def build(folder: Folder) -> None:
    assert Project(folder.path).build().exit_code == 0


def words(folder: Path) -> str:
    return (folder / "model" / "words.txt").read_text()


def objects_of(folder: Folder) -> list[Path]:
    return [p for p in (folder.path / ".spark" / "objects").rglob("*") if p.is_file()]


def test_a_tagged_result_of_another_folder_comes_as_files(
    theirs: Folder, ours: Folder, tmp_path: Path
) -> None:
    out = Project(ours.path).get("model:base@v1", tmp_path / "out", source="../theirs")
    assert words(out) == "one\n"


def test_it_is_pinned_and_comes_out_the_same_after_their_tag_has_moved(
    theirs: Folder, ours: Folder, tmp_path: Path
) -> None:
    Project(ours.path).get("model:base", tmp_path / "before", source="../theirs")
    theirs.write("words.txt", "two\n")
    build(theirs)
    assert words(Project(ours.path).get("model:base", tmp_path / "after", source="../theirs")) == "one\n"


def test_a_project_below_its_git_root_keeps_its_objects_there(ours: Folder, tmp_path: Path) -> None:
    (tmp_path / "repository/.git").mkdir(parents=True)
    theirs = Folder(tmp_path / "repository/asr")
    theirs.write("words.txt", "one\n")
    theirs.sparkfile(THEIRS)
    build(theirs)
    assert (
        words(Project(ours.path).get("model:base", tmp_path / "out", source="../repository/asr")) == "one\n"
    )


def test_outside_of_any_project_nothing_is_pinned(theirs: Folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = Project(tmp_path / "empty").get("model:base@v1", tmp_path / "out", source=str(theirs.path))
    assert words(out) == "one\n"
    assert list((tmp_path / "empty").iterdir()) == []


def test_an_object_with_other_content_is_not_taken(theirs: Folder, ours: Folder, tmp_path: Path) -> None:
    for path in objects_of(theirs):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreDamaged, match="came with other content"):
        Project(ours.path).get("model:base@v1", tmp_path / "out", source="../theirs")
    assert objects_of(ours) == []


@pytest.mark.parametrize(
    ("address", "source", "kind", "told"),
    [
        (
            "model:base@v2",
            "../theirs",
            UsageError,
            "has no 'model:base@v2'\n  fix: it has model:base, model:base@v1",
        ),
        ("base@v1", "../theirs", UsageError, "of which kind"),
        ("model:base@v1", "../nowhere", UsageError, "is no folder"),
        ("model:base@v1", "ftp://x/y", UsageError, "nobody here reads such a URL"),
        ("model:base@v1", "../ours", Unavailable, "no Sparkfile.lock there"),
    ],
)
def test_what_is_not_there_is_told(
    theirs: Folder, ours: Folder, tmp_path: Path, address: str, source: str, kind: type[SparkError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        Project(ours.path).get(address, tmp_path / "out", source=source)
    assert told in str(caught.value)


# S3


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    names = {"AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    names |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="team")
        yield "s3://team/core"
        server.stop()


def publish(folder: Folder, client: Any) -> None:
    """What lies in a store, side by side with the lock."""
    client.upload_file(str(folder.path / "Sparkfile.lock"), "team", "core/Sparkfile.lock")
    for path in objects_of(folder):
        client.upload_file(str(path), "team", "core/" + str(path.relative_to(folder.path / ".spark")))


def test_a_result_comes_from_s3_and_only_its_objects_are_read(
    theirs: Folder, ours: Folder, tmp_path: Path, s3: str
) -> None:
    import boto3

    publish(theirs, boto3.client("s3"))
    out = Project(ours.path).get("model:base@v1", tmp_path / "out", source=s3)
    assert words(out) == "one\n"
    assert len(objects_of(ours)) == len([p for p in out.rglob("*") if p.is_file()]) + 1  # and their listing


def test_a_bucket_that_is_not_there_is_told(ours: Folder, tmp_path: Path, s3: str) -> None:
    with pytest.raises((TransientError, Unavailable), match="s3://nobody/x"):
        Project(ours.path).get("model:base@v1", tmp_path / "out", source="s3://nobody/x")


def test_offline_asks_nobody(ours: Folder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--offline"):
        Project(ours.path, offline=True).get("model:base@v1", tmp_path / "out", source="s3://team/core")
