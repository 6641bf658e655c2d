"""A Sparkfile with all that it includes, resolved to one graph; and what was asked of the project on the way."""

from collections.abc import Mapping
from typing import Any

from spark_build.core.digest import digest_bytes
from spark_build.core.values import replace
from spark_build.pinning import Lock
from spark_build.pipeline import Resolved, resolve
from spark_build.pipeline.including import Below, joined, lock_below, seen_below
from spark_build.pipeline.project_view import ProjectView
from sparkfile_schema import Include, Parsed, Problem, parse


def resolve_all(
    parsed: Parsed, view: ProjectView, lock: Lock, limit: int | None, env: Mapping[str, str]
) -> tuple[Resolved, dict[str, Any]]:
    """Also the names of the environment variables that any of the files names, under `env`."""
    below: list[Below] = []
    seen: dict[str, Any] = {"env": dict.fromkeys(parsed.sparkfile.env)}
    for include in parsed.sparkfile.include:
        try:
            text = (view.root / include.file).read_bytes()
        except OSError as error:
            parsed = replace(parsed, problems=(*parsed.problems, _unreadable(parsed, include, error)))
            continue
        view.sources[include.file] = digest_bytes(text)
        inner_view = view.below(include.folder)
        inner = parse(text, file=f"{_folder(parsed)}{include.file}", env=env)
        resolved, asked = resolve_all(inner, inner_view, lock_below(lock, include.folder), limit, env)
        below.append(_below(include, resolved))
        seen = joined(seen_below(asked, include.folder), {**_NOTHING, **seen})
    resolved = resolve(parsed, view, lock, limit=limit, below=below)
    return resolved, joined({**view.to_json(), "env": {}}, {**_NOTHING, **seen})


_NOTHING: dict[str, Any] = {"present": {}, "globs": {}, "sources": {}, "installed": {}, "env": {}}


def _below(include: Include, resolved: Resolved) -> Below:
    return Below(
        include.folder,
        resolved.graph,
        tuple(resolved.problems),
        tuple(resolved.unpinned),
        frozenset(resolved.hub_ids),
        resolved.imports,
    )


def _unreadable(parsed: Parsed, include: Include, error: OSError) -> Problem:
    what = "not there" if isinstance(error, FileNotFoundError) else str(error.strerror)
    at = parsed.sparkfile.position(include.path)
    return Problem(at, f"{include.file}: {what}", "name a Sparkfile in a folder below this one")


def _folder(parsed: Parsed) -> str:
    """Of the including Sparkfile, as its own messages name it: 'asr/' of 'asr/Sparkfile.yaml'."""
    head, slash, _ = parsed.sparkfile.file.rpartition("/")
    return head + slash
