"""Commands: what a user already has as a script, as a source, recipe, metric or exporter (section 3)."""

import os
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from spark_build.contract.command_process import run_process
from spark_build.contract.command_run import CommandValues, check_placeholders, invocation
from spark_build.contract.command_template import Placeholder, Run, as_text, fill, lookup
from spark_build.contract.context import Context
from spark_build.contract.params import Field, Needs, Project, RuleParams
from spark_build.core.address import kind_of
from spark_build.core.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_BETWEEN_WORDS = re.compile(r"[\s;|&<>()'\"`,]+")
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_GLOB = re.compile(r"[*?\[]")
_OURS = (".spark", ".git")
_MAX_PATH = 1000


class CommandParams(RuleParams):
    run: str | list[str] = Field(
        description="What runs in the Sparkfile's folder: text for the shell, or a list of words. "
        "{inputs.NAME}, {params.NAME}, {output}, {scratch} and {seed} are replaced."
    )
    inputs: dict[str, str] = Field({}, description="Name: a project path, dataset:NAME or model:NAME.")
    params: dict[str, Any] = Field({}, description="Values for {params.NAME}.")
    env: list[str] = Field([], description="Names of environment variables that it sees; their values count.")
    secrets: list[str] = Field(
        [], description="Names of environment variables that it sees; they never count."
    )
    tools: list[str] = Field([], description="Programs whose `--version` counts.")
    code: list[str] | Literal["none"] = Field(
        [],
        description="Patterns of more project files whose content counts; none: what a .py imports doesn't.",
    )
    reads: list[str] = Field([], description="What it reads of its datasets: splits, card, rejected.")
    progress: str | None = Field(
        None, description="A file of JSON lines that it appends to: {step, total, loss, …}. Looked for in "
        "{output}, in {scratch} and in the Sparkfile's folder."
    )  # fmt: skip

    synonyms: ClassVar[Mapping[str, str]] = {
        "command": "run", "cmd": "run", "script": "run", "args": "params", "parameters": "params",
        "deps": "inputs", "dependencies": "inputs", "environment": "env", "log": "progress",
    }  # fmt: skip

    @field_validator("run")
    @classmethod
    def _something_runs(cls, value: Run) -> Run:
        if not value or (isinstance(value, str) and not value.strip()):
            raise ValueError("nothing to run")
        return value

    @field_validator("progress")
    @classmethod
    def _is_relative(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith(("/", "~")) or ".." in value.split("/")):
            raise ValueError(
                "a relative path: it is looked for in {output}, {scratch} and the Sparkfile's folder"
            )
        return value

    @field_validator("inputs")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no name for an input")
        return value


def keyed_params(params: CommandParams) -> dict[str, Any]:
    """As the key holds them: the template and its values. Inputs, env, tools and code count by content."""
    return {"run": params.run, "params": params.params, "inputs": sorted(params.inputs)}


def needs_of_command(
    params: CommandParams, project: Project, given: Iterable[str] = (), *, takes_roles: bool = False
) -> Needs:
    """What the command reads: its inputs, the project files that `run` names, and what those import.

    `given` are inputs that come from the grammar ('dataset', 'model'); `takes_roles`: others may, too.
    Errors: UsageError for a placeholder that nothing fills, and for patterns of `code` that match nothing.
    """
    check_placeholders(params.run, params.params, {*params.inputs, *given}, takes_roles=takes_roles)
    datasets = {n: v for n, v in params.inputs.items() if kind_of(v) == "dataset"}
    models = {n: v for n, v in params.inputs.items() if kind_of(v) == "model"}
    paths = {n: v for n, v in params.inputs.items() if n not in datasets and n not in models}
    words = list(dict.fromkeys(_project_words(params, project)))
    found = [word for word in words if project.exists(word) and not _is_of_virtualenv(word, project)]
    code = _code(params, found, project)
    for word in found:
        if word not in code:
            paths[word if word not in params.inputs else f"./{word}"] = word
    return Needs(
        paths=paths, models=models, datasets=datasets, code=tuple(sorted(code)),
        probed=tuple(w for w in words if w not in found and _looks_like_path(w)),
        env=tuple(params.env), tools=tuple(params.tools), secrets=tuple(params.secrets),
        reads=tuple(params.reads),
    )  # fmt: skip


def run_command(params: CommandParams, context: Context, output: Path, scratch: Path | None = None) -> None:
    """Runs the command with `{output}` at `output`, which must be there.

    Errors: StageFailed where it ends with another exit code than 0; UsageError for an input that nobody
    gives; Unavailable for a secret that is not set.
    """
    values = CommandValues(params.run, params.params, params.env, params.secrets, params.progress)
    command = invocation(values, context, output, scratch or context.scratch, os.environ)
    run_process(command)
    command.end()


# words that name project files


def _project_words(params: CommandParams, project: Project) -> Iterator[str]:
    """Every word that may name a project file: also `--config=FILE`, `-m package.module`, within quotes."""
    filled = fill(params.run, lambda place: _check_time_value(place, params.params))
    words = _words(filled)
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m" and re.fullmatch(r"[\w.]+", word):
            yield from _module_files(word.replace(".", "/"))
        for piece in {word: None, **dict.fromkeys(word.split("="))}:
            path = _as_project_path(piece)
            if path is not None:
                yield from project.glob(path) if _GLOB.search(path) else [path]


def _check_time_value(place: Placeholder, params: Mapping[str, Any]) -> str:
    # '{' keeps a word that names no project file from being taken for one
    return as_text(lookup(params, place.name)) if place.kind == "params" else "{"


def _words(run: Run) -> list[str]:
    """Words as the shell splits them, and again those within quotes."""
    if isinstance(run, str):
        return [word for word in (*_shell_words(run), *_BETWEEN_WORDS.split(run)) if word]
    return [word for argument in run for word in (argument, *_BETWEEN_WORDS.split(argument)) if word]


def _shell_words(script: str) -> list[str]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(
            f"run: {str(error).lower()}", fix="close the quote, or write run as a list of words"
        ) from None


def _module_files(stem: str) -> list[str]:
    return [f"{stem}.py", f"{stem}/__main__.py", f"{stem}/__init__.py"]


def _as_project_path(word: str) -> str | None:
    """`word` relative to the project; None where it can't name anything in it."""
    if not word or len(word) > _MAX_PATH or word[0] in "-/~" or "://" in word or set(word) & set("{}$\\\0\n"):
        return None
    if max(map(len, word.split("/"))) > 255:
        return None
    path = posixpath.normpath(word)
    top = path.split("/")[0]
    return None if top in (".", "..", *_OURS) else path


def _looks_like_path(word: str) -> bool:
    return "/" in word or _SUFFIX.search(word) is not None


def _is_of_virtualenv(path: str, project: Project) -> bool:
    """`.venv/bin/python` is a tool, and a link out of the project besides."""
    home = posixpath.dirname(posixpath.dirname(path))
    return bool(home) and project.exists(f"{home}/pyvenv.cfg")


def _code(params: CommandParams, found: Iterable[str], project: Project) -> set[str]:
    """Python files among the words with all that they import, and the files that `code:` adds."""
    if params.code == "none":
        return set()
    code: set[str] = set()
    for pattern in params.code:
        matching = project.glob(pattern)
        if not matching:
            raise UsageError(
                f"code: '{pattern}' matches no file", fix="patterns go from the Sparkfile's folder"
            )
        code.update(matching)
    scripts = {word for word in (*found, *code) if word.endswith(".py") and project.is_file(word)}
    return code.union(*(project.python_closure(script) for script in scripts))
