"""Reads and checks a Sparkfile: every value with its line and column, every problem of a pass at once."""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself costs 2 ms to import
if TYPE_CHECKING:
    from sparkfile_schema.advice import type_advice
    from sparkfile_schema.editor_schema import json_schema
    from sparkfile_schema.model import (
        Dataset,
        Deployment,
        Evaluation,
        Include,
        ListedKey,
        Parsed,
        Path,
        Requirement,
        Sparkfile,
        Splits,
        Target,
        Use,
    )
    from sparkfile_schema.parsing import load, parse
    from sparkfile_schema.problems import Position, Problem, SparkfileError, in_order
    from sparkfile_schema.scalars import quote
    from sparkfile_schema.suggest import SYNONYMS, did_you_mean
    from sparkfile_schema.trust import parse_policy

__all__ = [
    "SYNONYMS",
    "Dataset",
    "Deployment",
    "Evaluation",
    "Include",
    "ListedKey",
    "Parsed",
    "Path",
    "Position",
    "Problem",
    "Requirement",
    "Sparkfile",
    "SparkfileError",
    "Splits",
    "Target",
    "Use",
    "did_you_mean",
    "in_order",
    "json_schema",
    "load",
    "parse",
    "parse_policy",
    "quote",
    "type_advice",
]

_HOMES = {
    "advice": ("type_advice",),
    "editor_schema": ("json_schema",),
    "model": (
        *("Dataset", "Deployment", "Evaluation", "Include", "ListedKey", "Parsed", "Path"),
        *("Requirement", "Sparkfile", "Splits", "Target", "Use"),
    ),
    "parsing": ("load", "parse"),
    "problems": ("Position", "Problem", "SparkfileError", "in_order"),
    "scalars": ("quote",),
    "suggest": ("SYNONYMS", "did_you_mean"),
    "trust": ("parse_policy",),
}


def __getattr__(name: str) -> object:
    """What is first used is then imported: a plan that comes from the cache needs nothing of this."""
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'sparkfile_schema' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"sparkfile_schema.{home}"), name)
    return found
