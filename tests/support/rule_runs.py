"""Recipes and metrics run for real, in processes of their own, without seconds of imports for each.

One interpreter per hash seed imports torch and transformers; every run is a fork of it, with a folder of its
own, and may be killed by SIGKILL at a chosen moment.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Run:
    """How a run ended, and what it left."""

    code: int  # exit status; -9 where it was killed
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def model(self) -> Path:
        return self.output / "model"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "scratch" / "checkpoints"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "events").read_text().splitlines()]

    @property
    def log(self) -> str:
        """What the rule said through its reporter."""
        return "\n".join(e["text"] for e in self.events if e["event"] == "log")

    @property
    def notes(self) -> dict[str, Any]:
        return {e["name"]: e["value"] for e in self.events if e["event"] == "note"}

    @property
    def steps(self) -> list[int]:
        """Steps that were trained, in order; a resume reports the step that it begins with once more."""
        return [e["done"] for e in self.events if e["event"] == "progress"]

    @property
    def figures(self) -> dict[str, float]:
        return json.loads((self.folder / "result.json").read_text())["figures"]

    @property
    def error(self) -> str:
        """The SparkError that ended it, with its fix."""
        return json.loads((self.folder / "result.json").read_text())["error"]


def run_rule(
    folder: Path,
    impl: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, Path],
    *,
    kill: Mapping[str, int] | None = None,
    hash_seed: int = 0,
    must_end_well: bool = True,
    **more: Any,
) -> Run:
    """Runs a recipe or metric; `folder` keeps output, scratch and events, so that a second call goes on from it.

    `kill`: {'at_step': n} dies before step n's progress is told; {'in_seal': n} dies within the n-th checkpoint.
    """
    job = {
        "impl": impl,
        "params": dict(params),
        "inputs": {name: str(path) for name, path in inputs.items()},
        "folder": str(folder),
        "kill": dict(kill or {}),
        **more,
    }
    code = _interpreter(hash_seed).run(job)
    run = Run(code, folder)
    if must_end_well and not kill:
        assert code == 0, f"{impl} ended with {code}:\n{(folder / 'log').read_text()[-3000:]}"
    return run


def write_dataset(folder: Path, fields: Mapping[str, str], **splits: Sequence[Mapping[str, Any]]) -> Path:
    """A dataset folder as `version` leaves it, data alone."""
    import pyarrow.parquet as pq

    from spark_build.contract.shards import table_of

    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        full = [{"id": str(i), "source": "made.jsonl", **row} for i, row in enumerate(rows)]
        pq.write_table(table_of(full, fields), folder / "data" / f"{split}-00000.parquet")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class _Interpreter:
    def __init__(self, hash_seed: int) -> None:
        root = HERE.parent.parent
        pinned = {
            "PYTHONPATH": str(root),
            "PYTHONHASHSEED": str(hash_seed),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "rule_forks.py")],
            env={**os.environ, **pinned},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def run(self, job: Mapping[str, Any]) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(json.loads(self.process.stdout.readline())["code"])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)


@functools.cache
def _interpreter(hash_seed: int) -> _Interpreter:
    return _Interpreter(hash_seed)
