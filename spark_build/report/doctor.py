"""`spark doctor`: what is installed, what this Sparkfile needs and lacks; disk, memory, GPU, ports, clock."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from spark_build.core.values import Struct, asdict, field
from spark_build.report.paint import Paint
from spark_build.report.words import count, listed, printable, size

Level = Literal["ok", "note", "problem"]
LibraryVersion = Callable[[str], str | None]  # a distribution's version; None where it is not installed

_LEAST_FREE_BYTES = 5_000_000_000
_LEAST_FREE_MEMORY_BYTES = 2_000_000_000
_MOST_CLOCK_SKEW_SECONDS = 1.0
_CPU_FLAGS = {"sse4": "sse4_2", "avx2": "avx2", "avx512": "avx512f"}


class Finding(Struct, frozen=True):
    subject: str
    level: Level
    text: str
    fix: str | None = None


class RuleNeed(Struct, frozen=True):
    """What one use of a rule wants of the machine."""

    stage: str
    rule: str
    libraries: tuple[str, ...] = ()
    numerics: Mapping[str, Any] = field(default_factory=dict)


class PortNeed(Struct, frozen=True):
    deployment: str
    port: int
    is_ours: bool = False  # the deployment itself is running there


def doctor(
    store: Path,
    library: LibraryVersion,
    *,
    needs: Sequence[RuleNeed] = (),
    ports: Sequence[PortNeed] = (),
    remote: str | None = None,
) -> list[Finding]:
    """Every finding, in a fixed order; nothing is imported, and only the GPU's own tool is run."""
    return [
        _python(),
        *_extras(library),
        *_needed_libraries(needs, library),
        _disk(store),
        *_memory(),
        *_instruction_sets(needs),
        _gpu(needs),
        *_ports(ports),
        _remote(remote),
        *_clock(store),
    ]


def doctor_text(findings: Sequence[Finding], color: bool) -> str:
    """One line per finding, its fix below, and a last line that counts the problems."""
    paint = Paint(color)
    styles = {"ok": "green", "note": "cyan", "problem": "red"}
    width = max((len(f.subject) for f in findings), default=0)
    lines = []
    for f in findings:
        lines.append(
            f"{paint(f.level.ljust(8), styles[f.level])} {f.subject.ljust(width)}  {printable(f.text)}"
        )
        if f.fix:
            lines.append(f"{'':8} {'':{width}}  fix: {printable(f.fix)}")
    problems = sum(f.level == "problem" for f in findings)
    return "\n".join([*lines, "", count(problems, "problem") if problems else "no problems"])


def doctor_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"version": 1, "findings": [asdict(f) for f in findings]}


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where something that this Sparkfile needs is lacking."""
    return int(any(f.level == "problem" for f in findings))


def _python() -> Finding:
    return Finding("python", "ok", f"{'.'.join(map(str, sys.version_info[:3]))} ({sys.implementation.name})")


def _extras(library: LibraryVersion) -> Iterator[Finding]:
    for extra, wanted in extras_of("spark-build").items():
        if extra == "test":
            continue
        versions = {name: library(name) for name in wanted}
        absent = [name for name, version in versions.items() if version is None]
        here = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
        lacking = f"{'; ' if here else ''}not installed: {', '.join(absent)}" if absent else ""
        yield Finding(f"extra {extra}" if extra else "core", "note" if absent else "ok", here + lacking)


def extras_of(distribution: str) -> dict[str, list[str]]:
    """Extra -> distributions that it names itself; '' stands for what is always installed."""
    import re
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", line)
        if name is not None and name[0] != distribution:
            found.setdefault(extra[1] if extra else "", []).append(name[0])
    return found


def _needed_libraries(needs: Sequence[RuleNeed], library: LibraryVersion) -> Iterator[Finding]:
    extras = extras_of("spark-build")
    absent: dict[str, list[str]] = {}
    for need in needs:
        for name in need.libraries:
            if library(name) is None:
                absent.setdefault(name, []).append(f"{need.stage} ({need.rule})")
    for name, users in sorted(absent.items()):
        extra = next((e for e, names in extras.items() if e and name in names), None)
        fix = f'pip install "spark-build[{extra}]"' if extra else f"pip install {name}"
        yield Finding("sparkfile", "problem", f"{name} is not installed; needed by {listed(users)}", fix)
    if needs and not absent:
        yield Finding(
            "sparkfile", "ok", f"all libraries that its {count(len(needs), 'rule')} need are installed"
        )


def _disk(store: Path) -> Finding:
    place = next(folder for folder in (store, *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Finding("disk", "problem", "the store's folder is not writable", "see its owner and mode")
    if free < _LEAST_FREE_BYTES:
        return Finding(
            "disk", "note", f"{size(free)} free at the store", "free some, or move it: store.local"
        )
    return Finding("disk", "ok", f"{size(free)} free at the store")


def _memory() -> Iterator[Finding]:
    available = _meminfo().get("MemAvailable")
    if available is not None:
        level: Level = "ok" if available >= _LEAST_FREE_MEMORY_BYTES else "note"
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        yield Finding("memory", level, f"{size(available)} available, {count(cores, 'core')}")


def _meminfo() -> dict[str, int]:
    """Bytes by name; {} where there is no /proc."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(" kB")}


