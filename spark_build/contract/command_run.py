"""A command that is about to run: its words filled in, its environment, its progress file; and what it left.

Imports nothing heavy: a build spawns commands by this, without a worker.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract.command_process import ProgressFile, environment
from spark_build.contract.command_template import Placeholder, Run, as_text, fill, lookup, placeholders
from spark_build.contract.context import Context
from spark_build.core.errors import StageFailed, Unavailable, UsageError
from spark_build.core.files import holds_a_file
from spark_build.core.values import Struct


class CommandValues(Struct, frozen=True):
    """Of a command's params those that its run needs."""

    run: Run
    params: Mapping[str, Any]
    env: Sequence[str]
    secrets: Sequence[str]
    progress: str | None


class Invocation(Struct, frozen=True):
    """All that a command's process is started with."""

    run: Run  # without placeholders
    shown: str  # as the user wrote it
    folder: Path
    env: Mapping[str, str]
    secrets: tuple[str, ...]  # values that are masked in what it prints
    progress: ProgressFile
    report_file: Path | None  # under {output}

    @property
    def words(self) -> list[str]:
        return ["/bin/sh", "-c", self.run] if isinstance(self.run, str) else self.run

    def end(self) -> None:
        """Once it has ended well."""
        self.progress.look(is_last=True)
        if self.report_file is not None:
            self.report_file.unlink(missing_ok=True)  # a report on the run, no part of what it made


def invocation(
    values: CommandValues, context: Context, output: Path, scratch: Path, around: Mapping[str, str]
) -> Invocation:
    """The command with `{output}` at `output`, which must be there, in the environment of its worker.

    Errors: UsageError for an input that nobody gives; Unavailable for a secret that is not set.
    """
    filled = {"output": str(output), "scratch": str(scratch), "seed": str(context.seed)}

    def value_of(place: Placeholder) -> str:
        if place.kind == "params":
            return as_text(lookup(values.params, place.name))
        if place.kind == "inputs":
            return str(context.inputs[place.name])
        return filled[place.kind]

    check_placeholders(values.run, values.params, set(context.inputs), takes_roles=False)
    secrets = _secrets(values, context)
    return Invocation(
        run=fill(values.run, value_of),
        shown=_shown(values.run),
        folder=context.base_dir,
        env=environment(values.env, secrets, around),
        secrets=tuple(secrets.values()),
        progress=ProgressFile(_progress_places(values, output, scratch, context.base_dir), context.report),
        report_file=None if values.progress is None else output / values.progress,
    )


def check_wrote(output: Path, fix: str) -> None:
    """Errors: StageFailed where the command left no file."""
    if not holds_a_file(output):
        raise StageFailed("the command wrote no file to {output}", fix=fix)


def figures_in(written: Path) -> dict[str, float]:
    """A metric's figures. Errors: StageFailed where the file isn't there, or holds more than figures."""
    try:
        figures = json.loads(written.read_text())
    except FileNotFoundError:
        raise StageFailed(
            "the command wrote no {output}/metrics.json", fix='write {"accuracy": 0.93} there'
        ) from None
    except ValueError as error:
        raise StageFailed(f"metrics.json is not JSON: {error}", fix='write {"accuracy": 0.93}') from None
    if not isinstance(figures, dict) or not figures:
        raise StageFailed("metrics.json holds no object with figures", fix='write {"accuracy": 0.93}')
    for name, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise StageFailed(
                f"metrics.json: {name} is {json.dumps(value)}", fix="finite numbers alone, not nested"
            )
    return {name: float(value) for name, value in figures.items()}


def check_placeholders(run: Run, params: Mapping[str, Any], inputs: set[str], *, takes_roles: bool) -> None:
    """Errors: UsageError for a placeholder that nothing fills; `takes_roles`: a target may bring more inputs."""
    used = list(placeholders(run))
    for place in used:
        if place.kind == "inputs" and place.name not in inputs and not takes_roles:
            raise UsageError(
                f"run: {place} is no input of this command", fix=_known(place.name, inputs, "inputs")
            )
        if place.kind == "params" and not _has(params, place.name):
            raise UsageError(f"run: {place} has no value", fix=_known(place.name, params, "params"))
    if Placeholder("output") not in used:
        raise UsageError("run never says {output}", fix="tell the command to write there: --out {output}")


def _shown(run: Run) -> str:
    if isinstance(run, str):
        return run.strip()
    import shlex

    return shlex.join(run)


def _secrets(values: CommandValues, context: Context) -> dict[str, str]:
    for name in values.secrets:
        if name not in context.secrets:
            raise Unavailable(f"the secret {name} is not set", fix=f"export {name}=…")
    return {name: context.secrets[name] for name in values.secrets}


def _progress_places(values: CommandValues, output: Path, scratch: Path, base_dir: Path) -> list[Path]:
    if values.progress is None:
        return []
    return list(dict.fromkeys(folder / values.progress for folder in (output, scratch, base_dir)))


def _has(params: Mapping[str, Any], dotted: str) -> bool:
    try:
        lookup(params, dotted)
    except KeyError:
        return False
    return True


def _known(name: str, known: Iterable[str], kind: str) -> str:
    import difflib

    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {{{kind}.{close[0]}}}?"
    return f"add it under {kind}:" + (f"; there are {', '.join(names)}" if names else "")
