"""Stages in Python that share a warm worker: each finds what a fresh interpreter would give it, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import ended, eventually, job_in

from spark_build.core.job import Job, JobStep
from spark_build.executors.local import LocalExecutor
from tests.spark import Folder

FRESH = [sys.executable, "-P", "-m", "spark_build", "worker"]
RULE = """
import gc, json, locale, os, random, signal, subprocess, sys, tempfile, threading, time
from pathlib import Path
from spark_build.contract import Raw, Source

class Look(Source):
    def read(self, file):
        import helper, numpy
        umask = os.umask(0o22); os.umask(umask)
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGXFSZ", "SIGCHLD", "SIGUSR1")
        seen = {
            "environ": dict(os.environ), "cwd": os.getcwd(), "umask": umask, "path": sys.path, "argv": sys.argv,
            "flags": list(sys.flags), "locale": locale.setlocale(locale.LC_ALL), "zone": time.tzname,
            "hash": hash("text"), "threads": threading.active_count(),
            "files": sorted(os.listdir("/proc/self/fd"))[:3], "more files": len(os.listdir("/proc/self/fd")),
            "signals": [str(signal.getsignal(getattr(signal, name))) for name in names],
            "mask": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
            "leads its session": os.getsid(0) == os.getpid() == os.getpgid(0),
            "stdin": sys.stdin.read(), "buffering": (sys.stdout.line_buffering, sys.stderr.line_buffering),
            "gc": gc.isenabled(), "depth": sys.getrecursionlimit(), "bytecode": sys.dont_write_bytecode,
            "main": sys.modules["__main__"].__name__, "helper": helper.VALUE,
            "spoilt": hasattr(json, "spoilt"), "shell": subprocess.run(["env"], capture_output=True, text=True).stdout,
        }
        drawn = [random.random(), float(numpy.random.random()), tempfile.mktemp()]
        print(json.dumps({"seen": seen, "drawn": drawn, "cmdline": Path("/proc/self/cmdline").read_text()}))
        os.environ["LEAKED"] = "1"; os.chdir("/"); os.umask(0o77); sys.path.insert(0, "/nowhere"); json.spoilt = True
        sys.setrecursionlimit(5000); signal.signal(signal.SIGUSR1, signal.SIG_IGN); locale.setlocale(locale.LC_ALL, "C")
        random.seed(1); numpy.random.seed(1); os.open("/dev/null", os.O_RDONLY); helper.VALUE = "spoilt"
        import atexit; atexit.register(print, "atexit was run")
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread was waited for"))).start()
        yield Raw({"text": "words"}, file.path)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name, text in {"look.py": RULE, "helper.py": "VALUE = 1\n", "data/a.txt": "a"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def warm(store: Path) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(store)
    yield executor
    executor.close()


def look(store: Path, name: str, **changed: Any) -> Job:
    step = JobStep("Look", f"{store}/look.py:Look", {}, name * 64, inputs={"path": str(store / "data")})
    job = job_in(store, name, steps=(step,), output=str(store / "output" / name), **changed)
    Path(job.output).mkdir(parents=True)
    return job


def told(executor: LocalExecutor, job: Job) -> dict[str, Any]:
    handle = executor.start(job)
    status, result = ended(executor, handle, 60)
    assert (status, result and result.error) == (0, None), executor.log_tail(handle)
    lines = executor.log_tail(handle).splitlines()
    assert lines[1:] == ["thread was waited for", "atexit was run"]
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_a_fork_finds_what_a_fresh_interpreter_gives_and_nothing_of_the_job_before(
    store: Path, warm: LocalExecutor
) -> None:
    first, second = told(warm, look(store, "a")), told(warm, look(store, "b"))
    fresh = told(LocalExecutor(store, FRESH), look(store, "c"))
    assert "--link" in first["cmdline"]
    assert second["cmdline"] == first["cmdline"] != fresh["cmdline"]
    assert first["seen"] == fresh["seen"]
    assert second["seen"] == first["seen"]
    assert not set(map(str, first["drawn"])) & set(map(str, second["drawn"]))


def test_a_helper_edited_between_two_jobs_is_seen(
    store: Path, warm: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    helper = store / "helper.py"
    for value, name in enumerate("abc"):  # of one size and time: Python's own compiled file would do for all
        helper.write_text(f"VALUE = {value}\n")
        os.utime(helper, (1.7e9, 1.7e9))
        assert told(warm, look(store, name))["seen"]["helper"] == value
    assert not (store / "__pycache__").exists()


def test_a_job_with_variables_of_its_own_gets_a_fresh_interpreter(
    store: Path, warm: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = told(warm, look(store, "a", env=("OMP_NUM_THREADS",)))
    assert "--link" not in found["cmdline"]
    assert found["seen"]["environ"]["OMP_NUM_THREADS"] == "3"


FAMILY = """
import os, subprocess, time
from spark_build.contract import Raw, Source

class Look(Source):
    def read(self, file):
        away = subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"])
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
        with open(os.path.join(os.path.dirname(__file__), "pids"), "w") as pids:
            pids.write(f"{os.getpid()} {os.getppid()} {away.pid}\\n")
        time.sleep(1000)
        yield Raw({"text": "words"}, file.path)
"""


def build_with_a_family(folder: Folder) -> tuple[subprocess.Popen[str], list[int]]:
    """A build under way, and the processes of its worker: itself, its keeper, one that it started away from it."""
    folder.sparkfile("datasets: {d: {source: {use: './look.py:Look', with: {}}}}\n")
    folder.write(
        "look.py",
        FAMILY.replace("def read", "def fetch(self, context): return context.base_dir\n    def read"),
    )
    build = folder.start("build", "--json")
    pids = folder.path / "pids"
    eventually(lambda: pids.exists() and pids.read_text().endswith("\n"), 60)
    return build, [int(process) for process in pids.read_text().split()]


@pytest.mark.parametrize("killed", ["build", "watchdog", "keeper", "watchdog and build"])
def test_what_a_fork_started_ends_with_the_build(folder: Folder, killed: str) -> None:
    build, (worker, keeper, away) = build_with_a_family(folder)
    watchdog = int(Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"--link" in Path(f"/proc/{watchdog}/cmdline").read_bytes()
    left = [worker, away, *_below(worker)]
    for chosen in {"build": [build.pid], "watchdog": [watchdog], "keeper": [keeper]}.get(
        killed, [watchdog, build.pid]
    ):
        os.kill(chosen, signal.SIGKILL)
    build.communicate(timeout=60)
    eventually(lambda: not any(Path(f"/proc/{process}").exists() for process in left))
    if killed in ("watchdog", "keeper"):
        assert build.returncode == 1


def test_an_interrupted_build_ends_its_forks(folder: Folder) -> None:
    build, left = build_with_a_family(folder)
    time.sleep(0.1)
    build.send_signal(signal.SIGINT)
    build.communicate(timeout=60)
    assert build.returncode == 130
    assert not any(Path(f"/proc/{process}").exists() for process in left)


def _below(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
