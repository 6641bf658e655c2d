"""Who has no trusted key gets nothing into a build, whatever is written to the bucket (CVE-2025-36852, and more).

The attacker may write anything anywhere in the bucket, knows every key of an action, and has the same tool.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spark_build.core.signing import KEY_VARIABLE, Envelope, PrivateKey, Signature
from spark_build.core.trust import seal
from spark_build.remote.store import RECORD_TYPE
from tests.services.service import Service
from tests.spark import Folder, Ran

TRUSTED_KEY, ATTACKERS_KEY = PrivateKey.new(), PrivateKey.new()
TRUSTING = f"keys: ['{TRUSTED_KEY.public}']"
Things = Mapping[str, bytes]  # of a bucket, by name


@dataclass
class Built:
    """What the builds of one person put into a bucket."""

    things: Things
    outputs: dict[str, str]  # of each target

    def record(self, target: str) -> str:
        """The name under which a target's Record stands."""
        stage = f"model:{target}/train"
        (found,) = [
            n for n, data in self.things.items() if "/records/" in n and told_in(data)["stage"] == stage
        ]
        return found

    def envelope(self, target: str) -> Envelope:
        return Envelope.parse(self.things[self.record(target)])

    def tree(self, target: str) -> str:
        return f"team/trusted/trees/{self.outputs[target]}.json"

    def pack(self, target: str) -> str:
        (found,) = json.loads(self.things[self.tree(target)])["packs"]
        return f"team/{found}"


@dataclass
class Scene:
    root: Path
    service: Service
    honest: Built
    signed: Built  # by the attacker: hostile results of the same actions
    bare: Built  # hostile, signed by nobody

    def bucket(self, *some: Things) -> str:
        bucket, client = self.service.new_bucket(), self.service.client()
        for name, data in {name: data for things in some for name, data in things.items()}.items():
            client.put_object(Bucket=bucket, Key=name, Body=data)
        return bucket

    def reader(self, bucket: str, keys: str = TRUSTING) -> Folder:
        return project(self.root, self.service, bucket, keys)


def forged(scene: Scene, target: str) -> bytes:
    """The attacker's signature under the trusted key's name."""
    made = scene.signed.envelope(target)
    names_another = Signature(TRUSTED_KEY.public.id, made.signatures[0].sig)
    return Envelope(made.payload_type, made.payload, (names_another,)).to_json()


def moved(scene: Scene, target: str) -> bytes:
    """A signature of the trusted key, taken from what it did sign."""
    made = scene.bare.envelope(target)
    return Envelope(made.payload_type, made.payload, scene.honest.envelope(target).signatures).to_json()


def stripped(scene: Scene, target: str) -> bytes:
    made = scene.honest.envelope(target)
    return Envelope(made.payload_type, made.payload, ()).to_json()


def hostile(scene: Scene, target: str) -> bytes:
    made = scene.bare.envelope(target)
    return made.unverified(made.payload_type)


NOT_LISTED = f"signed by key '{ATTACKERS_KEY.public.id}', which is not listed for it"
CHANGED = "it was changed, or signed by somebody else"
# targets of one project, what the attacker makes of their Records, and what the user is told
RECORDS: dict[str, tuple[Callable[[Scene, str], bytes], str]] = {
    "overwritten": (lambda scene, target: scene.signed.things[scene.signed.record(target)], NOT_LISTED),
    "unsigned": (lambda scene, target: scene.bare.things[scene.bare.record(target)], "is not signed"),
    "forged": (forged, CHANGED),
    "moved": (moved, CHANGED),
    "stripped": (stripped, "is not signed"),
    "replayed": (
        lambda scene, target: scene.honest.things[scene.honest.record("honest")],
        "holds the Record of another action",
    ),
    "no-envelope": (hostile, "is no DSSE envelope"),
    "other-scope": (
        lambda scene, target: seal(hostile(scene, target), RECORD_TYPE, "scopes/pr", TRUSTED_KEY),
        'scope="scopes/pr"',
    ),
    "other-type": (
        lambda scene, target: seal(hostile(scene, target), "application/x-memo", "trusted", TRUSTED_KEY),
        "application/x-memo",
    ),
}
# under a Record that is as it should be
CONTENT: dict[str, tuple[Callable[[Scene, str], Things], str]] = {
    "content": (
        lambda scene, target: {scene.honest.pack(target): scene.honest.things[scene.honest.pack(target)].upper()},
        "does not hold what it should",
    ),
    "cut": (
        lambda scene, target: {scene.honest.pack(target): scene.honest.things[scene.honest.pack(target)][:1]},
        "does not hold what it should",
    ),
    "emptied": (lambda scene, target: {scene.honest.pack(target): b""}, "does not hold what it should"),
    "listing": (
        lambda scene, target: {scene.honest.tree(target): scene.signed.things[scene.signed.tree(target)]},
        "is not taken",
    ),
}  # fmt: skip
TARGETS = ("honest", *RECORDS, *CONTENT)


