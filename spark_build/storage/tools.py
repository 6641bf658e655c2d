"""Versions of command line tools, remembered by the stat of their binaries."""

import json
import os
from collections.abc import Mapping

from spark_build.core.digest import digest_file
from spark_build.core.errors import Unavailable
from spark_build.storage.state import FileStat, State

_TIMEOUT_SECONDS = 20.0


def tool_version(name: str, project: str, env: Mapping[str, str], state: State) -> str:
    """The first line of `NAME --version`; of a tool that has no such option, the digest of its binary."""
    found = _find(name, project, env.get("PATH", os.defpath))
    if found is None:
        raise Unavailable(
            f"tool '{name}': not found on PATH", fix=f"install {name}, or take it out of `tools:`"
        )
    binary = os.path.realpath(found)
    stat = list(FileStat.of(os.stat(binary)))
    fact = f"tool:{found}:{binary}"
    known = json.loads(state.get(fact) or b"null")
    if known is None or known[0] != stat:
        known = [stat, _ask(found, env) or f"digest {digest_file(binary)}"]
        state.put(fact, json.dumps(known).encode())
    return str(known[1])


def _find(name: str, project: str, path: str) -> str | None:
    if "/" in name:
        folders, name = [os.path.join(project, os.path.dirname(name))], os.path.basename(name)
    else:
        folders = path.split(os.pathsep)
    for folder in folders:
        candidate = os.path.join(folder, name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def _ask(found: str, env: Mapping[str, str]) -> str | None:
    import subprocess

    try:
        done = subprocess.run(
            [found, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            env={"PATH": env.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout or done.stderr).decode("utf-8", "replace").strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None
