"""What one project publishes in its remote store, and others import: real projects, moto's server, the commands."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark_build.core.signing import PrivateKey
from spark_build.core.trust import Trust, seal
from spark_build.remote.bucket import Bucket
from spark_build.remote.layout import publication_path
from spark_build.remote.publications import PUBLICATION_TYPE, Publication, publish, read
from spark_build.remote.store import RemoteStore
from spark_build.storage.local import LocalStore
from tests.services.fault_proxy import FaultProxy
from tests.services.service import Service
from tests.spark import Folder

THEIRS = """\
store: {{remote: "s3://{bucket}/core"{more}}}
datasets:
  calls: {{source: calls}}
targets:
  sft: {{recipe: {{use: command, with: {{run: "cp words.txt {{output}}/m"}}}}}}
"""
OURS = """\
imports: {{core: {source}}}
targets:
  tuned:
    recipe: {{use: command, with: {{run: "cat {{inputs.base}}/m own.txt > {{output}}/m"}}}}
    base: core/model:sft@prod
"""
NAME = "model:sft@prod"


class Pair:
    """A project that publishes, and one that imports from it; each with a store of its own."""

    def __init__(self, root: Path, service: Service) -> None:
        self.root, self.service, self.bucket = root, service, service.new_bucket()
        self.url = f"s3://{self.bucket}/core"
        self.key = PrivateKey.new()
        self.theirs, self.ours = self.folder("theirs"), self.folder("ours")
        self.theirs.write("words.txt", "one\n")
        self.theirs.write("calls/a.txt", "hello\n")
        self.says()
        self.ours.write("own.txt", "own\n")
        self.imports(self.url)

    def folder(self, name: str) -> Folder:
        folder = Folder(self.root / name, dict(self.service.environment))
        folder.path.mkdir()
        folder.env["XDG_CONFIG_HOME"] = str(self.root / f"{name}-config")
        return folder

    def says(self, more: str = "") -> None:
        self.theirs.sparkfile(THEIRS.format(bucket=self.bucket, more=more))

    def imports(self, source: str) -> None:
        self.ours.sparkfile(OURS.format(source=source))

    def signs(self, key: PrivateKey | None = None) -> None:
        self.theirs.env["SPARK_SIGNING_KEY"] = (key or self.key).to_pem().decode()

    def listing(self, **more: str) -> str:
        """An import that lists their key."""
        told = {"url": self.url, "keys": [str(self.key.public)], **more}
        return json.dumps(told)

    def publishes(self, words: str = "one\n", tag: str = "prod") -> None:
        """A new result under the same tag."""
        self.theirs.write("words.txt", words)
        self.theirs.spark("build")
        self.theirs.spark("tag", "--delete", f"model:sft@{tag}", code=None)
        self.theirs.spark("tag", f"model:sft@{tag}")
        self.theirs.spark("store", "publish", f"model:sft@{tag}")

    def path(self, name: str = NAME, scope: str = "trusted") -> str:
        return f"core/{publication_path(scope, name)}"

    def read(self, path: str) -> bytes:
        data: bytes = self.service.client().get_object(Bucket=self.bucket, Key=path)["Body"].read()
        return data

    def write(self, path: str, data: bytes) -> None:
        self.service.client().put_object(Bucket=self.bucket, Key=path, Body=data)

    def pinned(self, name: str = "import:core/model:sft@prod") -> dict[str, Any]:
        import tomllib

        lock = tomllib.loads((self.ours.path / "Sparkfile.lock").read_text())
        found: dict[str, Any] = lock["pins"][name]
        return found


@pytest.fixture
def pair(tmp_path: Path, moto_server: Service) -> Pair:
    return Pair(tmp_path, moto_server)


def test_what_is_published_is_imported_pinned_and_built_on(pair: Pair) -> None:
    pair.publishes()
    told = pair.ours.spark("update")
    assert told.out.startswith("core/model:sft@prod: new → ")
    assert "is pinned by its digest, whoever published it: no keys are listed for it" in told.err
    pin = pair.pinned()
    assert {"url", "output", "key", "parts", "published"} == pin.keys()
    assert pair.ours.build().outcomes == {"model:tuned/train": "ran"}
    pair.ours.spark("get", "model:tuned", "--to", "out")
    assert (pair.ours.path / "out/model/m").read_text() == "one\nown\n"


def test_only_what_is_read_is_fetched_and_nothing_twice(pair: Pair) -> None:
    pair.publishes()
    with FaultProxy(pair.service) as proxy:
        pair.ours.env["AWS_ENDPOINT_URL"] = proxy.url
        pair.ours.spark("update")
        pair.ours.spark("build")
        asked = [r.key for r in proxy.requests]
        assert not any("records" in key for key in asked)
        assert len([key for key in asked if "/packs/" in key]) == 1
        proxy.forget()
        pair.ours.spark("plan", "--check")
        pair.ours.spark("build")
        assert not proxy.requests


def test_get_brings_it_with_and_without_a_project_and_the_second_time_offline(
    pair: Pair, tmp_path: Path
) -> None:
    pair.publishes()
    where = ("--from", pair.url, NAME, "--to")
    pair.ours.spark("get", *where, "one")
    assert (pair.ours.path / "one/model/m").read_text() == "one\n"
    pair.publishes("two\n")
    pair.ours.spark("get", *where, "again", "--locked")
    pair.ours.spark("get", *where, "offline", "--offline")
    assert (pair.ours.path / "offline/model/m").read_text() == "one\n"
    bare = pair.folder("bare")
    bare.spark("get", *where, "out")
    assert (bare.path / "out/model/m").read_text() == "two\n"
    assert {p.name for p in bare.path.iterdir()} == {"out"}


def test_offline_and_a_pin_alone_are_enough_for_plan_and_locked(pair: Pair) -> None:
    pair.publishes()
    pair.ours.spark("update")
    refused = pair.ours.build("--offline", code=1)
    assert "--offline: import:core/model:sft@prod is not in the store" in refused.err + refused.out
    pair.ours.spark("build")
    pair.write(pair.path(), b"gone")
    pair.ours.spark("build", "--locked", "--offline")
    pair.ours.spark("plan", "--locked")


def test_a_later_publication_counts_after_an_update(pair: Pair) -> None:
    pair.publishes()
    pair.ours.spark("update")
    pair.ours.spark("build")
    pair.publishes("two\n")
    assert pair.ours.build().ran == set()
    assert "→" in pair.ours.spark("update").out
    assert pair.ours.build().ran == {"model:tuned/train"}


def test_without_an_address_all_tags_are_published_and_once(pair: Pair) -> None:
    pair.theirs.spark("build")
    assert "has no tag, so there is nothing to publish" in pair.theirs.spark("store", "publish", code=2).err
    for tag in ("model:sft@prod", "dataset:calls@1.0"):
        pair.theirs.spark("tag", tag)
    told = json.loads(pair.theirs.spark("store", "publish", "--json").out)
    assert {one["name"]: one["is_new"] for one in told["published"]} == {
        NAME: True,
        "dataset:calls@1.0": True,
    }
    again = pair.theirs.spark("store", "publish").out.splitlines()
    assert all(line.endswith(", as before") for line in again)
    pair.theirs.spark("store", "publish", "dataset:calls")
    pair.ours.spark("get", "--from", pair.url, "dataset:calls", "--to", "calls")
    assert (pair.ours.path / "calls/README.md").exists()


def test_a_result_that_was_never_pushed_is_brought_along(pair: Pair) -> None:
    pair.theirs.spark("build", "--no-push")
    pair.theirs.spark("tag", NAME)
    (told,) = json.loads(pair.theirs.spark("store", "publish", "--json").out)["published"]
    assert told["bytes"] > 0
    pair.ours.spark("update")
    assert pair.ours.build().ran == {"model:tuned/train"}


# what can't be had


def test_an_absent_result_is_told_with_what_there_is(pair: Pair) -> None:
    nothing = pair.ours.spark("update", code=2)
    assert f"{pair.url} has no 'model:sft@prod': nothing is published there under that name" in nothing.err
    assert "fix: there: spark store publish model:sft@prod; it has nothing" in nothing.err
    pair.publishes(tag="beta")
    assert "it has model:sft@beta" in pair.ours.spark("update", code=2).err


def test_a_result_that_is_gone_is_told(pair: Pair) -> None:
    pair.publishes()
    pair.ours.spark("update")
    output = pair.pinned()["output"]
    pair.service.client().delete_object(Bucket=pair.bucket, Key=f"core/trusted/trees/{output}.json")
    ran = pair.ours.build(code=1)
    assert f"the result {output[:12]} that is pinned is not there any more" in ran.err + ran.out
    assert "stands for" in pair.ours.spark("update", code=1).err


def test_what_is_withdrawn_is_pinned_by_nobody_and_those_who_have_it_go_on(pair: Pair) -> None:
    pair.publishes()
    pair.ours.spark("update")
    assert pair.theirs.spark("store", "publish", "--withdraw", NAME).out.startswith(
        f"{NAME} is withdrawn, was "
    )
    assert "was withdrawn" in pair.ours.spark("update", code=2).err
    assert pair.ours.build().ran == {"model:tuned/train"}
    assert "is not published" in pair.theirs.spark("store", "publish", "--withdraw", "model:sft", code=2).err


def test_what_never_travels_is_not_published(pair: Pair) -> None:
    pair.says()
    pair.theirs.edit("{source: calls}", "{source: calls, push: none}")
    pair.theirs.spark("build")
    told = pair.theirs.spark("store", "publish", "dataset:calls", code=2).err
    assert "dataset:calls/version does not go to the remote store" in told


# whom to believe


def test_a_publication_of_a_listed_key_is_taken_without_a_word(pair: Pair) -> None:
    pair.signs()
    pair.publishes()
    pair.imports(pair.listing())
    assert pair.ours.spark("update").err == ""
    assert pair.ours.build().ran == {"model:tuned/train"}


def changed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The envelope with another payload, under the same signatures."""
    envelope = json.loads(data)
    payload = json.loads(base64.b64decode(envelope["payload"]))
    change(payload)
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    return json.dumps(envelope).encode()


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("unsigned", "is not signed"),
        ("another key", "which is not listed for it"),
        ("another result", "was changed, or signed by somebody else"),
        ("another name", "was published as 'model:sft@beta', not as 'model:sft@prod'"),
        ("another scope", "not 'application/vnd.spark-build.publication+json; scope=\"trusted\"'"),
        ("another store", "was published in"),
        ("nothing", "has no publication of 'model:sft@prod', and nothing else there is signed"),
        ("a lock beside it", "has no publication of 'model:sft@prod', and nothing else there is signed"),
    ],
)
def test_what_no_listed_key_vouches_for_is_refused(pair: Pair, attack: str, told: str) -> None:
    pair.imports(pair.listing())
    if attack not in ("unsigned", "nothing", "a lock beside it"):
        pair.signs(PrivateKey.new() if attack == "another key" else None)
    if attack == "another scope":
        pair.theirs.env["SPARK_SCOPE"] = "pr"
    pair.publishes(tag="beta" if attack in ("another name", "nothing") else "prod")
    if attack == "another result":
        other = json.loads(pair.theirs.spark("store", "publish", "dataset:calls", "--json").out)
        output = other["published"][0]["output"]
        pair.write(pair.path(), changed(pair.read(pair.path()), lambda p: p.update(output=output)))
    elif attack == "another name":
        pair.write(pair.path(), pair.read(pair.path("model:sft@beta")))
    elif attack == "another scope":
        pair.write(pair.path(), pair.read(pair.path(scope="scopes/pr")))
    elif attack == "another store":
        client, elsewhere = pair.service.client(), f"{pair.url}-copy"
        for one in client.list_objects_v2(Bucket=pair.bucket)["Contents"]:
            pair.write(one["Key"].replace("core/", "core-copy/", 1), pair.read(one["Key"]))
        pair.imports(pair.listing().replace(pair.url, elsewhere))
    elif attack == "a lock beside it":
        pair.service.client().delete_object(Bucket=pair.bucket, Key=pair.path())
        pair.write("core/Sparkfile.lock", (pair.theirs.path / "Sparkfile.lock").read_bytes())
    assert told in pair.ours.spark("update", code=4).err
    assert not (pair.ours.path / "Sparkfile.lock").exists()


