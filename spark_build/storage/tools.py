"""Versions of command line tools, remembered by the stat of their binaries."""

from __future__ import annotations  # what they name need not be loaded

import json
import os
from collections.abc import Mapping

from spark_build.core.digest import digest_file
from spark_build.core.errors import Unavailable
from spark_build.storage import stats

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from spark_build.storage.state import State

_TIMEOUT_SECONDS = 20.0


def tool_version(name: str, project: str, env: Mapping[str, str], state: State) -> tuple[str, str]:
    """The first line of `NAME --version`, else the digest of its binary; and the look by which it is remembered."""
    look = look_of_tool(name, project, env)
    if look is None:
        raise Unavailable(
            f"tool '{name}': not found on PATH", fix=f"install {name}, or take it out of `tools:`"
        )
    found, binary, _ = look.split("\0")
    fact = f"tool:{found}:{binary}"
    known = json.loads(state.get(fact) or b"null")
    if known is None or known[0] != look:
        known = [look, _ask(found, env) or f"digest {digest_file(binary)}"]
        state.put(fact, json.dumps(known).encode())
    return str(known[1]), look


def look_of_tool(name: str, project: str, env: Mapping[str, str]) -> str | None:
    """Where it is found, which binary that is, and its stats; None where it is not on PATH."""
    found = _find(name, project, env.get("PATH", os.defpath))
    if found is None:
        return None
    binary = os.path.realpath(found)
    return f"{found}\0{binary}\0{stats.stat_line(os.stat(binary))}"


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
