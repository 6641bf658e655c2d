"""The reference build: a dataset with a gate, a training with checkpoints, a gc; with the layer or without.

With a bucket it has a pack too, an upload in several parts, a fetch, and a gc there.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.bucket import Bucket
from tests.spark import REPOSITORY, Folder, documents

SPARKFILE = """\
datasets:
  notes: {source: data, gates: [q], push: all}
gates:
  q: {use: ./own.py:Long}
recipes:
  tiny: {use: ./own.py:Tiny}
targets:
  tiny: {recipe: tiny, dataset: notes}
"""
OWN = '''\
"""A gate and a recipe of the project's own: the weights hang on each step, and steps are kept as checkpoints."""

from hashlib import sha256

from spark_build.contract import ItemGate, Recipe, Verdict
from spark_build.training import checkpoints

class Long(ItemGate):
    uses_model = False

    def measure(self, item):
        return len(item["text"])

    def decide(self, found, params):
        return Verdict.keep() if found > 20 else Verdict.drop("short")

class Tiny(Recipe):
    uses_model = False

    def train(self, context):
        rows = sorted(row["text"] for row in context.dataset.rows("train"))
        folder = context.scratch / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        newest, _ = checkpoints.newest(folder)
        step = newest.step if newest else 0
        weights = (newest.path / "weights").read_bytes() if newest else b""
        while step < 4:
            step += 1
            weights = sha256(weights + repr((step, rows)).encode()).digest()
            written = folder / "writing"
            written.mkdir(exist_ok=True)  # a kill may have left it empty
            (written / "weights").write_bytes(weights)
            checkpoints.seal(written, folder, step)
        model = context.output / "model"
        model.mkdir()
        (model / "weights").write_bytes(weights)
        (model / "large").write_bytes(b"".join(sha256(weights + bytes([n])).digest() * 1000 for n in range(3)))
'''
# so that an upload has a pack, and an object in three parts, and takes no time
SIZES = {"spark_build.remote.layout": {"SMALL_BYTES": 32 << 10, "PART_BYTES": 32 << 10}}
FAULTS = Path(__file__).with_name("layer.py")


@dataclass
class Reference:
    """A project, and a place from which the package is imported together with the layer."""

    folder: Folder
    library: Path
    bucket: Bucket | None = None

    @classmethod
    def of(cls, path: Path, library: Path, bucket: Bucket | None = None) -> "Reference":
        library.mkdir(parents=True, exist_ok=True)
        for name in ("spark_build", "sparkfile_schema"):
            if not (library / name).exists():
                (library / name).symlink_to(REPOSITORY / name)
        shutil.copyfile(FAULTS, library / "sitecustomize.py")
        return cls(Folder(path, {"PYTHONPATH": str(library)}), library, bucket)

    @classmethod
    def made(cls, path: Path, library: Path, bucket: Bucket | None = None) -> "Reference":
        path.mkdir(parents=True)
        made = cls.of(path, library, bucket)
        remote = "" if bucket is None else f'store: {{remote: "s3://{bucket.name}/team"}}\n'
        made.folder.sparkfile(remote + SPARKFILE)
        made.folder.write("own.py", OWN)
        documents(made.folder, 3)
        made.folder.write("data/short.md", "too short")
        return made

    @property
    def store(self) -> Path:
        return self.folder.path / ".spark"

    @property
    def log(self) -> Path:
        return self.library / "calls.log"

    def spark(
        self, *words: str, at: int | str | None = None, how: str = "kill", counts: str = "writes"
    ) -> "subprocess.CompletedProcess[str]":
        """With the layer, which fails the `at`th call, or the first whose line begins with `at`."""
        self._set(counts, at, how)
        return self._run(words)

    def plain(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Nothing is counted, nothing fails."""
        self._set(None)
        return self._run(words)

    def trace(self, *words: str, before: tuple[str, ...]) -> None:
        """With the layer, which only counts, below another program."""
        self._set("writes")
        done = self._run(words, before)
        assert done.returncode == 0, done.stderr

    def _set(self, counts: str | None, at: int | str | None = None, how: str = "") -> None:
        told = {
            "folder": str(self.folder.path if counts == "reads" else self.store),
            "log": str(self.log) if counts else None,
            "counts": counts,
            "at": at,
            "how": how,
            "constants": {} if self.bucket is None else SIZES,
        }
        self.log.unlink(missing_ok=True)
        (self.library / "faults.json").write_text(json.dumps(told))

    def _run(
        self, words: tuple[str, ...], before: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self.library)}
        if self.bucket is not None:
            env |= {**self.bucket.service.environment, "SPARK_LEASE_SECONDS": "1"}
        command = [*before, sys.executable, "-P", "-m", "spark_build", *words]
        process = subprocess.Popen(
            command, cwd=self.folder.path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def calls(self) -> list[list[str]]:
        """Each call that was counted: its name, the place in the code, its paths."""
        try:
            return [line.split("\t") for line in self.log.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def outputs(self, out: str) -> dict[str, str]:
        events: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        return {e["stage"]: e["output"] for e in events if e["event"] == "stage"}

    def orphans(self, seconds: float = 10.0) -> list[str]:
        """What still runs of a build that was killed."""
        deadline = time.monotonic() + seconds
        while (left := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    def _processes(self) -> list[str]:
        found = []
        for process in Path("/proc").iterdir():
            try:
                is_ours = str(self.library).encode() in (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if is_ours and command:
                found.append(command)
        return found
