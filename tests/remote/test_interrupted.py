"""An upload that is killed goes on where it was: what came there does not travel again."""

import time

import pytest

from spark_build.remote.layout import PART_BYTES
from tests.remote.conftest import Team
from tests.services.exchange import Request
from tests.services.fault_proxy import FaultProxy
from tests.spark import Folder

MEGABYTES = pytest.mark.parametrize("megabytes", [200, pytest.param(1000, marks=pytest.mark.long)])


@MEGABYTES
def test_an_upload_that_is_killed_sends_again_what_is_missing_and_no_more(
    quick_team: Team, megabytes: int
) -> None:
    with FaultProxy(quick_team.service) as proxy:
        project = Folder(quick_team.root / "first", dict(proxy.service.environment))
        project.path.mkdir()
        project.sparkfile(
            f'store: {{remote: "s3://{quick_team.bucket}/team"}}\nenvironment: {{hermetic: off}}\ntargets:\n'
            f"  large: {{recipe: {{use: command, with: {{run: "
            f'"head -c {megabytes << 20} /dev/urandom > {{output}}/x"}}}}}}\n'
        )
        project.build("--offline")
        pushing = project.start("store", "push")
        half = (megabytes << 20) // PART_BYTES // 2
        while len(arrived(proxy)) < half:
            assert pushing.poll() is None, "it has come to its end"
            time.sleep(0.002)
        pushing.kill()
        pushing.communicate()
        there = sum(
            one["Size"]
            for one in quick_team.service.client().list_objects_v2(Bucket=quick_team.bucket)["Contents"]
        )
        proxy.forget()
        project.spark("store", "push")
        sent = sum(request.sent for request in parts(proxy))
        assert sent <= (megabytes << 20) - there + PART_BYTES
        assert not project.spark("store", "push").err
        assert quick_team.clone(project).build().outcomes == {"model:large/train": "restored"}


def parts(proxy: FaultProxy) -> list[Request]:
    return [one for one in proxy.requests if one.operation == "PutObject" and "/objects/" in one.key]


def arrived(proxy: FaultProxy) -> list[Request]:
    return [one for one in parts(proxy) if one.status == 200]
