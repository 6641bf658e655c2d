"""Builds within this process: the real planner, store, journal and stage runners, without a process per stage."""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from spark_build.app import Project
from spark_build.core.disk import disk_problems
from spark_build.core.job import Job, JobResult
from spark_build.core.values import field
from spark_build.engine.plan import Plan, Planner, StagePlan
from spark_build.executors.environment import check_machine, environment_of
from spark_build.executors.events import EventReader
from spark_build.executors.worker import run_worker
from spark_build.stages import run_stage
from spark_build.storage import state, stats
from spark_build.storage.blobs import blobs_of
from spark_build.storage.guarded_memo import memo_of
from sparkfile_schema import parsing

Hook = Callable[[str, Job], None]  # 'before' or 'after' a stage ran, with its job
_OF_PROJECTS = ("spark_rule_", "helpers", "rules", "fuzzrules")  # modules that are a project's own
_clean = 0  # how many modules there were when none of them was a project's
_TICK_NS = 4_000_000  # kernels before 6.13 stamp files with a clock that moves so often
_AGE_NS = 150_000_000
_real_time_ns = time.time_ns


@lru_cache(maxsize=64)
def _read_once(data: bytes | str, file: str) -> tuple[Any, list[Any]]:
    return _read_document(data, file)


def _document(data: bytes | str, file: str) -> tuple[Any, list[Any]]:
    root, problems = _read_once(data, file)
    return root, [*problems]


_read_document = parsing.read_document
parsing.read_document = (
    _document  # the same text is the same tree: the cold build need not parse it once more
)


def wait_for_a_tick() -> None:
    """What is written next has another ctime than all before."""
    before = _real_time_ns() // _TICK_NS
    while _real_time_ns() // _TICK_NS == before:
        time.sleep(0.0005)
    time.sleep(0.004)  # where the kernel's own clock is a coarse one


@contextmanager
def coarse_clock() -> Iterator[None]:
    """Files as kernels before 6.13 stamp them: two changes within one tick have one ctime."""
    line, of = stats.stat_line, state.FileStat.of

    def line_coarse(stat: Any) -> str:
        kept = {name: getattr(stat, name) for name in ("st_size", "st_mtime_ns", "st_ino", "st_mode")}
        return line(SimpleNamespace(**kept, st_ctime_ns=coarse(stat.st_ctime_ns)))  # type: ignore[arg-type]

    def of_coarse(cls: Any, stat: Any) -> state.FileStat:
        exact = of(stat)
        return exact._replace(ctime_ns=coarse(exact.ctime_ns))

    stats.stat_line = line_coarse
    state.FileStat.of = classmethod(of_coarse)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        stats.stat_line, state.FileStat.of = line, of  # type: ignore[method-assign]


def coarse(nanoseconds: int) -> int:
    return nanoseconds // _TICK_NS * _TICK_NS


@contextmanager
def later() -> Iterator[None]:
    """As if a while had passed since the last edit: what was written before is old enough to be trusted.

    Only with `wait_for_a_tick` before the next edit is that the truth.
    """
    time.time_ns = lambda: _real_time_ns() + _AGE_NS
    try:
        yield
    finally:
        time.time_ns = _real_time_ns


@contextmanager
def fresh_process(root: Path, env: Mapping[str, str], packages: Path) -> Iterator[None]:
    """What a process of its own would find: its environment, and nothing of the project imported."""
    around, paths, keeps_none = dict(os.environ), [*sys.path], sys.dont_write_bytecode
    imported = _take_out()
    sys.dont_write_bytecode = False  # as wherever people install it, whatever this run was told
    os.environ.clear()
    os.environ.update(env)
    sys.path.append(str(packages))
    _forget_folders(root, packages)
    try:
        with coarse_clock():
            yield
    finally:
        os.environ.clear()
        os.environ.update(around)
        sys.path[:], sys.dont_write_bytecode = paths, keeps_none
        _take_out()
        sys.modules.update(imported)


