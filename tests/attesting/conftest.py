"""A project with a dataset, gates, a model, an evaluation and a second model made of the first; and a key."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spark_build.core.signing import PrivateKey
from tests.spark import Folder, documents

SPARKFILE = """\
datasets:
  notes:
    source: data
    gates: [{use: exact_duplicates}, {use: limits, with: {min_characters: 20}}]
    splits: {train: 0.7, test: 0.3}
    require: {items: "> 3"}
    version: {use: snapshot, with: {tag: "1.0"}}
    card: {license: cc-by-4.0, description: Notes of a machine.}
targets:
  tiny:
    dataset: notes
    recipe: {use: command, with: {run: "python3 train.py {inputs.dataset} {output} {params.lr}",
      params: {lr: 0.1}, tools: [python3], env: [SPEED]}}
    eval: {metrics: [{use: command, with: {run: "python3 score.py {output}"}}], require: {near: "> 0.2"}}
  next: {base: "model:tiny", recipe: {use: command, with: {run: "cp -r {inputs.base}/. {output}"}}}
"""
TRAIN = """\
import pathlib, sys
data, out, lr = sys.argv[1:]
shards = sorted(path.name for path in pathlib.Path(data).rglob("*"))
pathlib.Path(out, "weights.bin").write_text(f"{lr} {shards}")
pathlib.Path(out, "sub").mkdir()
pathlib.Path(out, "sub", "run.sh").write_text("true")
pathlib.Path(out, "sub", "run.sh").chmod(0o755)
"""
SCORE = """\
import json, pathlib, sys
pathlib.Path(sys.argv[1], "metrics.json").write_text(json.dumps({"near": 0.5}))
"""
PROVENANCE, UNSIGNED = "provenance.intoto.jsonl", "provenance.unsigned.json"


@dataclass
class Attested:
    """The project with what was attested in it."""

    folder: Folder
    key: PrivateKey
    to: Path  # model:tiny, signed

    @property
    def provenance(self) -> Path:
        return self.to / PROVENANCE

    def statement(self, target: str, to: Path) -> dict[str, Any]:
        """Attested without a key."""
        self.folder.spark("attest", target, "--no-sign", "--to", str(to))
        told: dict[str, Any] = json.loads((to / UNSIGNED).read_text())
        return told


@pytest.fixture(scope="session")
def attested_once(tmp_path_factory: pytest.TempPathFactory) -> Attested:
    path = tmp_path_factory.mktemp("attesting")
    key = PrivateKey.new()
    file = os.open(path / "key", os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(file, key.to_pem())
    os.close(file)
    (path / "project").mkdir()
    folder = Folder(path / "project", {"SPARK_SIGNING_KEY": str(path / "key"), "SPEED": "7"})
    folder.sparkfile(SPARKFILE)
    folder.write("train.py", TRAIN)
    folder.write("score.py", SCORE)
    folder.write("data/short.md", "x")
    documents(folder, 8)
    folder.build()
    folder.spark("attest", "model:tiny", "--to", str(path / "attested"))
    return Attested(folder, key, path / "attested")


@pytest.fixture
def attested(attested_once: Attested, tmp_path: Path) -> Attested:
    """A copy of its own, which a test may spoil."""
    to = tmp_path / "attested"
    shutil.copytree(attested_once.to, to)
    return Attested(attested_once.folder, attested_once.key, to)


@pytest.fixture
def project(attested_once: Attested, tmp_path: Path) -> Attested:
    """With a project of its own, too, at another place."""
    path = tmp_path / "elsewhere"
    shutil.copytree(attested_once.folder.path, path, symlinks=True)
    shutil.copytree(attested_once.to, tmp_path / "attested")
    return Attested(Folder(path, attested_once.folder.env), attested_once.key, tmp_path / "attested")
