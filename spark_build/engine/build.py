"""The build: asks the plan, starts what is `run` and ready, takes results in, asks the plan again."""

import time
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from spark_build.core.digest import Digest
from spark_build.core.errors import SparkError, StageFailed, StoreDamaged
from spark_build.core.job import Job, JobResult
from spark_build.core.moved import InputMoved
from spark_build.core.record import Record
from spark_build.core.threads import side_by_side
from spark_build.core.undeclared import FIX, NOTE, touched_text
from spark_build.core.values import Struct, replace
from spark_build.engine.graph import Graph, Node
from spark_build.engine.jobs import Workshop
from spark_build.engine.plan import Plan, Planner, StagePlan
from spark_build.engine.restores import Fetched, Restorer, Restores
from spark_build.engine.results import BuildResult, StageResult, judged
from spark_build.engine.shares import cores_of, gpus_of, processes_of

POLL_SECONDS = 0.1

Taken = tuple[
    Record, Record | None
]  # what was recorded, and another result of the same action where there is one


class Lease(Protocol):
    def fileno(self) -> int: ...

    def release(self) -> None: ...


class Leases(Protocol):
    def acquire(self, key: Digest, *, is_shared: bool = True) -> Lease | None:
        """The right to run this action; None while somebody else has it. Never waits.

        `is_shared`: others can have its result. Errors: SparkError where the disk refuses.
        """

    def holder(self, key: Digest) -> str: ...

    def hurry(self) -> None:
        """From now on nothing is waited for longer than a moment."""


class Executor(Protocol):
    def start(self, job: Job, lease: Lease) -> Any: ...

    def poll(self, seconds: float) -> list[tuple[Any, int, JobResult | None]]:
        """What ended: (handle, exit status, result); waits up to `seconds` for the first."""

    def events(self, handle: Any) -> Iterable[dict[str, Any]]:
        """What the worker reported since the last call."""

    def log_tail(self, handle: Any) -> str: ...

    def stop_all(self) -> None: ...

    def close(self) -> None: ...


class Listener(Protocol):
    """Who is told: the panel, plain lines, or JSON lines."""

    def started(self, stage: str, seconds: float | None) -> None: ...

    def event(self, stage: str, event: Mapping[str, Any]) -> None: ...

    def uploading(self, stage: str, done: int, total: int) -> None:
        """Bytes of a result that has ended, on its way to the remote store beside what runs."""

    def waiting(self, stage: str, holder: str) -> None: ...

    def finished(self, result: StageResult) -> None: ...


class _Running(Struct):
    """A stage whose worker runs."""

    node: Node
    plan: StagePlan
    job: Job
    lease: Lease
    handle: Any
    started: datetime
    clock: float
    told: dict[str, Any]  # why it runs


class _Ended(Struct):
    """A stage whose worker has ended, and how."""

    running: _Running
    status: int
    result: JobResult | None
    at: float

    @property
    def seconds(self) -> float:
        return self.at - self.running.clock