def test_get_takes_keys_of_the_command_line_and_of_an_import_with_the_same_url(pair: Pair) -> None:
    pair.publishes()
    get = ("get", "--from", pair.url, NAME, "--to")
    assert "is not signed" in pair.ours.spark(*get, "a", "--key", str(pair.key.public), code=4).err
    pair.imports(pair.listing())
    assert "is not signed" in pair.ours.spark(*get, "b", code=4).err
    pair.signs()
    pair.theirs.spark("store", "publish")  # the same again, now signed
    pair.imports(pair.url)
    pair.ours.spark(*get, "c", "--key", str(pair.key.public))
    assert (pair.ours.path / "c/model/m").read_text() == "one\n"
    # the pin knows whom to believe the next time
    pair.signs(PrivateKey.new())
    pair.publishes("two\n")
    assert "which is not listed" in pair.ours.spark("update", f"{pair.url} {NAME}", code=4).err
    assert "is no public key" in pair.ours.spark(*get, "d", "--key", "ed25519:x", code=2).err


def test_an_old_publication_that_is_put_back_is_refused(pair: Pair) -> None:
    pair.signs()
    pair.publishes()
    pair.imports(pair.listing())
    pair.ours.spark("update")
    before = pair.read(pair.path())
    pair.publishes("two\n")
    pair.ours.spark("update")
    pair.write(pair.path(), before)
    told = pair.ours.spark("update", code=4).err
    assert "has one that is older than the one that is pinned" in told
    # who publishes may go back
    pair.publishes("one\n")
    pair.theirs.spark("store", "publish", NAME, "--again")
    assert "→" in pair.ours.spark("update").out


