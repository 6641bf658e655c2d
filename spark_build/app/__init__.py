"""The application: wires project, store, engine and reports together; also the Python API."""

from __future__ import annotations  # what they name need not be loaded

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app.graph_cache import Loaded, Request, load_graph
from spark_build.core.acceptance import accepted_note
from spark_build.core.address import KINDS, Address, kind_of, stage_name, typed
from spark_build.core.errors import RequirementNotMet, SparkError, UsageError
from spark_build.core.places import SPARK_FOLDER, Place
from spark_build.core.trust import TRUSTED, scope_in
from spark_build.core.values import Struct, field
from spark_build.engine.states import Plan, StagePlan
from spark_build.pinning import LOCK_NAME, Lock
from spark_build.storage.journal import BuildEntry, Journal, build_id
from spark_build.storage.local import LocalStore
from spark_build.storage.state import State
from spark_build.storage.world import FileWorld

if TYPE_CHECKING:
    from spark_build.app.addresses import Names
    from spark_build.app.plan_file import PlanFile
    from spark_build.contract.rows import DatasetFolder
    from spark_build.core.record import Record
    from spark_build.engine.build import Executor, Listener
    from spark_build.engine.explain import Reason
    from spark_build.engine.graph import Graph
    from spark_build.engine.plan import History, Planner
    from spark_build.engine.results import BuildResult
    from spark_build.remote.store import RemoteStore
    from spark_build.storage.acceptances import LocalAcceptances
    from spark_build.storage.objects import LocalObjects
    from spark_build.storage.records import LocalRecords


class BuildOptions(Struct, frozen=True):
    """How to build; what a command line says besides targets."""

    jobs: int = 0  # 0: as many as there are cores
    again: tuple[str, ...] = ()
    is_locked: bool = False
    is_strict: bool = False
    fail_fast: bool = False
    is_confirmed: bool = False  # --yes
    planned: PlanFile | None = None  # do exactly this plan, or refuse
    command: str = "spark build"
    publishes: bool = True
    pushes: bool = True  # to the remote store, what this build makes


