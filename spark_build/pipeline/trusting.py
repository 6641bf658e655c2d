"""The keys that a Sparkfile trusts: its own, and those of its policy file."""

from __future__ import annotations

import os

from spark_build.core.digest import digest_bytes
from spark_build.core.trust import Trust, TrustedKey
from spark_build.pipeline.project_view import ProjectView
from sparkfile_schema import ListedKey, Problem, Sparkfile, parse_policy

_PLACE = ("store", "policy")
_FIX_MISSING = "write one (version: 1, keys: [{key: ed25519:…, scopes: [trusted]}]), or correct the path"


def trust_of(file: Sparkfile, view: ProjectView) -> tuple[Trust, tuple[Problem, ...]]:
    """With every problem of the policy, each at its own line."""
    keys, problems = _policy_of(file, view)
    listed = (TrustedKey(one.key, one.scopes, one.name, one.at) for one in (*file.keys, *keys))
    return Trust(tuple(listed)), problems


def _policy_of(file: Sparkfile, view: ProjectView) -> tuple[tuple[ListedKey, ...], tuple[Problem, ...]]:
    policy = file.store.get("policy")
    if policy is None:
        return (), ()
    path = os.path.normpath(policy)
    try:
        text = (view.root / path).read_bytes()
    except OSError as error:
        what = "not there" if isinstance(error, FileNotFoundError) else str(error.strerror)
        return (), (Problem(file.position(_PLACE), f"{policy}: {what}", _FIX_MISSING),)
    view.sources[path] = digest_bytes(text)  # the graph is another one where it has changed
    return parse_policy(text, path)
