"""Runs single stages in a temporary project: real jobs, the real memo, real files."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spark_build.contract.rows import DatasetFolder
from spark_build.contract.rules import Rule
from spark_build.core.digest import digest_file, digest_json
from spark_build.core.job import Job, JobStep, Outcome
from spark_build.core.ports import Helpers, NoHelpers, Services
from spark_build.core.tree import Entry, Tree
from spark_build.executors.helpers import HelperProcesses
from spark_build.stages import run_stage
from spark_build.storage.blobs import blobs_of
from spark_build.storage.memo import LocalMemo
from tests.spark import REPOSITORY


@dataclass
class Heard:
    """A reporter that keeps what it is told."""

    events: list[tuple[str, Any]] = field(default_factory=list)

    def progress(self, done: int, total: int | None, unit: str = "items") -> None:
        self.events.append(("progress", (done, total, unit)))

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self.events.append(("metric", (name, value)))

    def log(self, text: str) -> None:
        self.events.append(("log", text))

    def checkpoint(self, step: int) -> None:
        self.events.append(("checkpoint", step))

    def note(self, name: str, value: Any) -> None:
        self.events.append(("note", (name, value)))

    def of(self, kind: str) -> list[Any]:
        return [what for name, what in self.events if name == kind]


@dataclass
class Ran:
    outcome: Outcome
    output: Path
    heard: Heard

    @property
    def dataset(self) -> DatasetFolder:
        return DatasetFolder(self.output)

    @property
    def handled(self) -> int:
        assert self.outcome.items is not None
        return self.outcome.items["handled"]

    @property
    def remembered(self) -> int:
        assert self.outcome.items is not None
        return self.outcome.items["remembered"]

    def rows(self, split: str = "train") -> list[dict[str, Any]]:
        return list(self.dataset.rows(split))

    @property
    def tree(self) -> Tree:
        """As the store would take it in."""
        files = (f for f in sorted(self.output.rglob("*")) if f.is_file())
        own = [Entry(f.relative_to(self.output).as_posix(), f.stat().st_size, digest_file(f)) for f in files]
        taken = self.output.with_name("taken.json")
        return Tree.of([*own, *(Tree.parse(taken.read_bytes()) if taken.exists() else ())])


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir(parents=True, exist_ok=True)
        self.store = folder / "store"
        self._count = 0

    def cold(self) -> "Bench":
        """The same project with an empty memo."""
        other = Bench.__new__(Bench)
        other.folder, other.project, other._count = self.folder, self.project, self._count + 1000
        other.store = self.folder / f"store-{other._count}"
        return other

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def job(
        self,
        kind: str,
        steps: list[JobStep],
        inputs: Mapping[str, Path | str] | None = None,
        options: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> Job:
        self._count += 1
        root = self.folder / "work" / f"{self._count}-{kind}"
        for name in ("attempt", "scratch"):
            (root / name).mkdir(parents=True)
        return Job(
            stage=f"dataset:test/{kind}",
            kind=kind,
            key="0" * 64,
            manifest=rest.pop("manifest", {}),
            steps=tuple(steps),
            inputs={name: str(place) for name, place in (inputs or {}).items()},
            project=str(self.project),
            store=str(self.store),
            output=str(root / "attempt"),
            scratch=str(root / "scratch"),
            events=str(root / "events.jsonl"),
            result=str(root / "result.json"),
            options=dict(options or {}),
            **rest,
        )

    def run(self, kind: str, steps: list[JobStep], *args: Any, **rest: Any) -> Ran:
        return self.run_job(self.job(kind, steps, *args, **rest))

    def run_job(self, job: Job) -> Ran:
        heard = Heard()
        with _helpers(job) as helpers:
            memo = LocalMemo(self.store / "memo", heard.log)
            outcome = run_stage(job, Services(memo, heard, blobs_of(job), helpers=helpers))
        return Ran(outcome, Path(job.output), heard)

    def ingest(self, *steps: JobStep, **options: Any) -> Ran:
        return self.run("ingest", list(steps) or [self.files()], {}, options)

    def filter(self, dataset: Ran, *gates: JobStep) -> Ran:
        return self.run("filter", list(gates), {"dataset": dataset.output})

    def files(self, path: str = "data", rule: str = "Lines", **params: Any) -> JobStep:
        return step(rule, params, inputs={"path": str(self.project / path)})


@contextmanager
def _helpers(job: Job) -> Iterator[Helpers]:
    """As a worker has them; they find the rules of tests as well."""
    if job.processes == 1:
        yield NoHelpers()
        return
    job_file = Path(job.output).with_name("job.json")
    job.save(job_file)
    path = os.pathsep.join([str(REPOSITORY), os.path.dirname(__file__)])
    helpers = HelperProcesses(job, str(job_file), {"PYTHONPATH": path})
    try:
        yield helpers
    finally:
        helpers.close()


def step(rule: str, params: Mapping[str, Any] | None = None, impl: str | None = None, **rest: Any) -> JobStep:
    """A use of a rule of stage_rules; deciding params stay out of the operation, as in the engine."""
    from spark_build.stages.loading import rule_class

    given = dict(params or {})
    made = JobStep(rule, impl or f"stage_rules:{rule}", given, "", label=rest.pop("label", rule), **rest)
    job = Job("", "", "", {}, (), {}, ".", "", "", "", "", "")
    decides = rule_class(job, made, Rule).Params.marked("decides")
    counted = {name: value for name, value in given.items() if name not in decides}
    operation = digest_json([rule, impl, counted])
    return JobStep(rule, made.impl, given, operation, made.inputs, made.options, made.label, made.manifest)