class Project(Struct, dict=True):
    """A Sparkfile and its store: `Project(".").build("model:helper")`.

    Errors: UsageError for what is wrong in the Sparkfile, SparkError for all else that a user can act on.
    """

    folder: str | Path = "."
    file: str = "Sparkfile.yaml"
    profile: str | None = None
    sets: Sequence[str] = ()
    offline: bool = False
    limit: int | None = None
    env: Mapping[str, str] | None = None
    has_moved: bool = False  # it is known already that no plan is settled
    walked: Mapping[str, list[str]] = field(default_factory=dict)  # what was just seen of folders
    _planners: dict[Any, Planner] = field(default_factory=dict)

    @cached_property
    def request(self) -> Request:
        if not Path(self.folder).is_dir():
            raise UsageError(f"{self.folder} is no folder", fix="-C names the folder of a Sparkfile")
        return Request(Path(self.place.file), self.profile, tuple(self.sets), self.limit, self.environment)

    @cached_property
    def place(self) -> Place:
        return Place(os.fspath(self.folder), self.file)

    @property
    def root(self) -> Path:
        return self.request.root

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ if self.env is None else self.env

    @cached_property
    def state(self) -> State:
        return State(self.place.state)

    @cached_property
    def world(self) -> FileWorld:
        walked, self.walked = self.walked, {}  # whoever looks again walks again
        return FileWorld(self.root, self.state, self.env, walked)

    @cached_property
    def lock(self) -> Lock:
        return Lock.load(self.root / LOCK_NAME)

    def save_lock(self) -> None:
        """Writes the lock where it was changed; what others wrote to it meanwhile stays."""
        self.lock.save(self.root / LOCK_NAME, self.place.turn)

    @cached_property
    def loaded(self) -> Loaded:
        return load_graph(self.request, self.lock, self.world, self.state)

    @cached_property
    def graph(self) -> Graph:
        return self.loaded.graph

    @cached_property
    def store(self) -> Path:
        return self.store_of(self.graph)

    def store_of(self, graph: Graph) -> Path:
        """Where the store lies, by a graph that may lack pins."""
        local = graph.store.get("local")
        store = self.root / local if local else Path(self.place.home) / SPARK_FOLDER
        if not graph.store.get("remote"):
            return store
        # each scope has a store of its own here, too: what one took from scopes/pr is nothing to trusted
        scope = scope_in(graph.store, self.environment)
        return store if scope == TRUSTED else store / scope

    @cached_property
    def local_store(self) -> LocalStore:
        """What is not here of Records and listings, it asks the remote for where there is one."""
        if self.graph.store.get("remote") and not self.offline:
            from spark_build.app.remoting import tiered_store

            return tiered_store(self)
        return LocalStore(self.store, self.state)

    @cached_property
    def remote(self) -> RemoteStore | None:
        """The remote tier; None where the Sparkfile names none, or --offline was said. Errors: SparkError."""
        if not self.graph.store.get("remote") or self.offline:
            return None
        from spark_build.app.remoting import open_remote

        return open_remote(self)

    @property
    def objects(self) -> LocalObjects:
        return self.local_store.objects

    @property
    def records(self) -> LocalRecords:
        return self.local_store.records

    @cached_property
    def acceptances(self) -> LocalAcceptances:
        from spark_build.storage.acceptances import LocalAcceptances

        return LocalAcceptances(self.store)

    @cached_property
    def journal(self) -> Journal:
        return self.journal_in(self.store)

    @property
    def history(self) -> History:
        """Which key each stage had last: here, or where there is a remote store wherever the lock was written."""
        if self.remote is None:
            return self.journal
        from spark_build.app.remoting import LockedHistory

        return LockedHistory(self.journal, self.lock)

    def journal_in(self, store: Path) -> Journal:
        """Each Sparkfile of a store has its own: their stages may have the same names."""
        return Journal(store / "builds" / self.place.inside, self.state)

    def close(self) -> None:
        if "state" in self.__dict__:
            self.state.close()

    def look_again(self) -> None:
        """Forgets what was seen of the project: each plan and build begins with the world as it is."""
        for name in (
            "world", "loaded", "graph", "names", "store", "local_store", "remote", "acceptances", "journal",
            "lock",
        ):  # fmt: skip
            self.__dict__.pop(name, None)
        self._planners.clear()

    # what is asked for

    def stages_of(self, addresses: Iterable[str]) -> list[str]:
        """The stages that are meant; without an address those of all datasets and models."""
        addresses = list(addresses)
        if not addresses:
            return _last_stages(self.graph, self.graph.targets())
        stages = [stage for text in addresses for stage in self._stages_of(text)]
        return list(dict.fromkeys(stages))

    def _stages_of(self, text: str) -> list[str]:
        found = self.names.all(text)
        if found[0].tag is not None:
            fix = f"spark show {typed(text)}"
            if (tag := found[0].tag) in self.graph.profiles:
                fix = f"spark build --profile {tag} {typed(found[0].target)}"
            raise UsageError(f"'{text}' is a result, there is nothing to build", fix=fix)
        if found[0].kind == "deployment":
            deployment = self.graph.deployments[found[0].name]
            return [*([deployment["stage"]] if deployment["stage"] else []), *deployment["guards"]]
        if found[0].stage is not None:
            return list(map(str, found))
        return _last_stages(self.graph, [address.target for address in found])

    def deployments_of(self, addresses: Iterable[str]) -> list[str]:
        found = (address for text in addresses for address in self.names.all(text))
        return [address.name for address in found if address.kind == "deployment"]

    def resolve(self, text: str) -> Address:
        """An address with its kind filled in; of a matrix one member.

        Errors: UsageError where it names nothing, or two things.
        """
        return self.names.one(text)

    @cached_property
    def names(self) -> Names:
        from spark_build.app.addresses import Names

        return Names(self.graph)

    # plan

    def planner(self, *, again: Iterable[str] = (), is_strict: bool = False) -> Planner:
        from spark_build.engine.plan import Planner

        stages = tuple(sorted({s for text in again for s in self._stages_again(text)}))
        if (stages, is_strict) not in self._planners:
            self._planners[stages, is_strict] = Planner(
                self.graph,
                self.world,
                self.objects,
                self.records,
                self.history,
                self.remote,
                again=stages,
                is_strict=is_strict,
                acceptances=self.acceptances,
            )
        return self._planners[stages, is_strict]

    def _stages_again(self, text: str) -> list[str]:
        found = self.names.all(text)
        if found[0].stage:
            return list(map(str, found))
        return [stage for address in found for stage in self.graph.of_target(address.target)]

    def plan(self, *addresses: str, again: Iterable[str] = (), is_strict: bool = False) -> Plan:
        """The state of each stage, with causes. Writes nothing but the state cache."""
        from spark_build.app.settling import keep, plan_of, recall

        self.look_again()
        again = list(again)
        if (
            not again
            and not self.has_moved
            and (settled := recall(self, addresses, is_strict=is_strict)) is not None
        ):
            self.state.flush()
            return plan_of(self, settled)
        asked = self.stages_of(addresses)
        planner = self.planner(again=again, is_strict=is_strict)
        plan = planner.plan(asked) if asked else Plan(())
        if not again:
            keep(self, addresses, planner, plan, is_strict=is_strict, is_written_down=False)
        plan = self.with_deployments(addresses, plan)
        self.state.flush()
        return plan

    def with_deployments(self, addresses: Iterable[str], plan: Plan) -> Plan:
        """`plan`, and the states of the deployments among `addresses`."""
        deployments = self.deployments_of(addresses)
        if not deployments:
            return plan
        from spark_build.app.deploying import deployment_plan

        return Plan((*plan.stages, *(deployment_plan(self, name, plan) for name in deployments)))

    # build

    def build(
        self, *addresses: str, options: BuildOptions | None = None, listener: Listener | None = None
    ) -> BuildResult:
        """Runs what is stale. Failures are in the result, not raised."""
        from spark_build.app.building import run_build

        self.look_again()
        return run_build(self, addresses, options or BuildOptions(), listener)

    def executor(self, store: Path) -> Executor:
        """Where the stages of a build into `store` run: in processes of this machine."""
        from spark_build.executors.local import LocalExecutor
        from spark_build.stages.direct import direct_command

        return LocalExecutor(store, direct=direct_command, env=self.env)

    # results

    def record_of(self, text: str) -> Record:
        """The Record that counts for a stage as things stand, or that a tag, a profile or a run names.

        Errors: SparkError where it is not built.
        """
        if (address := Address.parse(text)).tag is not None:
            from spark_build.app.overrides import record_named

            return record_named(self, address)
        stage = self.main_stage(text)
        found = self.planner().plan([stage])[stage]
        if found.record is None or found.state not in ("fresh", "restore"):
            raise SparkError(
                f"{stage} is not built as the Sparkfile stands", fix=f"spark build {typed(text)}"
            )
        return found.record

    def main_stage(self, text: str) -> str:
        """The stage that an address stands for: a dataset's version, a model's training."""
        address = self.resolve(text)
        if address.kind == "deployment":
            raise UsageError(f"'{text}' is a deployment", fix="spark status, spark up, spark down")
        return address.main_stage

    def get(
        self,
        text: str,
        to: str | Path,
        *,
        link: bool = False,
        is_locked: bool = False,
        source: str | None = None,
        keys: Sequence[str] = (),
    ) -> Path:
        """A target's Artifact as files under `to`; builds or restores it first. Errors: SparkError.

        `source`: a folder or URL of another project whose result is meant; `keys`: whose publications count there.
        """
        from spark_build.app.results import get

        return get(self, text, Path(to), link=link, is_locked=is_locked, source=source, keys=keys)

    def dataset(self, name: str) -> DatasetFolder:
        """A dataset as a trainer sees it, laid out under the store."""
        from spark_build.app.results import checked_out
        from spark_build.contract.rows import DatasetFolder

        return DatasetFolder(checked_out(self, name if kind_of(name) == "dataset" else f"dataset:{name}"))

    def metrics(self, name: str) -> dict[str, float]:
        """All figures of a model's evaluations; those of a named one as `clean.wer`."""
        target = self.resolve(name if kind_of(name) in KINDS else f"model:{name}").target
        figures: dict[str, float] = {}
        for stage in self.graph.of_target(target):
            kind = self.graph.nodes[stage].kind
            if kind in ("eval", "version"):
                prefix = stage_name(stage).partition("eval.")[2]
                found = self.record_of(stage).metrics
                figures |= {f"{prefix}.{n}" if prefix else n: value for n, value in found.items()}
        return figures


