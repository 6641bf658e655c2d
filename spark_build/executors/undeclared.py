"""What a job declares, read from the job itself; and the refusal of all else that it touched."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from spark_build.core.errors import StageFailed
from spark_build.core.job import Job
from spark_build.core.undeclared import FIX, NOTE, touched_text
from spark_build.executors.hermetic import OFF, STRICT, Allowance, Undeclared

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
        (*job.reads, job.store),
        {*hosts, *(_HUB if job.hub else ())},
        is_strict=job.hermetic == STRICT,
    )


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