def project(
    root: Path, service: Service, bucket: str, keys: str, key: PrivateKey | None = None, user: Any = "admin"
) -> Folder:
    secret = key.to_pem().decode() if key else ""
    variables = {KEY_VARIABLE: secret, "XDG_CONFIG_HOME": str(root)}
    folder = Folder(
        root / f"in-{bucket}-{len(list(root.iterdir()))}", {**service.environment_of(user), **variables}
    )
    folder.path.mkdir()
    lines = [f"store: {{remote: 's3://{bucket}/team'{f', {keys}' if keys else ''}}}", "targets:"]
    # what it gives hangs on a file that is in no key: so the same action has a hostile result, too
    lines += [
        f'  {name}: {{recipe: {{use: command, with: {{run: "echo {name} | cat {root}/mood - > {{output}}/m"}}}}}}'
        for name in TARGETS
    ]
    folder.sparkfile("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def scene(moto_server: Service, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    root = tmp_path_factory.mktemp("attacks")
    signed = built(root, moto_server, "evil", ATTACKERS_KEY)
    bare = built(root, moto_server, "evil", None)
    return Scene(root, moto_server, built(root, moto_server, "good", TRUSTED_KEY), signed, bare)


def built(root: Path, service: Service, mood: str, key: PrivateKey | None) -> Built:
    (root / "mood").write_text(mood)
    bucket, client = service.new_bucket(), service.client()
    ran = project(root, service, bucket, f"keys: ['{key.public}']" if key else "", key).build()
    names = [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
    things = {name: client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}
    return Built(things, outputs_of(ran))


def outputs_of(ran: Ran) -> dict[str, str]:
    return {
        stage.removeprefix("model:").removesuffix("/train"): output for stage, output in ran.outputs.items()
    }


def told_in(envelope: bytes) -> dict[str, Any]:
    read = Envelope.parse(envelope)
    told: dict[str, Any] = json.loads(read.unverified(read.payload_type))
    return told


def holds_evil(folder: Folder) -> bool:
    return any(
        b"evil" in file.read_bytes() for file in (folder.path / ".spark/objects").rglob("*") if file.is_file()
    )


def test_no_attack_on_what_lies_in_the_bucket_reaches_a_build(scene: Scene) -> None:
    hostile = {scene.honest.record(name): change(scene, name) for name, (change, _) in RECORDS.items()}
    content = {
        name: data for target, (change, _) in CONTENT.items() for name, data in change(scene, target).items()
    }
    reader = scene.reader(scene.bucket(scene.signed.things, scene.honest.things, hostile, content))
    ran = reader.build()
    assert outputs_of(ran) == scene.honest.outputs
    assert {stage: how for stage, how in ran.outcomes.items() if how != "ran"} == {
        "model:honest/train": "restored"
    }
    assert {
        target: told
        for target, (_, told) in {**RECORDS, **CONTENT}.items()
        if not any(told in line for line in ran.err.splitlines())
    } == {}
    assert not holds_evil(reader)


def test_what_a_checkout_took_from_another_scope_is_nothing_to_trusted(scene: Scene, tmp_path: Path) -> None:
    """Nobody launders it: neither as fresh, nor by a push that the trusted key would sign."""
    (tmp_path / "mood").write_text("evil")
    bucket = scene.service.new_bucket()
    pull_request, builder, reader = (
        project(tmp_path, scene.service, bucket, "policy: trust.yaml", key)
        for key in (ATTACKERS_KEY, TRUSTED_KEY, None)
    )
    keys = ((TRUSTED_KEY, "trusted"), (ATTACKERS_KEY, "scopes/pr"))
    listed = ", ".join(f"{{key: '{key.public}', scopes: [{may}]}}" for key, may in keys)
    for folder in (pull_request, builder, reader):
        folder.write("trust.yaml", f"version: 1\nkeys: [{listed}]\n")
    pull_request.env["SPARK_SCOPE"] = builder.env["SPARK_SCOPE"] = "pr"
    hostile = pull_request.build("model:honest").outputs
    assert builder.build("model:honest").outputs == hostile
    assert builder.build("model:honest").outcomes == {"model:honest/train": "fresh"}

    (tmp_path / "mood").write_text("good")
    del builder.env["SPARK_SCOPE"]
    assert set(builder.states("model:honest").values()) == {"run"}
    built = builder.build("model:honest")
    assert built.outcomes == {"model:honest/train": "ran"}
    assert built.outputs != hostile
    builder.spark("store", "push", "model:honest")
    assert reader.build("model:honest").outputs == built.outputs


def test_without_keys_whoever_writes_decides_which_is_what_the_attacks_rest_on(scene: Scene) -> None:
    for hostile in (scene.signed, scene.bare):
        reader = scene.reader(scene.bucket(hostile.things), keys="")
        ran = reader.build("model:honest")
        assert ran.outcomes == {"model:honest/train": "restored"}
        assert outputs_of(ran)["honest"] == hostile.outputs["honest"] != scene.honest.outputs["honest"]


def test_who_came_first_does_not_count_and_the_trusted_builder_puts_it_right(scene: Scene) -> None:
    """The race of the first writer: hostile Records stand there when the trusted ones are to be written."""
    half = {
        scene.bare.record(target): scene.bare.things[scene.bare.record(target)] for target in TARGETS[::2]
    }
    bucket = scene.service.new_bucket()
    builder = project(scene.root, scene.service, bucket, TRUSTING, TRUSTED_KEY)
    builder.build("--no-push")
    for name, data in {**scene.signed.things, **half}.items():
        scene.service.client().put_object(Bucket=bucket, Key=name, Body=data)
    builder.spark("store", "push")
    ran = scene.reader(bucket).build()
    assert set(ran.outcomes.values()) == {"restored"}
    assert outputs_of(ran) == scene.honest.outputs


def test_a_lock_that_names_the_hostile_output_brings_in_none_either(scene: Scene) -> None:
    """An attacker's own lock, in a change that nobody has read."""
    reader = scene.reader(scene.bucket(scene.signed.things))
    attacker = scene.reader(scene.bucket(scene.signed.things), keys="")
    attacker.build("model:honest")
    reader.write("Sparkfile.lock", (attacker.path / "Sparkfile.lock").read_bytes())
    ran = reader.build("model:honest")
    assert (ran.outcomes["model:honest/train"], outputs_of(ran)["honest"]) == (
        "ran",
        scene.honest.outputs["honest"],
    )
    assert NOT_LISTED in ran.err


@pytest.mark.parametrize("things", ["signed", "bare"])
def test_a_lock_that_names_the_hostile_output_gets_none_by_locked_or_by_a_tag(
    scene: Scene, things: str
) -> None:
    """The output lies there whole, with a Record of the attacker's; the honest one has no say for it."""
    hostile: Built = getattr(scene, things)
    attacker = scene.reader(scene.bucket(hostile.things), keys="")
    attacker.build("model:honest")
    attacker.spark("tag", "model:honest@v1")
    for some in ((hostile.things,), (hostile.things, scene.honest.things)):
        reader = scene.reader(scene.bucket(*some))
        reader.write("Sparkfile.lock", (attacker.path / "Sparkfile.lock").read_bytes())
        for words in (
            ("get", "model:honest", "--locked", "--to", "out"),
            ("get", "model:honest@v1", "--to", "out"),
            ("store", "pull", "model:honest", "--locked"),
        ):
            told = reader.spark(*words, code=4).err
            assert (
                f"no listed key vouches for {hostile.outputs['honest'][:12]}, which Sparkfile.lock names"
                in told
            )
        assert not (reader.path / "out").exists()


def test_a_lock_that_names_what_a_listed_key_vouches_for_is_fetched_without_data(scene: Scene) -> None:
    builder = scene.reader(scene.bucket(scene.honest.things))
    builder.build("model:honest")
    reader = scene.reader(scene.bucket(scene.honest.things))
    reader.write("Sparkfile.lock", (builder.path / "Sparkfile.lock").read_bytes())
    reader.spark("get", "model:honest", "--locked", "--to", "out")
    assert (reader.path / "out").is_dir()