def _take_out() -> dict[str, Any]:
    """The modules of projects, which are imported anew."""
    global _clean
    if len(sys.modules) == _clean:
        return {}
    own = {n: m for n, m in list(sys.modules.items()) if n.startswith(_OF_PROJECTS)}
    for name in own:
        del sys.modules[name]
    _clean = len(sys.modules)
    return own


def _forget_folders(*folders: Path) -> None:
    """Importers remember what a folder held."""
    for path in list(sys.path_importer_cache):
        if path.startswith(tuple(map(str, folders))):
            del sys.path_importer_cache[path]


class Handle:
    def __init__(self, job: Job, job_file: Path) -> None:
        self.job, self.job_file = job, job_file
        self.log = f"{job.events.removesuffix('.jsonl').removesuffix('.events')}.log"
        self.events = EventReader(job.events)


class InlineExecutor:
    """Implements `engine.build.Executor`: what was started ends in an order drawn by `random`."""

    def __init__(self, store: Path, packages: Path, chance: random.Random, hook: Hook) -> None:
        self._store, self._packages, self._chance, self._hook = store, packages, chance, hook
        self._started: list[Handle] = []

    def start(self, job: Job, lease: Any) -> Handle:
        check_machine(job)
        job_file = self._store.resolve() / "work" / job.key / "job.json"
        handle = Handle(job, job_file)
        with disk_problems(str(job_file)):
            Path(job.scratch).mkdir(parents=True, exist_ok=True)
            job.save(job_file)
        self._started.append(handle)
        return handle

    def poll(self, seconds: float) -> list[tuple[Handle, int, JobResult | None]]:
        if not self._started:
            return []
        handle = self._started.pop(self._chance.randrange(len(self._started)))
        status = self._run(handle)
        return [(handle, status, JobResult.load(Path(handle.job.result)))]

    def events(self, handle: Handle) -> list[dict[str, Any]]:
        return handle.events.new()

    def log_tail(self, handle: Handle) -> str:
        return Path(handle.log).read_text()[-4000:]

    def stop_all(self) -> None:
        self._started.clear()

    def close(self) -> None:
        self._started.clear()

    def _run(self, handle: Handle) -> int:
        self._hook("before", handle.job)
        with (
            fresh_process(Path(handle.job.project), environment_of(handle.job), self._packages),
            open(handle.log, "a") as log,
            redirect_stdout(log),
            redirect_stderr(log),
            chdir(handle.job.scratch),
        ):
            try:
                status = run_worker(handle.job_file, run_stage, memo_of, blobs_of)
            finally:
                _quiet_faulthandler()
        self._hook("after", handle.job)
        return status


def _quiet_faulthandler() -> None:
    """The worker turned it on for a log that is closed now."""
    import faulthandler

    faulthandler.disable()
    with suppress(OSError, ValueError, AttributeError):
        faulthandler.enable(sys.__stderr__)


class InlineProject(Project):
    """A project whose stages run here; it keeps what the planner said of every stage that it called `run`."""

    packages: Path = Path()
    chance: random.Random = field(default_factory=random.Random)
    hook: Hook = lambda when, job: None
    said: dict[str, StagePlan] = field(default_factory=dict)

    def executor(self, store: Path) -> Any:
        return InlineExecutor(store, self.packages, self.chance, self.hook)

    def planner(self, **options: Any) -> Planner:
        planner = super().planner(**options)
        if "plan" not in vars(planner):
            asked = planner.plan

            def plan(stages: Any) -> Plan:
                planner.names_causes = True  # a build needs none; here they are held against the truth
                found = asked(stages)
                self.said.update({p.stage: p for p in found.stages if p.state == "run"})
                return found

            planner.plan = plan  # type: ignore[method-assign]
        return planner


def inline_project(
    root: Path,
    packages: Path,
    *,
    profile: str | None = None,
    sets: tuple[str, ...] = (),
    seed: int = 0,
    hook: Hook | None = None,
) -> InlineProject:
    own: dict[str, Any] = {} if hook is None else {"hook": hook}
    chance = random.Random(seed)
    return InlineProject(root, profile=profile, sets=sets, packages=packages, chance=chance, **own)
