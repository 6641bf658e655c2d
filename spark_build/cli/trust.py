"""`key new`, `key show`: with what results are signed; `store policy`: who may do what in a bucket."""

import argparse
import json
import os
import sys

from spark_build.cli.build import project_of
from spark_build.core.errors import UsageError
from spark_build.core.signing import KEY_VARIABLE, PrivateKey, PublicKey, default_path


def run_key(options: argparse.Namespace) -> int:
    return (_new if options.action == "new" else _show)(options)


def run_policy(options: argparse.Namespace) -> int:
    """JSON with `--json` and without."""
    from spark_build.app.access import policy_of

    project = project_of(options)
    print(json.dumps(policy_of(project, options.role, options.scope), indent=2))
    project.close()
    return 0


def _new(options: argparse.Namespace) -> int:
    path = options.to or default_path()
    key = PrivateKey.new()
    key.save(path)
    if options.json:
        print(json.dumps({"version": 1, "path": path, **_told(key.public)}))
        return 0
    print(_line(key.public))
    for line in _what_next(path, key.public):
        print(line, file=sys.stderr)
    return 0


def _what_next(path: str, public: PublicKey) -> list[str]:
    """On standard error, so that standard output is the public line alone."""
    lines = [
        f"wrote {path}: whoever has it signs in your name; only you can read it",
        "readers take what it signs, and nothing unsigned any more, once the Sparkfile lists the line above:",
        f'  store: {{keys: ["{public}"]}}',
    ]
    if path != default_path() or os.environ.get(KEY_VARIABLE):
        lines.append(f"it is used where {KEY_VARIABLE} names it: its path, or as a secret of CI its text")
    return lines


def _show(options: argparse.Namespace) -> int:
    key = PrivateKey.in_force()
    if key is None:
        raise UsageError(f"no signing key: neither {KEY_VARIABLE} nor {default_path()}", fix="spark key new")
    print(json.dumps({"version": 1, **_told(key.public)}) if options.json else _line(key.public))
    return 0


def _told(public: PublicKey) -> dict[str, str]:
    return {"key": str(public), "id": public.id}


def _line(public: PublicKey) -> str:
    return f"{public}  # key id {public.id}"
