"""What a plan says: per stage a state and its causes."""

from __future__ import annotations  # what they name need not be loaded

from functools import cached_property
from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct

if TYPE_CHECKING:
    from spark_build.core.digest import Digest
    from spark_build.core.record import Record
    from spark_build.engine.action import Manifest
    from spark_build.engine.explain import Reason


STATES = ("fresh", "restore", "run", "maybe")


class StagePlan(Struct, frozen=True):
    """One stage's state, with what is known of it."""

    stage: str
    state: str
    key: Digest | None = None
    output: Digest | None = None
    reasons: tuple[Reason, ...] = ()
    seconds: float | None = None  # what the stage took last time
    bytes: int | None = None  # a restore's
    drift: tuple[str, ...] = ()
    manifest: Manifest | None = None
    record: Record | None = None
    last: Record | None = None  # of a `run`: what the stage gave before

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "state": self.state,
            "key": self.key,
            "output": self.output,
            "reasons": [reason.to_json() for reason in self.reasons],
            "seconds": self.seconds,
            "bytes": self.bytes,
            "drift": list(self.drift),
        }


class Plan(Struct, frozen=True, dict=True):
    """The stages in topological order, deployments last."""

    stages: tuple[StagePlan, ...]

    @property
    def summary(self) -> dict[str, int]:
        return {state: sum(s.state == state for s in self.stages) for state in STATES}

    @property
    def is_done(self) -> bool:
        return all(s.state in ("fresh", "restore") for s in self.stages)

    def __getitem__(self, stage: str) -> StagePlan:
        return self._by_stage[stage]

    @cached_property
    def _by_stage(self) -> dict[str, StagePlan]:
        return {s.stage: s for s in self.stages}

    def to_json(self) -> dict[str, Any]:
        return {"version": 1, "stages": [s.to_json() for s in self.stages], "summary": self.summary}
