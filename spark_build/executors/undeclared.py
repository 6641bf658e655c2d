"""What a job declares, read from the job itself; and the refusal of all else that it touched."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from spark_build.core.errors import StageFailed
from spark_build.core.job import Job, JobResult
from spark_build.core.undeclared import FIX, NOTE, WATCHED, touched_text
from spark_build.core.values import replace
from spark_build.executors.hermetic import OFF, STRICT, Allowance, Undeclared

COMMAND = "command"  # the rule that runs what a user wrote, in every family
_HUB = ("huggingface.co", "hf.co")
_IN_TEXT = re.compile(
    r"://(?:[^/@\s]*@)?([\w.-]+)"  # of a URL
    r"|(?<![\w.])(localhost|\d+(?:\.\d+){3})(?![\w.])"
    r"|(?<![\w./-])([\w-]+(?:\.[\w-]+)+):\d{2,5}(?!\d)"  # with a port
)
_WHOLE = re.compile(r"(?:[\w-]+\.)+[A-Za-z]{2,}")


def allowance_of(job: Job, env: Mapping[str, str]) -> Allowance | None:
    """What the job may touch; None where nobody is to look. `env`: the worker's variables."""
    if job.hermetic == OFF:
        return None
    texts = [*_texts([step.params for step in job.steps])]
    texts += [env[name] for name in (*job.env, *job.secrets) if name in env]
    texts += [value for name, value in env.items() if name.lower().endswith("_proxy")]
    hosts = {host.lower() for text in texts for host in _hosts(text, job.project)}
    return Allowance.of(
        job.project,
        job.reads,
        {*hosts, *(_HUB if job.hub else ())},
        is_strict=job.hermetic == STRICT,
        store=job.store,
    )


def watch_of(job: Job, env: Mapping[str, str]) -> dict[str, Any] | None:
    """What the keeper is to hold a command to, and under `hermetic: strict` every job; None: nobody looks."""
    is_asked = job.hermetic == STRICT or any(step.rule == COMMAND for step in job.steps)
    allowance = allowance_of(job, env) if is_asked else None
    return None if allowance is None else allowance.to_plain()


def with_undeclared(job: Job, result: JobResult, told: Mapping[str, Any]) -> JobResult:
    """The result with what the keeper saw; a failure where that is refused, or nobody could look."""
    if job.hermetic == STRICT and told.get("unguarded") is not None:
        reason = os.strerror(told["unguarded"])
        message = f"hermetic: strict: this machine does not let anybody see what {job.stage} opens ({reason})"
        return JobResult(False, error=message, fix="Linux 5.5 with seccomp is needed; or `hermetic: warn`")
    seen = told.get("undeclared")  # None where the kernel was not asked
    if seen is not None and (job.hermetic == STRICT or not (result.items or {}).get("remembered")):
        result = replace(
            result, notes={**result.notes, WATCHED: "kernel"}
        )  # what is remembered, nobody watched
    if not seen:
        return result
    if job.hermetic == STRICT:
        return JobResult(False, error=f"hermetic: strict: {job.stage} {touched_text(seen)}", fix=FIX)
    return replace(result, notes={**result.notes, NOTE: _joined(result.notes.get(NOTE, {}), seen)})


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    joined = Undeclared(
        (*one.get("files", ()), *other.get("files", ())), (*one.get("hosts", ()), *other.get("hosts", ()))
    ).to_json()
    for name in ("more_files", "more_hosts"):
        if count := max(one.get(name, 0), other.get(name, 0)):
            joined[name] = joined.get(name, 0) + count
    return joined


def undeclared_note(seen: Undeclared) -> dict[str, Any]:
    return {NOTE: seen.to_json()} if seen else {}


def refuse_undeclared(job: Job, seen: Undeclared) -> None:
    """Errors: StageFailed under `hermetic: strict`, also where the rule went on after it had been refused."""
    if seen and job.hermetic == STRICT:
        raise StageFailed(f"hermetic: strict: {job.stage} {touched_text(seen.to_json())}", fix=FIX)


def _hosts(text: str, project: str) -> Iterator[str]:
    for match in _IN_TEXT.finditer(text):
        yield next(group for group in match.groups() if group)
    if _WHOLE.fullmatch(text) and not os.path.exists(os.path.join(project, text)):  # `prep.py` looks like one
        yield text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
