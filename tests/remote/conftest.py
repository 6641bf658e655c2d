"""Projects of one team: each has a store of its own, and all of them one bucket."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.service import Service
from tests.spark import Folder, documents

SPARKFILE = """\
store: {{remote: "s3://{bucket}/team"}}
datasets:
  notes: {{source: data, gates: [{{use: exact_duplicates}}]}}
targets:
  small: {{dataset: notes, recipe: {{use: command, with: {{run: "cat {{inputs.dataset}}/data/* > {{output}}/model"}}}}}}
  large:
    dataset: notes
    recipe: {{use: command, with: {{run: "./make_large.sh {{output}}/weights", code: [make_large.sh]}}}}
"""
# 21 MB in two parts of one object, other bytes in each megabyte
LARGE = "#!/bin/sh\nfor i in $(seq 1 20); do yes line-$i | head -c 1048576; done > $1\n"


@pytest.fixture(params=["moto_server", "ceph"])
def server(request: pytest.FixtureRequest) -> Service:
    service: Service = request.getfixturevalue(request.param)
    return service


class Team:
    """A bucket, and checkouts that use it."""

    def __init__(self, root: Path, service: Service) -> None:
        self.root, self.service = root, service
        self.bucket = service.new_bucket()

    def project(self, name: str = "first") -> Folder:
        folder = Folder(self.root / name, dict(self.service.environment))
        folder.path.mkdir()
        folder.sparkfile(SPARKFILE.format(bucket=self.bucket))
        folder.write("make_large.sh", LARGE).chmod(0o755)
        documents(folder, 6)
        return folder

    def clone(self, of: Folder, name: str = "second") -> Folder:
        """What git would bring: everything but the store."""
        folder = Folder(self.root / name, dict(of.env))
        shutil.copytree(of.path, folder.path, ignore=shutil.ignore_patterns(".spark"))
        return folder

    def names(self, prefix: str = "team/") -> list[str]:
        pages = self.service.client().get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(one["Key"] for page in found for one in page.get("Contents", []))

    def read(self, name: str) -> bytes:
        data: bytes = self.service.client().get_object(Bucket=self.bucket, Key=name)["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        self.service.client().put_object(Bucket=self.bucket, Key=name, Body=data)

    def change(self, name: str, changed: Callable[[bytes], bytes]) -> None:
        self.write(name, changed(self.read(name)))


@pytest.fixture
def team(tmp_path: Path, server: Service) -> Team:
    return Team(tmp_path, server)


@pytest.fixture
def quick_team(tmp_path: Path, moto_server: Service) -> Team:
    """For what rests on no promise of the server's."""
    return Team(tmp_path, moto_server)