def test_objects_that_are_not_what_was_published_are_never_taken(pair: Pair) -> None:
    pair.publishes()
    pair.ours.spark("update")
    client = pair.service.client()
    for one in client.list_objects_v2(Bucket=pair.bucket, Prefix="core/trusted/packs/")["Contents"]:
        pair.write(one["Key"], bytes(len(pair.read(one["Key"]))))
    ran = pair.ours.build(code=1)
    assert "tuned" in ran.err + ran.out
    objects = [f for f in (pair.ours.path / ".spark/objects").rglob("*") if f.is_file()]
    assert not any(f.read_bytes().strip(b"\0") == b"" for f in objects)


def test_a_scope_of_its_own_is_read_where_the_import_names_it(pair: Pair) -> None:
    pair.publishes()
    pair.theirs.env["SPARK_SCOPE"] = "pr"
    pair.publishes("of the pull request\n")
    pair.ours.spark("update")
    pair.ours.spark("get", "--from", pair.url, NAME, "--to", "trusted")
    assert (pair.ours.path / "trusted/model/m").read_text() == "one\n"
    pair.imports(json.dumps({"url": pair.url, "scope": "pr"}))
    pair.ours.spark("update", "core/model:sft@prod")
    assert pair.pinned()["scope"] == "scopes/pr"
    pair.ours.spark("build")
    pair.ours.spark("get", "model:tuned", "--to", "out")
    assert (pair.ours.path / "out/model/m").read_text() == "of the pull request\nown\n"


