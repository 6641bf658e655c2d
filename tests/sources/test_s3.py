"""Objects of a bucket: pinned by ETag, size and version, fetched once. S3 is moto's server, which proves logic only."""

import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark_build.core.errors import BadInput, TransientError
from spark_build.sources.s3 import S3, Params
from tests.golden.data_cases import FILES, context
from tests.spark import Folder

SPARKFILE = "datasets:\n  d:\n    source: {use: s3, with: {url: s3://team/calls, label: parent}}\n"


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, str]]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    names = {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_REGION": "us-east-1",
    }
    yield {**names, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    server.stop()


@pytest.fixture
def client(place: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3

    for name, value in place.items():
        monkeypatch.setenv(name, value)
    found = boto3.client("s3")
    found.create_bucket(Bucket="team")
    yield found
    bucket = boto3.resource("s3").Bucket("team")
    bucket.object_versions.delete()
    bucket.delete()


def put(client: Any, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        client.put_object(Bucket="team", Key=key, Body=data)


def bring(folder: Path, before: Path | None = None, **params: Any) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    S3(Params(**{"url": "s3://team/calls", **params})).bring(context(folder, {}), before)
    files = folder / "output" / "files"
    return {f.relative_to(files).as_posix(): f.read_bytes() for f in files.rglob("*") if f.is_file()}


def test_a_prefix_is_pinned_and_only_what_changed_is_fetched_and_handled(
    folder: Folder, client: Any, place: dict[str, str], tmp_path: Path
) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((1, 2, 8000, 800, "NONE", ""))
        out.writeframes(bytes(1600))
    media = {"calls/x/a.bin": (tmp_path / "a.wav").read_bytes(), "calls/x/pixel": FILES["pixel.txt"]}
    texts = {f"calls/x/{n}.md": f"call {n}".encode() for n in range(4)}
    put(client, {**texts, **media, "calls/x/": b"", "calls-2/y/other.md": b"beside the prefix"})
    folder = Folder(folder.path, place)
    folder.sparkfile(SPARKFILE)
    assert "not pinned" in folder.spark("plan", code=2).err
    assert "6 objects, 6 of them fetched" in folder.spark("update").err
    folder.build()
    put(client, {"calls/x/1.md": b"another call", "calls/x/4.md": b"a new one"})
    client.delete_object(Bucket="team", Key="calls/x/0.md")
    assert set(folder.states().values()) == {"fresh"}
    assert "6 objects, 2 of them fetched" in folder.spark("update").err
    assert folder.build().items["dataset:d/ingest"] == {"handled": 2, "remembered": 4}
    shown = folder.spark("show", "dataset:d", "--json").out
    assert "audio" in shown
    assert "image" in shown
    # a store that was lost is filled again, as long as the objects are still those
    (folder.path / ".spark").rename(tmp_path / "away")
    folder.build()
    (folder.path / ".spark").rename(tmp_path / "away2")
    put(client, {"calls/x/2.md": b"changed since"})
    refused = folder.spark("build", code=1)
    assert "no more what Sparkfile.lock pins" in refused.err + refused.out
    assert "spark update dataset:d" in refused.err + refused.out


def test_versions_are_pinned_where_the_bucket_keeps_them(client: Any, tmp_path: Path) -> None:
    client.put_bucket_versioning(Bucket="team", VersioningConfiguration={"Status": "Enabled"})
    version = client.put_object(Bucket="team", Key="calls/a.md", Body=b"a")["VersionId"]
    bring(tmp_path)
    (told,) = json.loads((tmp_path / "output" / "objects.json").read_bytes()).values()
    assert told == {"size": 1, "etag": '"0cc175b9c0f1b6a831c399e269772661"', "version": version}


def test_an_object_that_changes_between_list_and_fetch_is_refused(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, {"calls/a.md": b"first"})
    listed = S3._listed

    def changed_meanwhile(self: S3, store: Any) -> Any:
        found = listed(self, store)
        put(client, {"calls/a.md": b"later"})
        return found

    monkeypatch.setattr(S3, "_listed", changed_meanwhile)
    with pytest.raises(TransientError, match=r"s3://team/calls/a\.md changed while it was fetched"):
        bring(tmp_path)


def test_patterns_choose_and_the_order_of_fetching_does_not_count(client: Any, tmp_path: Path) -> None:
    put(client, {f"calls/{n}/ü {n}.{kind}": b"x" for n in range(5) for kind in ("md", "bin")})
    one = bring(tmp_path / "one", include="*.md", exclude="3/*", parallel=1)
    assert one == bring(tmp_path / "two", include="*.md", exclude="3/*", parallel=5)
    assert sorted(one) == [f"{n}/ü {n}.md" for n in (0, 1, 2, 4)]


@pytest.mark.parametrize(
    ("objects", "params", "told"),
    [
        ({}, {}, "no object there"),
        ({"calls/a.md": b"a", "calls/b.md": b"b"}, {"max_objects": 1}, "more than 1 objects"),
        ({"calls/a": b"a", "calls/a/b.md": b"b"}, {}, "'a' is an object and a folder"),
        ({"calls/../b.md": b"b"}, {}, "illegal character sequence|invalid path"),
        ({"calls/a.md": b"a"}, {"url": "s3://nobody/x"}, "s3://nobody/x"),
    ],
)
def test_what_cannot_be_fetched_says_why(
    client: Any, tmp_path: Path, objects: dict[str, bytes], params: dict[str, Any], told: str
) -> None:
    put(client, objects)
    with pytest.raises((BadInput, TransientError), match=told):
        bring(tmp_path, **params)


@pytest.mark.parametrize("url", ["team/calls", "s3://", "https://team"])
def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="names no bucket"):
        Params(url=url)