def _last_stages(graph: Graph, targets: Iterable[str]) -> list[str]:
    """Of each target all that a user asks for: a dataset's version; a model's training, evaluations and packages."""
    wanted = {"version", "train", "eval", "package"}
    chosen = set(targets)
    return [stage for stage, node in graph.nodes.items() if node.target in chosen and node.kind in wanted]


def check_against_lock(plan: Plan, lock: Lock) -> None:
    """`--locked`: what would change the lock. Errors: RequirementNotMet, which lists it."""
    differing = []
    for stage in plan.stages:
        if stage.state == "maybe":
            continue
        block = lock.get("stages", stage.stage)
        if block is None:
            differing.append(f"{stage.stage}: not in the lock")
        elif accepted_note(stage.drift) or _differs(stage, block):
            differing.append(f"{stage.stage}: {_first_cause(stage)}")
    if differing:
        lines = "\n".join(f"  {line}" for line in differing)
        accepted = " ".join(f"-B {typed(s.stage)}" for s in plan.stages if accepted_note(s.drift))
        fix = f"spark build {accepted}".rstrip() + ("" if accepted else " without --locked")
        raise RequirementNotMet(f"{LOCK_NAME} does not fit:\n{lines}", fix=f"{fix}, commit the lock")


def _differs(stage: StagePlan, block: Mapping[str, Any]) -> bool:
    return stage.key != block["key"] or (stage.output is not None and stage.output != block["output"])


def _first_cause(stage: StagePlan) -> str:
    from spark_build.report.causes import causes_text

    if (note := accepted_note(stage.drift)) is not None:
        return f"{note} (spark accept; a locked build takes only what was built)"
    reasons: tuple[Reason, ...] = stage.reasons
    return causes_text(reasons, stage.state)[0] if reasons else "another result"


def entry_of(project: Project, result: BuildResult, began: float, command: str) -> BuildEntry:
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    stages = {
        stage: {
            "key": r.record.key if r.record else None,
            "outcome": r.outcome,
            "seconds": round(r.seconds, 3),
            **({"accepted": note} if (note := accepted_note(r.drift)) else {}),
        }
        for stage, r in result.results.items()
    }
    from spark_build.storage.runs import overrides_of

    overrides = overrides_of(project.profile, tuple(project.sets), project.limit)
    return BuildEntry(
        id=build_id(began),
        started=started,
        seconds=round(time.time() - began, 3),
        command=command,
        exit_code=result.exit_code,
        overrides=tuple(overrides),
        stages=stages,
    )


__all__ = ["BuildOptions", "Project"]
