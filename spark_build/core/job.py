"""Jobs: one action as a worker gets it, in one JSON file, and what the worker says it did."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.core.digest import Digest
from spark_build.core.moved import Seen
from spark_build.core.values import Struct, asdict, field


class JobStep(Struct, frozen=True):
    """One rule of a job."""

    rule: str
    impl: str  # 'spark_build.gates.pii:Pii', or '/abs/project/my_gate.py:MyGate' for a rule of the user's own
    params: Mapping[str, Any]  # resolved, as the rule's Params take them
    operation: Digest  # of the step's manifest without its deciding params: scopes the memo
    inputs: Mapping[str, str] = field(default_factory=dict)  # field name -> folder or file
    options: Mapping[str, Any] = field(default_factory=dict)  # {'only': 'train'}
    label: str = ""  # as the user calls it; `gate` of rejected items
    manifest: Mapping[str, Any] = field(
        default_factory=dict
    )  # the step's own: rule, revision, params, libraries, inputs


class Job(Struct, frozen=True):
    """One action, as its worker reads it."""

    stage: str
    kind: str  # ingest filter version train eval package
    key: Digest
    manifest: Mapping[str, Any]
    steps: tuple[JobStep, ...]
    inputs: Mapping[str, str]  # name -> folder, laid out from the store
    project: str  # the Sparkfile's folder
    store: str  # the store's folder (.spark)
    output: str  # the attempt's folder, empty
    scratch: str  # survives kills and failures
    events: str  # JSON lines, append only
    result: str  # where the worker writes its JobResult
    seed: int = 0
    numerics: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1  # that may work on its items at once; no byte of the result hangs on it
    spread_after_seconds: float = 1.0  # of work of one kind; 0: at once, however little there is to do
    secrets: tuple[str, ...] = ()
    env: tuple[str, ...] = ()  # names that the worker's environment holds besides the fixed ones
    hub: Mapping[str, str] = field(default_factory=dict)  # step input name -> 'org/name@revision'
    limit: int | None = None
    publishes: bool = True  # False: nothing is done outside of the result
    hermetic: str = "warn"  # what becomes of reads that the Sparkfile does not declare: warn, strict, off
    reads: tuple[str, ...] = ()  # project files and folders that it may read, relative
    seen: tuple[Seen, ...] = ()  # what its rules' findings per item hang on, as it was when the key was made
    # per kind. ingest: splits, fields, on_error · version: card, tag · eval: split
    options: Mapping[str, Any] = field(default_factory=dict)
    previous: Mapping[str, Any] = field(default_factory=dict)  # a hint: see engine/previous.py

    @property
    def taken(self) -> Path:
        """Where a runner says which objects of the store its result holds besides the attempt's files: a listing."""
        return Path(self.output).with_name("taken.json")

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({**asdict(self), "steps": [asdict(step) for step in self.steps]}))

    @classmethod
    def load(cls, path: Path) -> "Job":
        data = json.loads(path.read_text())
        data["steps"] = tuple(JobStep(**step) for step in data["steps"])
        data.update({name: tuple(data[name]) for name in ("secrets", "env", "reads")})
        data["seen"] = tuple(Seen(*one) for one in data["seen"])
        return cls(**data)


class Outcome(Struct, frozen=True):
    """What a stage's runner returns; the files are in `job.output`."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    items: Mapping[str, int] | None = None  # handled, remembered
    notes: Mapping[str, Any] = field(default_factory=dict)


class JobResult(Struct, frozen=True):
    """What a worker says of its job."""

    ok: bool
    metrics: Mapping[str, float] = field(default_factory=dict)
    items: Mapping[str, int] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    fix: str | None = None
    transient: bool = False

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, path: Path) -> "JobResult":
        return cls(**json.loads(path.read_text()))