class Builder:
    """Builds `asked` with at most `jobs` stages at once, longest path first."""

    def __init__(
        self,
        graph: Graph,
        planner: Planner,
        workshop: Workshop,
        executor: Executor,
        leases: Leases,
        listener: Listener,
        *,
        jobs: int,
        cores: int,
        gpus: int = 0,
        restorer: Restorer | None = None,
        fail_fast: bool = False,
        limit: int | None = None,
        spread_after_seconds: float = 1.0,
        hold: Callable[[Record], bool] = lambda record: True,
        tell_beside: Callable[[], None] = lambda: None,
    ) -> None:
        """`jobs`: stages at once, and processes that work on their items. `hold` keeps a result that counts from being
        taken out of the store meanwhile; False where that has just happened. `tell_beside` tells the listener, every
        now and then, of what goes on besides.
        """
        self.graph, self.planner, self.workshop = graph, planner, workshop
        self.executor, self.leases, self.listener = executor, leases, listener
        self.jobs, self.cores, self.gpus = max(1, jobs), cores, gpus
        self.fail_fast, self.limit, self.spread_after_seconds = fail_fast, limit, spread_after_seconds
        self._hold, self._tell_beside = hold, tell_beside
        self.result = BuildResult()
        self._running: dict[int, _Running] = {}
        self._restores = Restores(restorer)
        self._ran: dict[Digest, float] = {}  # keys that this build ran, with their seconds
        self._failed_keys: dict[Digest, StageResult] = {}
        self._behind: dict[str, float] = {}  # seconds of the longest path from each stage to the end
        self._blocked: set[str] = set()  # a requirement of theirs is not met
        self._waiting: set[str] = set()  # for another process
        self._told_of_waiting: set[str] = set()
        self._told: set[str] = set()  # as fresh, before it turned out that they are needed

    def run(self, asked: Iterable[str]) -> BuildResult:
        asked, self.planner.names_causes = list(asked), False
        try:
            self._loop(asked)
        except KeyboardInterrupt:
            self.result.is_interrupted = True
            self._restores.stop()
            self.executor.stop_all()
            self.leases.hurry()
            for running in self._running.values():
                self.workshop.clean(running.job.key, keeps_scratch=not self.workshop.has_moved(running.job))
                running.lease.release()
        self._skip_the_rest(asked)
        return self.result

    def _loop(self, asked: list[str]) -> None:
        while True:
            plan = self.planner.plan(asked)
            self._start_restores(plan)
            if self._settle(plan) or self._start_ready(plan):
                continue  # what a plan believed to be there is not, or another's result is: look again
            if not self._running and not self._waiting and not self._restores:
                return
            self._await(asked, plan)

    def _settle(self, plan: Plan) -> bool:
        """Tells of every stage that has come to rest; whether another process has just taken one's result away."""
        for stage_plan in plan.stages:
            is_known = stage_plan.stage in self.result.results or stage_plan.stage in self._restores
            if stage_plan.state == "fresh" and not is_known:
                assert stage_plan.record is not None
                if not self._hold(stage_plan.record):
                    self.planner.forget(stage_plan.stage)
                    self.planner.forget_artifacts()
                    return True
                self._judge(stage_plan)
                self._finish(self._rested(stage_plan))
        return False

    def _rested(self, plan: StagePlan) -> StageResult:
        assert plan.record is not None
        if plan.key in self._ran:  # another address of the same action
            return StageResult(plan.stage, "ran", self._ran[plan.key], plan.record)
        return StageResult(plan.stage, "fresh", 0.0, plan.record, drift=plan.drift)

    def _judge(self, plan: StagePlan) -> None:
        """Requirements are judged on recorded figures, at every build."""
        assert plan.record is not None
        if unmet := judged(self.graph.nodes[plan.stage], plan.record):
            self.result.unmet += unmet
            self._blocked.add(plan.stage)

    def _start_restores(self, plan: Plan) -> None:
        if self.fail_fast and self.result.count("failed"):
            return
        for stage_plan in plan.stages:
            if stage_plan.state == "restore" and stage_plan.stage not in self.result.results:
                self._restores.start(stage_plan)

    def _end_restore(self, fetched: Fetched, asked: list[str]) -> None:
        """Where the remote does not hold what it should, its stage runs."""
        plan, error = fetched.plan, fetched.error
        if isinstance(error, StoreDamaged):
            self.result.warnings.append(f"{plan.stage} is built again: {error}")
            self.planner.refuse(plan)
            self._take_back(asked)
        elif isinstance(error, SparkError):
            self._finish(self._failed(self.graph.nodes[plan.stage], plan, error, fetched.seconds))
        elif error is not None:
            raise error
        else:
            self.planner.forget(plan.stage)
            self._judge(plan)
            self._finish(StageResult(plan.stage, "restored", fetched.seconds, plan.record))

    def _take_back(self, asked: list[str]) -> None:
        """What nobody needed and was told as fresh is needed now, and not here: it has not come to rest after all."""
        ended = self.result.results
        for now in self.planner.plan(asked).stages:
            if now.state != "fresh" and now.stage in ended and ended[now.stage].outcome == "fresh":
                del ended[now.stage]
                self._told.add(now.stage)

    def _start_ready(self, plan: Plan, ending: Set[Digest] = frozenset()) -> bool:
        """Starts what may start now; true where the plan has to be asked again at once.

        `ending`: keys whose worker has ended, and whose result is not taken in yet.
        """
        if self.fail_fast and self.result.count("failed"):
            return False
        self._waiting.clear()
        if len(self._running) >= self.jobs:
            return False
        running_keys = {r.plan.key for r in self._running.values()} | ending
        ready = self._by_longest_path(plan)
        starting = self._count_starting(ready, running_keys)
        for stage_plan in ready:
            node = self.graph.nodes[stage_plan.stage]
            if stage_plan.stage in self.result.results or stage_plan.key in running_keys:
                continue
            if (failed := self._failed_keys.get(stage_plan.key or "")) is not None:
                # another address of the same action
                self._finish(replace(failed, stage=node.stage, at=node.at))
                continue
            if not self._may_run(node) or not self._has_room(node):
                continue
            try:
                lease = self.leases.acquire(stage_plan.key or "", is_shared=node.pushes)
            except SparkError as error:  # the disk is full, or can't be written
                self._finish(self._failed(node, stage_plan, error, 0.0))
                continue
            if lease is None:
                self._wait_for_other(stage_plan)
                continue
            if self._is_done_meanwhile(stage_plan):
                lease.release()
                return True
            running = [(r.node, r.job) for r in self._running.values()]
            self._start(node, stage_plan, lease, processes_of(node, running, max(1, starting), self.jobs))
            running_keys.add(stage_plan.key)
            starting -= 1
        return False

    def _count_starting(self, ready: list[StagePlan], running_keys: set[Digest | None]) -> int:
        here = (p for p in ready if p.stage not in self.result.results and p.key not in running_keys)
        return len({p.key for p in here if self._may_run(self.graph.nodes[p.stage])})

    def _may_run(self, node: Node) -> bool:
        """Whether everything that it reads or waits for has come to rest, and well."""
        before = {*self.graph.upstream[node.stage], *node.guards}
        ended = self.result.results
        return all(s in ended and ended[s].outcome not in ("failed", "skipped") for s in before) and not (
            before & self._blocked
        )

    def _has_room(self, node: Node) -> bool:
        if not self._running:
            return True
        if len(self._running) >= self.jobs:
            return False
        used = sum(cores_of(r.node) for r in self._running.values())
        used_gpus = sum(gpus_of(r.node) for r in self._running.values())
        return used + cores_of(node) <= self.cores and used_gpus + gpus_of(node) <= self.gpus

    def _wait_for_other(self, plan: StagePlan) -> None:
        if plan.stage not in self._told_of_waiting:
            self._told_of_waiting.add(plan.stage)
            self.listener.waiting(plan.stage, self.leases.holder(plan.key or ""))
        self._waiting.add(plan.stage)

    def _is_done_meanwhile(self, plan: StagePlan) -> bool:
        """Look again: another build may have finished while we waited for the lease."""
        was_waited_for = plan.stage in self._told_of_waiting
        if plan.stage in self.planner.again or (self.planner.is_lost(plan.stage) and not was_waited_for):
            return False
        fresh = self.planner.records.get(plan.key or "")
        if fresh is None or self.planner.is_refused(fresh) or not self.planner.can_have(fresh.output):
            return False
        self.planner.forget(plan.stage)
        return True

    def _start(self, node: Node, plan: StagePlan, lease: Lease, processes: int) -> None:
        try:
            job = self.workshop.prepare(node, plan, self._output_of, limit=self.limit)
            job = replace(job, processes=processes, spread_after_seconds=self.spread_after_seconds)
            handle = self.executor.start(job, lease)
        except SparkError as error:
            self._finish(self._failed(node, plan, error, 0.0))
            self.workshop.clean(plan.key or "", keeps_scratch=True)
            lease.release()
            self.planner.forget(node.stage)
            self.planner.forget_artifacts()
            return
        started, clock = datetime.now(UTC), time.monotonic()
        told = self.planner.told(plan)
        self._running[id(handle)] = _Running(node, plan, job, lease, handle, started, clock, told)
        self.listener.started(node.stage, plan.seconds)

    def _output_of(self, stage: str) -> Digest:
        record = self.result.results[stage].record
        assert record is not None, f"BUG: {stage} is read before it has come to rest"
        return record.output

    def _await(self, asked: list[str], plan: Plan) -> None:
        """Until something has ended, or it is time to look what another process does."""
        while True:
            # one of the two waits
            ended = self.executor.poll(POLL_SECONDS) if self._running else []
            fetched = self._restores.ended(0.0 if self._running else POLL_SECONDS)
            for running in self._running.values():
                self._pass_events_on(running)
            for stage, event in self._restores.progress():
                self.listener.event(stage, event)
            self._tell_beside()
            if ended:
                self._end_all(ended, plan)
            for one in fetched:
                self._end_restore(one, asked)
            if ended or fetched or self._waiting:
                return

    def _end_all(self, ended: list[tuple[Any, int, JobResult | None]], plan: Plan) -> None:
        now = time.monotonic()
        batch = [
            _Ended(self._running.pop(id(handle)), status, result, now) for handle, status, result in ended
        ]
        try:
            self._start_meanwhile(batch, plan)
            for one, taken in zip(
                batch, side_by_side([partial(self._taken_in, one) for one in batch]), strict=True
            ):
                self._end(one, taken)
        finally:
            for one in batch:
                one.running.lease.release()

    def _start_meanwhile(self, batch: list[_Ended], plan: Plan) -> None:
        """What was ready before, and runs while results are taken in. Not where a stage waits for one of them, which
        may be on the longest path.
        """
        if self.fail_fast or any(one.running.node.stage in self.graph.awaited for one in batch):
            return
        self._start_ready(plan, {one.running.job.key for one in batch})

    def _pass_events_on(self, running: _Running) -> None:
        for event in self.executor.events(running.handle):
            self.listener.event(running.node.stage, event)

    def _taken_in(self, ended: _Ended) -> Taken | SparkError:
        """Beside those that ended with it: most of this is waiting for the disk."""
        running, result = ended.running, ended.result
        if result is None or not result.ok:
            return _failure(running, ended.status, result)
        try:
            return self.workshop.take_in(
                running.node, running.plan, running.job, result, running.started, ended.seconds, running.told
            )
        except SparkError as error:
            return error

    def _end(self, ended: _Ended, taken: Taken | SparkError) -> None:
        running = ended.running
        if isinstance(taken, SparkError):
            keeps = not (isinstance(taken, InputMoved) or self.workshop.has_moved(running.job))
            self._finish(self._failed(running.node, running.plan, taken, ended.seconds, running, keeps))
            self.workshop.clean(running.job.key, keeps_scratch=keeps)
            self.planner.forget_artifacts()  # what it changed of its inputs was set aside
        else:
            self._take(running, *taken, ended.seconds)
        self.planner.forget(running.node.stage)

    def _take(self, running: _Running, record: Record, other: Record | None, seconds: float) -> None:
        self.workshop.clean(record.key)
        self._ran[record.key] = seconds
        if other is not None and other.output != record.output:
            self.result.warnings.append(
                f"{record.stage}: not deterministic: the same action gave {other.output[:12]} before and "
                f"{record.output[:12]} now; the newer one counts, the older is kept"
            )
        if (touched := record.notes.get(NOTE)) is not None:
            self.result.warnings.append(f"{running.node.at}: {record.stage} {touched_text(touched)}; {FIX}")
        self._finish(StageResult(record.stage, "ran", seconds, record))
        self._judge(StagePlan(record.stage, "fresh", record.key, record.output, record=record))

    def _failed(
        self,
        node: Node,
        plan: StagePlan,
        error: SparkError,
        seconds: float,
        running: _Running | None = None,
        keeps_scratch: bool = True,
    ) -> StageResult:
        tail = self.executor.log_tail(running.handle) if running is not None else ""
        failed = StageResult(
            node.stage,
            "failed",
            seconds,
            error=error.message,
            fix=error.fix,
            log=running.job.events.removesuffix(".events.jsonl") + ".log" if running else None,
            log_tail=tail,
            scratch=running.job.scratch if running and keeps_scratch else None,
            at=node.at,
        )
        self._failed_keys[plan.key or ""] = failed
        return failed

    def _finish(self, result: StageResult) -> None:
        self.result.results[result.stage] = result
        if result.stage not in self._told or result.outcome != "fresh":
            self.listener.finished(result)

    def _skip_the_rest(self, asked: list[str]) -> None:
        for stage in self.graph.closure(asked):
            if stage not in self.result.results:
                self._finish(StageResult(stage, "skipped", at=self.graph.nodes[stage].at))

    def _by_longest_path(self, plan: Plan) -> list[StagePlan]:
        ready = [p for p in plan.stages if p.state == "run"]
        if len(ready) < 2:
            return ready
        if not self._behind:  # once per build: it is an estimate
            self._behind = _seconds_behind(self.graph, plan)
        return sorted(ready, key=lambda p: -self._behind[p.stage])


def _seconds_behind(graph: Graph, plan: Plan) -> dict[str, float]:
    """Of the longest path from each stage to the end, by what the stages took last time (1 s where unknown)."""
    behind: dict[str, float] = {}
    for stage_plan in reversed(plan.stages):
        own = 0.0 if stage_plan.state == "fresh" else (stage_plan.seconds or 1.0)
        behind[stage_plan.stage] = own + max(
            (behind[r] for r in graph.readers[stage_plan.stage] if r in behind), default=0.0
        )
    return behind


def _failure(running: _Running, status: int, job_result: JobResult | None) -> StageFailed:
    if job_result is not None:
        return StageFailed(job_result.error or "failed without a word", fix=job_result.fix)
    how = f"was ended by signal {-status}" if status < 0 else f"ended with exit code {status}"
    fix = "out of memory? try a smaller batch or fewer --jobs" if status == -9 else "see its log"
    return StageFailed(f"the worker of {running.node.stage} {how} before it had a result", fix=fix)
