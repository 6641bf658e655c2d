"""Versions of command line tools: a binary's is remembered by its stat, a script is asked each time.

A script may be no more than the way to the tool (as pyenv, asdf and nvm put them on PATH): whatever that tool becomes,
the script's own stat stays.
"""

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
_AROUND = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
)  # as a command finds them: they may lead to another version
_SAYS = "says "


def tool_version(name: str, project: str, env: Mapping[str, str], state: State) -> tuple[str, str]:
    """The first line of `NAME --version`, else the digest of its file; and the look by which it is remembered."""
    look = look_of_tool(name, project, env)
    if look is None:
        raise Unavailable(
            f"tool '{name}': not found on PATH",
            fix=f"install {name}, or take out of the Sparkfile what asks for it",
        )
    found, binary, seen = look.split("\0", 2)
    if seen.startswith(_SAYS):
        return seen.removeprefix(_SAYS), look
    fact = f"tool:{found}:{binary}"
    known = json.loads(state.get(fact) or b"null")
    if known is None or known[0] != look:
        known = [look, _version(found, binary, project, env)]
        state.put(fact, json.dumps(known).encode())
    return str(known[1]), look


def look_of_tool(name: str, project: str, env: Mapping[str, str]) -> str | None:
    """Where it is found, which file that is, and its stats, or what a script says; None where it is not on PATH."""
    found = _find(name, project, env.get("PATH", os.defpath))
    if found is None:
        return None
    binary = os.path.realpath(found)
    if _is_script(binary):
        return f"{found}\0{binary}\0{_SAYS}{_version(found, binary, project, env)}"
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


def _is_script(file: str) -> bool:
    try:
        with open(file, "rb") as content:
            return content.read(2) == b"#!"
    except OSError:  # it may be run, and not be read
        return False


def _version(found: str, file: str, project: str, env: Mapping[str, str]) -> str:
    return _ask(found, project, env) or f"digest {digest_file(file)}"


def _ask(found: str, project: str, env: Mapping[str, str]) -> str | None:
    import subprocess

    around = {"PATH": os.defpath} | {name: env[name] for name in _AROUND if name in env}
    try:
        done = subprocess.run(
            [found, "--version"],
            cwd=project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            env={**around, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout or done.stderr).decode("utf-8", "replace").strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None
