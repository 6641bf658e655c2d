"""What a helper process makes of items, as a stage's worker gets it from there."""

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.rules import Rule
from spark_build.core.job import Job, JobStep
from spark_build.executors.helpers import HelperProcesses
from spark_build.stages.helping import Answer, Ask, Begin, Run
from spark_build.stages.narrow import View
from tests.spark import REPOSITORY


class OtherProcess:
    """One for many rules: each of its own `begin`."""

    def __init__(self, folder: Path) -> None:
        self._job = Job(
            "s", "filter", "0" * 64, {}, (), {}, str(folder), str(folder / ".spark"), "o", "s", "e", "r",
            processes=2,
        )  # fmt: skip
        self._job.save(folder / "job.json")
        # another seed of hashes than this process has: an order that follows them shows
        env = {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": str(os.getpid() % 1000 + 1)}
        self._helpers = HelperProcesses(self._job, str(folder / "job.json"), env)
        self._helpers.start(1)

    def values(
        self, run: Run, family: Any, step: JobStep, views: Sequence[View], batch: int = 1
    ) -> list[bytes]:
        self._helpers.wait()
        given = [pickle.dumps(view.alone()) for view in views]
        for told in (Begin(run, family, step, batch), Ask(1, given)):
            self._helpers.send(0, pickle.dumps(told))
        values = list[bytes]()
        while True:
            for _, message in self._helpers.hear(None):
                assert message is not None, self._helpers.last_words(0)
                answer: Answer = pickle.loads(message)
                values += answer.values
                if answer.is_last:
                    return values

    def close(self) -> None:
        self._helpers.close()


def step_of(rule: type[Rule], params: Any, inputs: Mapping[str, Path] | None = None) -> JobStep:
    given = params.model_dump(mode="json")
    where = {name: str(place) for name, place in (inputs or {}).items()}
    return JobStep(rule.__name__, f"{rule.__module__}:{rule.__name__}", given, "", where)
