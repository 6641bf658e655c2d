"""What tests of real processes share: jobs without stages, and a look at what lives."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spark_build.core.job import Job, JobResult
from spark_build.executors.local import Handle, LocalExecutor

KEY = "ab" * 32


def job_in(store: Path, name: str = "one", **changed: Any) -> Job:
    work = store / "work" / KEY
    fields: dict[str, Any] = {
        "stage": "dataset:d/ingest",
        "kind": "ingest",
        "key": KEY,
        "manifest": {},
        "steps": (),
        "inputs": {},
        "project": str(store),
        "store": str(store),
        "output": str(work / "attempt"),
        "scratch": str(work / "scratch"),
        "events": str(store / "logs" / f"{name}.events.jsonl"),
        "result": str(work / f"{name}.result.json"),
    }
    return Job(**{**fields, **changed})


def shell(store: Path, script: str) -> LocalExecutor:
    """An executor whose workers are this script; `$0` is the job's file."""
    return LocalExecutor(store, ["/bin/sh", "-c", script])


def python(store: Path, code: str) -> LocalExecutor:
    return LocalExecutor(store, [sys.executable, "-c", code])


def ended(executor: LocalExecutor, handle: Handle, seconds: float = 20.0) -> tuple[int, JobResult | None]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for one, status, result in executor.poll(0.2):
            if one is handle:
                return status, result
    raise AssertionError("the job did not end")


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to hold")
        time.sleep(0.01)


def living_with(marker: str) -> list[int]:
    """Processes whose command line or environment holds `marker`; zombies have neither."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                seen = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if marker.encode() in seen:
                found.append(int(name))
    return found
