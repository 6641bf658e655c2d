"""Ingest and filter over and over in one project, each going on from what it gave last, as a build has it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from stage_bench import Bench, Ran

from spark_build.core.digest import digest_file
from spark_build.core.job import JobStep
from spark_build.stages.listing import files_of

_cold = count(1)


@dataclass
class Built:
    """What the two stages gave, and what a hint for the next time is made of."""

    ingest: Ran
    listing: Path
    filter: Ran | None = None

    @property
    def told(self) -> dict[str, Any]:
        """All that a Record holds but what was handled."""
        ran = [self.ingest, *([self.filter] if self.filter is not None else [])]
        return {
            "trees": [r.tree.digest for r in ran],
            "metrics": [r.outcome.metrics for r in ran],
            "notes": [r.outcome.notes for r in ran],
            "items": [sum((r.outcome.items or {}).values()) for r in ran],
            "log": [r.heard.of("log") for r in ran],
        }

    @property
    def handled(self) -> list[int]:
        return [self.ingest.handled, *([self.filter.handled] if self.filter is not None else [])]


@dataclass
class Chain:
    bench: Bench
    gates: Sequence[JobStep] = ()
    transforms: Sequence[JobStep] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    last: Built | None = None
    known: Mapping[str, Any] | None = None  # hints that were noted earlier
    goes_on: bool = True  # False: each time all of it, with what is remembered

    def build(self) -> Built:
        """Errors: as the stages give them; the next time then goes on from what was before."""
        listing, hints = self._listing(), self.known or self.hints()
        steps = [self.bench.files(), *self.transforms]
        options = {**self.options, "listing": str(listing)}
        job = self.bench.job("ingest", steps, {}, options, previous=hints.get("ingest", {}))
        built = Built(self.bench.run_job(job), listing)
        if self.gates:
            built.filter = self.bench.run(
                "filter", list(self.gates), {"dataset": built.ingest.output}, previous=hints.get("filter", {})
            )
        self.last = built
        return built

    def cold(self, *, goes_on: bool = True) -> "Chain":
        """The same files, and nothing remembered."""
        bench = self.bench.cold()
        bench._count = 10_000 * next(_cold)
        bench.store = bench.folder / f"store-{bench._count}"
        return Chain(bench, self.gates, self.transforms, self.options, goes_on=goes_on)

    def hints(self) -> dict[str, Any]:
        """By stage, as the engine would give them now."""
        if self.last is None or not self.goes_on:
            return {}
        hints = {"ingest": hint(self.last.ingest, listings={"0.path": str(self.last.listing)})}
        if self.last.filter is not None:
            hints["filter"] = hint(self.last.filter, inputs={"dataset": folder_of(self.last.ingest)})
        return hints

    def _listing(self) -> Path:
        self.bench._count += 1
        file = self.bench.folder / f"listing-{self.bench._count}.json"
        found = files_of(self.bench.project / "data", None)
        rows = [[f.path, f.size, f.digest, False] for f in found]
        file.write_text(json.dumps(rows, separators=(",", ":"), ensure_ascii=False))
        return file


def hint(ran: Ran, **rest: Any) -> dict[str, Any]:
    items, notes = ran.outcome.items, ran.outcome.notes
    # through JSON, as a Record keeps it
    told = json.loads(json.dumps({"items": items, "notes": notes}))
    return {"output": folder_of(ran), "inputs": {}, "listings": {}, **told, **rest}


def folder_of(ran: Ran) -> dict[str, Any]:
    files = (f for f in ran.output.rglob("*") if f.is_file())
    return {
        "folder": str(ran.output),
        "files": {f.relative_to(ran.output).as_posix(): digest_file(f) for f in files},
    }
