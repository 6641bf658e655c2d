"""A command's process: its environment, its output in the log, its progress file."""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import StageFailed
from spark_build.core.ports import Reporter
from spark_build.core.values import Struct, field

if TYPE_CHECKING:
    import subprocess

    from spark_build.contract.command_run import Invocation

_PASSED = (
    "PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH",
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
    # what the worker pins for the numerics that the key declares; not the user's own environment
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_DYNAMIC", "MKL_DYNAMIC",
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "CUBLAS_WORKSPACE_CONFIG",
    "PYTHONHASHSEED", "PYTHONUNBUFFERED", "TOKENIZERS_PARALLELISM",
)  # fmt: skip
_SET = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
TAIL_BYTES = 4000
_TAIL_LINES = 12
_LOOK_EVERY_SECONDS = 0.2
# a child left behind may hold the pipe open for ever
_WAIT_FOR_SILENT_CHILD_SECONDS = 1.0
_WAIT_FOR_CHILD_SECONDS = 10.0


def environment(
    named: Iterable[str], secrets: Mapping[str, str], around: Mapping[str, str]
) -> dict[str, str]:
    """All that a command sees of `around`, the environment of its worker."""
    passed = {n: v for n, v in around.items() if n in _PASSED or n.startswith("CUDA_")}
    wanted = {name: around[name] for name in named if name in around}
    return {**passed, **_SET, **wanted, **secrets}


def run_process(command: "Invocation") -> None:
    """Runs to the end, its output on ours with the secrets masked; looks at its progress now and then.

    Errors: StageFailed with the command as the user wrote it, its exit code and its last lines.
    """
    process = _start(command)
    output = _MaskedOutput(command.secrets)
    try:
        _follow(process, output, command.progress.look)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        output.close()
    if process.returncode != 0:
        raise failure(command.shown, process.returncode, output.tail)


def _start(command: "Invocation") -> "subprocess.Popen[bytes]":
    import subprocess

    try:
        return subprocess.Popen(
            command.words,
            cwd=command.folder,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise not_started(command, error.errno or 0) from None


def not_started(command: "Invocation", errno: int) -> StageFailed:
    return StageFailed(
        f"the command can't be started: {command.shown}\n{command.words[0]}: {os.strerror(errno)}",
        fix="its first word must be a program on PATH, or a file that may be executed",
    )


def failure(shown: str, code: int, printed: bytes) -> StageFailed:
    """How it ended, with the last lines of what it `printed`."""
    import signal

    number = -code if code < 0 else code - 128
    killed = number in signal.valid_signals() and number > 0
    how = f"was killed by {signal.Signals(number).name}" if killed else f"ended with exit code {code}"
    fix = "the log has all that it printed"
    if code == 127:
        fix = "a program that it calls is not on PATH"
    elif killed and number == signal.SIGKILL:
        fix = "the machine may have run out of memory; the log has all that it printed"
    lines = _last_lines(printed)
    return StageFailed(f"the command {how}: {shown}" + (f"\n{lines}" if lines else ""), fix=fix)


def _last_lines(printed: bytes) -> str:
    lines = printed[-TAIL_BYTES:].decode(errors="replace").rstrip().splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _follow(process: "subprocess.Popen[bytes]", output: "_MaskedOutput", look: Callable[[], None]) -> None:
    import selectors

    assert process.stdout is not None
    with process.stdout as pipe, selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        next_look, ended = 0.0, None
        while not _has_given_up(ended, is_silent := not ready.select(_LOOK_EVERY_SECONDS)):
            if not is_silent:
                data = os.read(pipe.fileno(), 1 << 16)
                if not data:
                    break
                output.write(data)
            if (now := time.monotonic()) >= next_look:
                look()
                next_look = now + _LOOK_EVERY_SECONDS
            if ended is None and process.poll() is not None:
                ended = now
    process.wait()


def _has_given_up(ended: float | None, is_silent: bool) -> bool:
    if ended is None:
        return False
    return time.monotonic() - ended > (
        _WAIT_FOR_SILENT_CHILD_SECONDS if is_silent else _WAIT_FOR_CHILD_SECONDS
    )


class _MaskedOutput:
    """Passes bytes on to standard output; a secret is masked also where it comes in two pieces."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((s.encode() for s in secrets if s), key=len, reverse=True)
        self._held = b""
        self.tail = b""

    def write(self, data: bytes) -> None:
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        held = max((_overlap(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - held :]
        self._emit(data[: len(data) - held])

    def close(self) -> None:
        self._emit(self._held)
        self._held = b""

    def _emit(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        sys.stdout.flush()
        binary = getattr(sys.stdout, "buffer", None)
        if binary is None:
            sys.stdout.write(data.decode(errors="replace"))
        else:
            binary.write(data)
        sys.stdout.flush()


def _overlap(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of `secret`."""
    longest = min(len(secret) - 1, len(data))
    return next((n for n in range(longest, 0, -1) if data.endswith(secret[:n])), 0)


class ProgressFile(Struct):
    """JSON lines that a command appends to, as events: `{"step": 10, "total": 500, "loss": 1.2}`."""

    places: Sequence[Path]  # where it may appear
    report: Reporter
    _read_to: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # what an earlier attempt wrote was reported then
        self._read_to = {place: place.stat().st_size if place.is_file() else 0 for place in self.places}

    def look(self, *, is_last: bool = False) -> None:
        for place in self.places:
            with contextlib.suppress(OSError):
                self._report_new(place, is_last)

    def _report_new(self, place: Path, is_last: bool) -> None:
        if place.stat().st_size < self._read_to[place]:
            self._read_to[place] = 0  # written anew
        with open(place, "rb") as file:
            file.seek(self._read_to[place])
            data = file.read()
        whole = data if is_last else data[: data.rfind(b"\n") + 1]
        self._read_to[place] += len(whole)
        for line in whole.splitlines():
            self._report_line(line)

    def _report_line(self, line: bytes) -> None:
        try:
            values = json.loads(line)
        except ValueError:
            return  # the file is the command's own: what we don't understand is not for us
        if not isinstance(values, dict):
            return
        step, total = _whole(values.get("step")), _whole(values.get("total"))
        if step is not None:
            self.report.progress(step, total, "steps")
        for name, value in values.items():
            if name not in ("step", "total") and _is_figure(value):
                self.report.metric(str(name), float(value), step)


def _whole(value: Any) -> int | None:
    return int(value) if _is_figure(value) else None


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
