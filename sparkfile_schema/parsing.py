"""A Sparkfile's text as checked objects: YAML, profile and --set, vars and environment, grammar."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from sparkfile_schema.document import read_document
from sparkfile_schema.interpolate import interpolate
from sparkfile_schema.model import Parsed, Sparkfile
from sparkfile_schema.nodes import Map, Node, Scalar
from sparkfile_schema.overlay import with_overrides, with_profile
from sparkfile_schema.problems import Position, Problem, SparkfileError, in_order
from sparkfile_schema.scalars import shown
from sparkfile_schema.text import MOST_BYTES
from sparkfile_schema.whole import read_sparkfile

_CHARACTERS_CHECKED = 2**21  # in profiles that were not asked for: each one is a reading of the file


def parse(
    text: str | bytes,
    *,
    file: str = "Sparkfile.yaml",
    profile: str | None = None,
    overrides: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Parsed:
    """Every part of the Sparkfile that could be read, and every problem, sorted by line and column."""
    root, problems = read_document(text, file)
    if not isinstance(root, Map):
        return Parsed(Sparkfile(file), in_order([*problems, *_no_mapping(root, file, bool(problems))]))
    known_env = os.environ if env is None else env
    changed = root
    if profile is not None:
        changed, found = with_profile(changed, profile, file)
        problems += found
    changed, found = with_overrides(changed, overrides)
    problems += found
    sparkfile, found = _read(changed, file, known_env)
    problems += found
    most = _CHARACTERS_CHECKED // max(len(text), 1)
    problems += _problems_of_profiles(root, file, profile, known_env, [*problems], most)
    return Parsed(sparkfile, in_order(problems))


def load(path: str | os.PathLike[str], *, file: str | None = None, **options: Any) -> Sparkfile:
    """The Sparkfile in a file, named as `file` in messages.

    Errors: SparkfileError, where the file can't be read or anything in it is wrong.
    """
    name = file or FilePath(path).name
    parsed = parse(_content(FilePath(path), name), file=name, **options)
    if parsed.problems:
        raise SparkfileError(parsed.problems)
    return parsed.sparkfile


def _read(
    root: Map, file: str, env: Mapping[str, str], *, is_unset_told: bool = True
) -> tuple[Sparkfile, list[Problem]]:
    filled, problems = interpolate(root, env, is_unset_told=is_unset_told)
    sparkfile, found = read_sparkfile(filled, file)
    return sparkfile, problems + found


def _problems_of_profiles(
    root: Map, file: str, chosen: str | None, env: Mapping[str, str], known: list[Problem], most: int
) -> list[Problem]:
    """What is wrong with the profiles that were not asked for: the problems that they alone bring.

    An environment variable that one of them names may be unset here.
    """
    profiles = root.entries.get("profiles")
    names = list(profiles.node.entries) if profiles and isinstance(profiles.node, Map) else []
    problems: list[Problem] = []
    without = set(known) | set(_read(root, file, env)[1] if chosen else [])
    for name in names[:most]:
        if name != chosen:
            changed, found = with_profile(root, name, file)
            found = found + _read(changed, file, env, is_unset_told=False)[1]
            problems += [problem for problem in found if problem not in without]
    return problems


def _no_mapping(root: Node | None, file: str, is_told: bool) -> list[Problem]:
    if is_told:
        return []
    at = Position(file, 1, 1)
    if root is None or (isinstance(root, Scalar) and root.value is None):
        return [Problem(at, "the file is empty", "begin with version: 1, or let spark init write one")]
    if isinstance(root, Scalar) and isinstance(root.value, str) and ":" in root.value:
        return [Problem(root.at, f"{shown(root.value)} is no mapping", "put a space after the colon")]
    return [Problem(root.at, "a Sparkfile is a mapping", "begin with version: 1")]


def _content(path: FilePath, name: str) -> bytes:
    """The bytes of the file, one more than allowed where it is too large."""
    at = Position(name, 1, 1)
    try:
        if path.exists() and not path.is_file():
            raise SparkfileError([Problem(at, f"{name} is no file", "give the path of a Sparkfile.yaml")])
        with path.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise SparkfileError([Problem(at, f"no {name} here", "spark init writes one")]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SparkfileError(
            [Problem(at, f"{name} can't be read: {reason}", "check its permissions")]
        ) from None
