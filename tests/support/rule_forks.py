"""The other side of rule_runs.py: reads jobs from standard input, forks for each, says how it ended."""

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    import accelerate  # noqa: F401
    import peft  # noqa: F401
    import torch  # noqa: F401
    from transformers import Trainer  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run(job))
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


def run(job: dict[str, Any]) -> int:
    from spark_build.core.errors import SparkError

    folder = Path(job["folder"])
    for name in ("output", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        result = {"figures": run_rule(job, folder)}
    except SparkError as error:
        result = {"error": str(error)}
        print(error)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    (folder / "result.json").write_text(json.dumps(result))
    return 0 if "figures" in result else 2


def run_rule(job: dict[str, Any], folder: Path) -> dict[str, float]:
    from spark_build.contract import Context, Recipe
    from spark_build.core.numerics import Numerics

    module, _, name = job["impl"].partition(":")
    rule = getattr(importlib.import_module(module), name)
    inputs = {key: Path(value) for key, value in job["inputs"].items()}
    if "in_seal" in job["kill"]:
        die_in_seal(job["kill"]["in_seal"])
    context = Context(
        inputs,
        folder / "output",
        folder / "scratch",
        Reporter(folder / "events", job["kill"].get("at_step")),
        Numerics.of(job.get("numerics")),
        split=job.get("split", "train"),
    )
    step = rule(rule.Params(**job["params"]), inputs)
    if isinstance(step, Recipe):
        step.train(context)
        return {}
    return dict(step.evaluate(context))


def die_in_seal(nth: int) -> None:
    """The n-th checkpoint is written and listed, but never renamed."""
    from spark_build.training import checkpoints

    calls = [0]
    flush = checkpoints._flush

    def die(folder: Path) -> None:
        calls[0] += 1
        if calls[0] == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(folder)

    checkpoints._flush = die


class Reporter:
    """core.ports.Reporter onto a file of JSON lines."""

    def __init__(self, path: Path, dies_at_step: int | None) -> None:
        self.file = path.open("a", buffering=1)
        self.dies_at_step = dies_at_step

    def progress(self, done: int, total: int | None, unit: str = "items") -> None:
        if unit == "steps" and done == self.dies_at_step:
            os.kill(os.getpid(), signal.SIGKILL)
        self.write("progress", done=done, total=total, unit=unit)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.write("metric", name=name, value=value, step=step)

    def log(self, text: str) -> None:
        self.write("log", text=text)

    def checkpoint(self, step: int) -> None:
        self.write("checkpoint", step=step)

    def note(self, name: str, value: Any) -> None:
        self.write("note", name=name, value=value)

    def write(self, event: str, **told: Any) -> None:
        self.file.write(json.dumps({"event": event, **told}) + "\n")


if __name__ == "__main__":
    main()