# several who publish, and those who look after the store


def test_of_two_branches_the_later_stands_and_says_what_it_replaced(pair: Pair) -> None:
    pair.publishes()
    branch = pair.folder("branch")
    branch.sparkfile((pair.theirs.path / "Sparkfile.yaml").read_text().partition("\n")[2].partition("\n")[2])
    branch.write("words.txt", "of the branch\n")
    branch.write("calls/a.txt", "hello\n")
    branch.spark("build")
    branch.spark("tag", NAME)
    first = json.loads(pair.theirs.spark("store", "publish", "--json").out)["published"][0]
    (told,) = json.loads(branch.spark("store", "publish", "--json").out)["published"]
    assert told["replaced"] == first["output"]
    assert told["serial"] > first["serial"]


def test_serial_numbers_rise_within_a_second_and_two_at_once_lose_none(pair: Pair, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    environment = pair.service.environment

    def one(number: int) -> int:
        store = LocalStore(tmp_path / f"s{number}")
        remote = RemoteStore(bucket, store.objects, store.state, trust=Trust())
        return publish(remote, NAME, f"{number:064x}", f"{number:064x}").publication.serial

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        bucket = Bucket(pair.url)
        began = int(time.time())
        serials = [one(0), one(1)]
        with ThreadPoolExecutor(4) as pool:
            serials += pool.map(one, range(2, 6))
        assert len(set(serials)) == 6
        standing = read(bucket, "trusted", NAME, Trust()).publication
        assert standing is not None
        assert standing.serial == max(serials) >= began


def test_a_gc_keeps_what_is_published_until_it_is_withdrawn(pair: Pair) -> None:
    pair.publishes()
    output = json.loads(pair.theirs.spark("store", "publish", "--json").out)["published"][0]["output"]
    pair.theirs.spark("tag", "--delete", NAME)
    pair.theirs.write("words.txt", "two\n")
    pair.theirs.spark("build")
    gc = ("store", "gc", "--remote", "--keep-builds", "1", "--keep-days", "0")
    time.sleep(1.1)  # the server counts whole seconds
    pair.theirs.spark(*gc)
    pair.ours.spark("update")
    assert pair.ours.build().ran == {"model:tuned/train"}
    pair.theirs.spark("tag", NAME)  # so that the name is known
    pair.theirs.spark("store", "publish", "--withdraw", NAME)
    pair.theirs.spark("tag", "--delete", NAME)
    time.sleep(1.1)
    pair.theirs.spark(*gc)
    trees = pair.service.client().list_objects_v2(Bucket=pair.bucket, Prefix="core/trusted/trees/")
    assert output not in {one["Key"].rpartition("/")[2][:64] for one in trees["Contents"]}


def test_a_check_tells_of_publications_that_can_not_be_believed(pair: Pair) -> None:
    pair.signs()
    pair.says(f', keys: ["{pair.key.public}"]')
    pair.publishes()
    pair.theirs.spark("store", "check", "--remote")
    good = Publication(NAME, pair.url, "0" * 64, "1" * 64, 1)
    pair.write(pair.path(), seal(good.to_bytes(), PUBLICATION_TYPE, "trusted", None))
    told = pair.theirs.spark("store", "check", "--remote", code=4).out
    assert "is not signed" in told
    assert f"fix: spark store publish {NAME}" in told
    pair.write(pair.path("other"), b"{}")
    assert "is no publication" in pair.theirs.spark("store", "check", "--remote", "--repair", code=4).out
    pair.theirs.spark("store", "publish", NAME)
    pair.service.client().delete_object(Bucket=pair.bucket, Key=pair.path("other"))
    pair.theirs.spark("store", "check", "--remote")


def test_a_publication_without_a_key_that_may_sign_is_refused(pair: Pair) -> None:
    pair.says(f', keys: ["{pair.key.public}"]')
    pair.theirs.spark("build", "--no-push")
    pair.theirs.spark("tag", NAME)
    assert (
        "have to be signed, and there is no signing key here"
        in pair.theirs.spark("store", "publish", code=2).err
    )
