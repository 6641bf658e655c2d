"""Who may read alone: takes what is there, builds what is not, and is told what did not go up."""

import json
from pathlib import Path

from tests.remote.conftest import Team
from tests.services.service import Service


def test_a_reader_restores_what_is_there_and_builds_what_is_not(tmp_path: Path, ceph: Service) -> None:
    team = Team(tmp_path, ceph)
    first = team.project()
    first.build("model:small")
    document = first.spark("store", "policy", "reader").out
    json.loads(document)
    user = ceph.users["reader"]
    ceph.client(api="iam").put_user_policy(UserName=user.name, PolicyName="reads", PolicyDocument=document)
    second = team.clone(first)
    second.env.update(ceph.environment_of("reader"))
    assert not second.build("model:small").ran
    before = team.names()
    second.write("data/new.txt", "a text that nobody has seen before")
    ran = second.build("model:small")
    assert "model:small/train" in ran.ran
    assert "may not PUT" in ran.err
    assert "spark store push" in ran.err
    assert team.names() == before
    second.write("data/new.txt", "another text that nobody has seen before")
    quiet = second.build("model:small", "--no-push")
    assert "model:small/train" in quiet.ran
    assert "may not" not in quiet.err