def _instruction_sets(needs: Sequence[RuleNeed]) -> Iterator[Finding]:
    flags = _cpu_flags()
    has = [isa for isa, flag in _CPU_FLAGS.items() if flag in flags]
    wanted: dict[str, list[str]] = {}
    for need in needs:
        if (isa := need.numerics.get("isa")) in _CPU_FLAGS and isa not in has:
            wanted.setdefault(isa, []).append(need.stage)
    for isa, stages in wanted.items():
        known = f"has {', '.join(has)}" if has else "does not say what it has"
        text = f"{isa} is asked for by {listed(stages)}; this processor {known}"
        yield Finding("processor", "problem", text, "numerics: {isa: …} that all your machines have")
    if not wanted:
        yield Finding("processor", "ok", f"has {', '.join(has)}" if has else "instruction sets unknown")


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


def _gpu(needs: Sequence[RuleNeed]) -> Finding:
    wanting = [need.stage for need in needs if need.numerics.get("device") == "cuda"]
    seen = _nvidia_gpus()
    if seen:
        return Finding("gpu", "ok", ", ".join(seen))
    if wanting:
        fix = "build them on a machine with one, or numerics: {device: cpu}"
        return Finding("gpu", "problem", f"none seen; asked for by {listed(wanting)}", fix)
    return Finding("gpu", "ok", "none seen, none asked for")


def _nvidia_gpus() -> list[str]:
    """`NVIDIA L4, 23034 MiB, driver 550.54` for each; [] where nvidia-smi is absent or fails."""
    import subprocess

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    return [f"{row[0]}, {row[1]}, driver {row[2]}" for row in rows if len(row) == 3]


def _ports(ports: Sequence[PortNeed]) -> Iterator[Finding]:
    for need in ports:
        subject = f"port {need.port}"
        if need.is_ours:
            yield Finding(subject, "ok", f"deployment:{need.deployment} runs there")
        elif need.port == 0 or _is_free(need.port):
            yield Finding(subject, "ok", f"free for deployment:{need.deployment}")
        else:
            fix = f"stop what listens there, or deployments.{need.deployment}.with.port"
            yield Finding(subject, "problem", f"in use; deployment:{need.deployment} wants it", fix)


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        # a port whose last connection has just closed is free for a server
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _remote(remote: str | None) -> Finding:
    if remote is None:
        return Finding("remote", "ok", "none: results stay in the local store")
    return Finding(
        "remote",
        "problem",
        f"{remote}: this version keeps results on this machine only",
        "take it out, or say --offline",
    )


def _clock(store: Path) -> Iterator[Finding]:
    """The stat cache trusts times: the store's file system has to tell the same as this machine."""
    import tempfile
    import time

    if not (store.is_dir() and os.access(store, os.W_OK)):
        return
    with tempfile.NamedTemporaryFile(dir=store, prefix=".clock-") as probe:
        before = time.time()
        os.utime(probe.name)
        skew = os.stat(probe.name).st_mtime - before
    if abs(skew) > _MOST_CLOCK_SKEW_SECONDS:
        text = f"the store's file system is {skew:+.1f} s off this machine"
        yield Finding("clock", "problem", text, "set both clocks by NTP")
    else:
        yield Finding("clock", "ok", "the store's file system tells the same time as this machine")
