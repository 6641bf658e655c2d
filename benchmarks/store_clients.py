"""Who carries files to S3 and back, each its own way: spark, DVC, s5cmd, rclone, and boto3 without a tool."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.dvc import Dvc
from benchmarks.measure import measure
from benchmarks.projects import write_sparkfile
from benchmarks.tools import Spark, stored_files

MAKE_FILES = """
import os, random, sys
folder, count, size, large = sys.argv[1], *map(int, sys.argv[2:])
os.makedirs(folder, exist_ok=True)
rnd = random.Random(1)
for n in range(count):
    with open(f"{folder}/{n:05}.bin", "wb") as file:
        file.write(rnd.randbytes(size))
with open(f"{folder}/large.bin", "wb") as file:
    for _ in range(large >> 20):
        file.write(rnd.randbytes(1 << 20))
"""


@dataclass(frozen=True)
class Sizes:
    """So many small files and a large one, of bytes that are the same everywhere and can't be compressed."""

    small: int
    small_bytes: int
    large_bytes: int

    def words(self) -> list[str]:
        return [str(self.small), str(self.small_bytes), str(self.large_bytes)]

    def __str__(self) -> str:
        return f"{self.small:,} files of {self.small_bytes >> 10} KB and one of {self.large_bytes >> 20} MB"


@dataclass
class Client:
    """A program at work in a folder of its own; a second machine is a folder with what a clone would have."""

    program: str
    sizes: Sizes
    env: Mapping[str, str]

    name = ""
    asks_first = True  # a second push sends only what is missing
    version_word = "--version"

    def version(self) -> str:
        done = subprocess.run([self.program, self.version_word], capture_output=True, text=True, check=False)
        return next(iter(re.findall(r"\d+(?:\.\d+)+", done.stdout)), "?")

    def prepare(self, folder: Path) -> None:
        """Once: the files are there as this client keeps them."""
        measure([sys.executable, "-c", MAKE_FILES, "data", *self.sizes.words()], folder, self.env)

    def aim(self, folder: Path, bucket: str) -> None:
        """At that bucket from now on."""

    def push(self, bucket: str) -> list[str]:
        raise NotImplementedError

    def clone(self, folder: Path, second: Path) -> None:
        """Into an empty folder."""

    def pull(self, bucket: str) -> list[str]:
        raise NotImplementedError

    def pulled(self, second: Path) -> dict[str, Path]:
        return {path.name: path for path in (second / "data").rglob("*.bin")}


class SparkStore(Client):
    """Its program is a Python interpreter that finds spark's libraries; a stage has made the files."""

    name = "spark"

    @property
    def command(self) -> list[str]:
        return Spark(self.program).command

    def version(self) -> str:
        return Spark(self.program).version()

    def prepare(self, folder: Path) -> None:
        (folder / "make.py").write_text(MAKE_FILES)
        self._write(folder, {})
        measure([*self.command, "build"], folder, self.env)

    def aim(self, folder: Path, bucket: str) -> None:
        endpoint = self.env["AWS_ENDPOINT_URL"]
        self._write(folder, {"store": {"remote": f"s3://{bucket}/store", "endpoint": endpoint}})

    def _write(self, folder: Path, settings: dict[str, Any]) -> None:
        run = " ".join(["python3 {inputs.make} {output}", *self.sizes.words()])
        recipe = {"use": "command", "with": {"run": run, "inputs": {"make": "make.py"}}}
        write_sparkfile(folder, {**settings, "targets": {"files": {"recipe": recipe}}})

    def push(self, bucket: str) -> list[str]:
        return [*self.command, "store", "push"]

    def clone(self, folder: Path, second: Path) -> None:
        for name in ("make.py", "Sparkfile.lock"):
            shutil.copy(folder / name, second)

    def pull(self, bucket: str) -> list[str]:
        return [*self.command, "build", "--json"]

    def pulled(self, second: Path) -> dict[str, Path]:
        files = stored_files(second)["model:files/train"]
        return {Path(path).name: file for path, file in files.items() if path.endswith(".bin")}


class DvcStore(Client):
    name = "dvc"

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        Dvc(self.program).initialise(folder)
        measure([self.program, "add", "-q", "data"], folder, self.env)

    def aim(self, folder: Path, bucket: str) -> None:
        place = f"    url = s3://{bucket}/store\n    endpointurl = {self.env['AWS_ENDPOINT_URL']}\n"
        settings = f"[core]\n    remote = s3\n['remote \"s3\"']\n{place}"
        (folder / ".dvc/config.local").write_text(settings)

    def push(self, bucket: str) -> list[str]:
        return [self.program, "push", "-q"]

    def clone(self, folder: Path, second: Path) -> None:
        Dvc(self.program).initialise(second)
        shutil.copy(folder / "data.dvc", second)

    def pull(self, bucket: str) -> list[str]:
        return [self.program, "pull", "-q"]


class S5cmd(Client):
    name = "s5cmd"
    version_word = "version"

    def push(self, bucket: str) -> list[str]:
        return [*self._command, "data/", f"s3://{bucket}/store/"]

    def pull(self, bucket: str) -> list[str]:
        return [*self._command, f"s3://{bucket}/store/*", "data/"]

    @property
    def _command(self) -> list[str]:
        return [self.program, "--endpoint-url", self.env["AWS_ENDPOINT_URL"], "sync"]


class Rclone(Client):
    name = "rclone"

    def push(self, bucket: str) -> list[str]:
        return [self.program, "copy", "data", self._place(bucket)]

    def pull(self, bucket: str) -> list[str]:
        return [self.program, "copy", self._place(bucket), "data"]

    def _place(self, bucket: str) -> str:
        settings = f"provider=Ceph,env_auth=true,endpoint='{self.env['AWS_ENDPOINT_URL']}'"
        return f":s3,{settings}:{bucket}/store"


class Boto3(Client):
    """Its program is a Python interpreter: one client, sixteen threads, and its own transfers for large files alone."""

    name = "boto3"
    asks_first = False

    def version(self) -> str:
        import boto3

        return str(boto3.__version__)

    def push(self, bucket: str) -> list[str]:
        return [self.program, "-c", PUSH, bucket]

    def pull(self, bucket: str) -> list[str]:
        return [self.program, "-c", PULL, bucket]


START = """
import os, sys, boto3
from concurrent.futures import ThreadPoolExecutor
from botocore.config import Config
SMALL = 1 << 20
client = boto3.client("s3", config=Config(max_pool_connections=16))
def all_of(do, names):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(do, names))
"""
PUSH = f"""{START}
def push(name):
    path, bucket, key = f"data/{{name}}", sys.argv[1], f"store/{{name}}"
    if os.path.getsize(path) > SMALL:
        return client.upload_file(path, bucket, key)
    with open(path, "rb") as file:
        client.put_object(Bucket=bucket, Key=key, Body=file.read())
all_of(push, os.listdir("data"))
"""
PULL = f"""{START}
def pull(found):
    bucket, key, path = sys.argv[1], found["Key"], f"data/{{found['Key'][6:]}}"
    if found["Size"] > SMALL:
        return client.download_file(bucket, key, path)
    with open(path, "wb") as file:
        file.write(client.get_object(Bucket=bucket, Key=key)["Body"].read())
os.mkdir("data")
pages = client.get_paginator("list_objects_v2").paginate(Bucket=sys.argv[1], Prefix="store/")
all_of(pull, [found for page in pages for found in page["Contents"]])
"""
CLIENTS: tuple[type[Client], ...] = (SparkStore, DvcStore, S5cmd, Rclone, Boto3)
