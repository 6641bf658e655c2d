"""What a command costs: CPU seconds over its whole process tree, wall seconds, and what it printed.

`measure` starts this very file by path, as a small runner that is a child subreaper: whatever the command leaves
behind (a watchdog, a daemon, the children of a killed shell) becomes the runner's child, is waited for, and is in its
RUSAGE_CHILDREN. `os.wait4` of the command alone counts only those that somebody below it waited for. Not counted is
what the kernel does for all (writing pages back), and a child whose parent ignores SIGCHLD: its times are dropped.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ORPHAN_SECONDS = 5.0  # what the command left behind may take to end, then it is killed, and told
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Measured:
    cpu: float  # seconds, user + system
    wall: float  # seconds until the command itself had ended
    code: int
    out: str
    err: str
    left: int  # processes that outlived it and had to be killed


class CommandFailed(Exception):
    """Nothing was measured."""


def measure(
    command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, *, code: int | None = 0
) -> Measured:
    """Errors: CommandFailed with the command's last lines where it ends with another exit code than `code`."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err, told = (os.path.join(scratch, name) for name in ("out", "err", "told"))
        runner = [sys.executable, "-I", "-S", __file__, out, err, told, *command]
        subprocess.run(runner, cwd=folder, env=env, check=True)
        with open(told) as file:
            figures = json.load(file)
        printed = [Path(name).read_text(errors="replace") for name in (out, err)]
    measured = Measured(**figures, out=printed[0], err=printed[1])
    if code is not None and measured.code != code:
        tail = "\n".join((measured.out + measured.err).splitlines()[-20:])
        raise CommandFailed(
            f"{' '.join(command)} in {folder} ended with exit code {measured.code}, not {code}:\n{tail}"
        )
    return measured


def disk_bytes(folder: Path) -> int:
    """What a folder takes on the disk; a file with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            stat = os.lstat(os.path.join(parent, name))
            seen[stat.st_dev, stat.st_ino] = 512 * stat.st_blocks
    return sum(seen.values())


# the runner, a process of its own


def _run(out: str, err: str, told: str, command: Sequence[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    process = _spawned(command, out, err)
    status, wall = None, 0.0
    while status is None:
        ended, its_status = os.wait()
        if ended == process:
            status, wall = its_status, time.monotonic() - began
    left = _reap_orphans()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "cpu": usage.ru_utime + usage.ru_stime,
        "wall": wall,
        "code": os.waitstatus_to_exitcode(status),
        "left": left,
    }
    with open(told, "w") as file:
        json.dump(figures, file)


def _spawned(command: Sequence[str], out: str, err: str) -> int:
    """posix_spawn, so that the copy of this process that a fork makes is on nobody's bill."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, out, flags, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, err, flags, 0o644),
    ]
    try:
        return os.posix_spawnp(command[0], list(command), os.environ, file_actions=files)
    except OSError as error:
        _give_up(f"{command[0]}: {error.strerror}")


def _give_up(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(127)


def _reap_orphans() -> int:
    """Waits for all that is left below this process; how many had to be killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + ORPHAN_SECONDS
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        alive = list(_children(os.getpid()))
        if not alive:
            return len(killed)
        if time.monotonic() > deadline:
            for process in alive:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            killed.update(alive)
        time.sleep(0.005)


def _children(parent: int) -> Iterator[int]:
    with open(f"/proc/self/task/{parent}/children") as file:
        yield from map(int, file.read().split())


if __name__ == "__main__":
    _run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
