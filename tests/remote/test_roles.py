"""What people can do through the tool who have a printed policy and nothing else, on a server that enforces it."""

import json
from pathlib import Path
from typing import Any

import pytest

from spark_build.app.access import Remote, policy
from spark_build.core.errors import Unavailable
from spark_build.core.signing import PrivateKey
from spark_build.remote.bucket import Bucket, Refused
from tests.remote.test_attacks import ATTACKERS_KEY, TRUSTED_KEY, TRUSTING, outputs_of, project
from tests.services.ceph import another_user
from tests.services.service import Service, User
from tests.spark import Folder

STAGE = "model:honest/train"


class Shop:
    """A bucket with what the trusted builder has put there."""

    def __init__(self, ceph: Service, root: Path) -> None:
        self.ceph, self.root, self.bucket = ceph, root, ceph.new_bucket()
        self.mood("good")
        self.writer = self.user("writer", "trusted")
        ran = self.project(self.writer, TRUSTED_KEY).build("model:honest")
        assert ran.err == "", "it may do all that its work needs"
        self.output = outputs_of(ran)["honest"]

    def mood(self, text: str) -> None:
        (self.root / "mood").write_text(text)

    def user(self, role: Any, scope: str) -> User:
        user = another_user(self.ceph, role)
        document = json.dumps(policy(Remote.of(f"s3://{self.bucket}/team"), role, scope))
        self.ceph.client(api="iam").put_user_policy(
            UserName=user.name, PolicyName="p", PolicyDocument=document
        )
        return user

    def project(
        self, user: User, key: PrivateKey | None = None, keys: str = TRUSTING, scope: str = ""
    ) -> Folder:
        found = project(self.root, self.ceph, self.bucket, keys, key, user)
        found.env["SPARK_SCOPE"] = scope
        return found

    def things(self) -> dict[str, str]:
        listed = self.ceph.client().list_objects_v2(Bucket=self.bucket)["Contents"]
        return {one["Key"]: one["ETag"] for one in listed}


@pytest.fixture
def shop(ceph: Service, tmp_path: Path) -> Shop:
    return Shop(ceph, tmp_path)


def test_a_reader_restores_what_is_there_builds_the_rest_and_writes_nothing(shop: Shop) -> None:
    before, reader = shop.things(), shop.project(shop.user("reader", "trusted"))
    assert reader.states("model:honest", "model:unsigned")[STAGE] == "restore"
    ran = reader.build("model:honest", "model:unsigned")
    assert ran.outcomes == {STAGE: "restored", "model:unsigned/train": "ran"}
    assert shop.things() == before
    assert "was not uploaded" in ran.err


def test_stolen_credentials_of_a_reader_bring_nothing_into_the_bucket(shop: Shop) -> None:
    before = shop.things()
    shop.mood("evil")
    thief = shop.project(shop.user("reader", "trusted"), ATTACKERS_KEY, f"keys: ['{ATTACKERS_KEY.public}']")
    assert thief.build("model:honest").outcomes[STAGE] == "ran"
    assert thief.spark("store", "push", "model:honest", code=None).code != 0
    assert shop.things() == before


def test_a_pull_request_writes_its_own_scope_which_those_who_read_trusted_alone_never_see(shop: Shop) -> None:
    before, user = shop.things(), shop.user("writer", "scopes/pr")
    shop.mood("evil")
    keys = f"keys: ['{ATTACKERS_KEY.public}']"
    assert shop.project(user, ATTACKERS_KEY, keys).build("model:honest").outcomes[STAGE] == "ran"
    assert shop.things() == before, "its credentials are good for no other scope"
    assert shop.project(user, ATTACKERS_KEY, keys, "pr").build("model:honest").outcomes[STAGE] == "ran"
    own = set(shop.things()) - set(before)
    assert own
    assert all(name.startswith("team/scopes/pr/") for name in own)
    again = shop.project(user, ATTACKERS_KEY, keys, "pr").build("model:honest")
    assert again.outcomes[STAGE] == "restored", "it reads what it wrote"
    shop.mood("good")
    for scope in ("", "pr"):  # who trusts one key alone takes nothing of it, not even in that scope
        ran = shop.project(shop.user("writer", "scopes/pr"), scope=scope).build("model:honest")
        assert outputs_of(ran) == {"honest": shop.output}


def test_what_is_there_and_may_not_be_read_is_not_taken_for_absent(
    ceph: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, user = ceph.new_bucket(), another_user(ceph, "blind")
    only_lists = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]}
    document = {"Version": "2012-10-17", "Statement": [only_lists]}
    ceph.client(api="iam").put_user_policy(
        UserName=user.name, PolicyName="p", PolicyDocument=json.dumps(document)
    )
    ceph.client().put_object(Bucket=bucket, Key="p/trusted/records/b", Body=b"x")
    for name, value in ceph.environment_of(user).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused, match="may not GET trusted/records/b"):
        Bucket(f"s3://{bucket}/p").get("trusted/records/b")
    nobody = another_user(ceph, "nobody")
    for name, value in ceph.environment_of(nobody).items():
        monkeypatch.setenv(name, value)
    with pytest.raises((Refused, Unavailable)):
        Bucket(f"s3://{bucket}/p").get("trusted/records/b")
