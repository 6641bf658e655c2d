"""What a rule is given when it runs: the job's folders, and a step's own inputs over them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_build.contract.context import Context
from spark_build.core.job import Job, JobStep
from spark_build.core.numerics import Numerics
from spark_build.core.ports import Reporter
from spark_build.core.values import replace


def base_context(job: Job, report: Reporter) -> Context:
    return Context(
        inputs={name: Path(folder) for name, folder in job.inputs.items()} | _from_hub(job, ""),
        output=Path(job.output),
        scratch=Path(job.scratch),
        report=report,
        numerics=Numerics.of(job.numerics),
        seed=job.seed,
        split=str(job.options.get("split") or "train"),
        base_dir=Path(job.project),
        secrets={name: os.environ[name] for name in job.secrets if name in os.environ},
    )


def step_context(context: Context, job: Job, step: JobStep) -> Context:
    """The context of one step: `facts` are of its own manifest, `shared` is the stage's."""
    return replace(context, inputs={**context.inputs, **step_inputs(job, step)}, facts=facts_of(job, step))


def step_inputs(job: Job, step: JobStep) -> dict[str, Path]:
    """Each marked field's folder or file; those of the hub are fetched at their pinned revision."""
    inputs = {name: Path(place) for name, place in step.inputs.items()}
    return inputs | _from_hub(job, f"{job.steps.index(step)}.") if job.hub else inputs


def facts_of(job: Job, step: JobStep) -> dict[str, Any]:
    """What the key holds of a step: rule, revision or code, params, libraries, numerics, inputs by digest."""
    own, whole = step.manifest, job.manifest
    facts = {
        name: own[name] for name in ("rule", "revision", "code", "params", "env", "tools") if name in own
    }
    return {
        "rule": step.rule,
        **facts,
        "libraries": _merged(whole, own, "libraries"),
        "inputs": _merged(whole, own, "inputs"),
        "numerics": dict(whole.get("numerics") or job.numerics),
    }


def _merged(whole: Mapping[str, Any], own: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**(whole.get(name) or {}), **(own.get(name) or {})}


def _from_hub(job: Job, prefix: str) -> dict[str, Path]:
    wanted = {
        name.removeprefix(prefix): pinned
        for name, pinned in job.hub.items()
        if name.startswith(prefix) and (prefix or not name.split(".")[0].isdigit())
    }
    if not wanted:
        return {}
    from spark_build.stages.hub import fetch

    return {name: fetch(pinned) for name, pinned in wanted.items()}
