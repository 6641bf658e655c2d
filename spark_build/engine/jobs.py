"""Jobs from actions: inputs laid out, folders made, params filled in; and results taken into the store."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spark_build.core.bytecode import drop_stale_bytecode
from spark_build.core.digest import Digest
from spark_build.core.disk import disk_problems
from spark_build.core.files import remove_folder
from spark_build.core.job import Job, JobResult, JobStep
from spark_build.core.moved import InputMoved
from spark_build.core.ports import Objects, Records, WatchedWorld
from spark_build.core.record import Record
from spark_build.core.tree import Entry, Tree
from spark_build.core.undeclared import NOTE
from spark_build.core.values import Struct, replace
from spark_build.engine import previous
from spark_build.engine.action import loose_key_of, operation_in
from spark_build.engine.graph import Input, Node, absolute_impl
from spark_build.engine.moved import Watch
from spark_build.engine.plan import StagePlan

OutputOf = Callable[[str], Digest]  # a finished stage's Artifact

_FRESH_SECONDS = 1.0  # what starts so soon after the plan need not be looked at before it runs


class Folders(Struct, frozen=True):
    """Where one action works: `work/<key>/`."""

    root: Path

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def attempt(self) -> Path:
        return self.root / "attempt"

    @property
    def previous(self) -> Path:
        return self.root / "previous"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"


class Workshop:
    """Prepares jobs and takes their results in."""

    def __init__(
        self,
        project: Path,
        store: Path,
        objects: Objects,
        records: Records,
        world: WatchedWorld,
        look_again: Callable[[], WatchedWorld],
        *,
        hermetic: str = "warn",
        libraries_policy: str = "exact",
        publishes: bool = True,
        bring: Callable[[Digest], None] | None = None,
        recall: Callable[[str], None] | None = None,
    ) -> None:
        """`bring` gets a pinned or tagged result into the store where it is not here.

        `recall` is told of each stage before it runs: what others found of its items may be had.
        """
        self.project, self.store = project, store
        self.objects, self.records, self.world, self.look_again = objects, records, world, look_again
        self.hermetic, self.libraries_policy = hermetic, libraries_policy
        self.bring, self.recall = bring, recall
        self.publishes = publishes
        self._planned_at = time.monotonic()
        self._laid_out: dict[str, list[Tree]] = {}  # work folder -> what lies under its inputs/ and previous/
        self._read: dict[str, dict[str, Digest]] = {}  # work folder -> the Artifacts that it reads, by input
        self._watches: dict[str, Watch] = {}  # work folder -> what it reads besides

    def folders(self, key: Digest) -> Folders:
        return Folders(self.store / "work" / key)

    def prepare(self, node: Node, plan: StagePlan, output_of: OutputOf, *, limit: int | None = None) -> Job:
        """A job whose inputs lie ready. What an earlier attempt left in `scratch` stays; who needs one makes it.

        Errors: StoreDamaged where an input's object is not what it should be; InputMoved where the project is
        not what the plan saw; Unavailable where the disk refuses.
        """
        with disk_problems(f"{self.store}/work"):
            return self._prepare(node, plan, output_of, limit)

    def _prepare(self, node: Node, plan: StagePlan, output_of: OutputOf, limit: int | None) -> Job:
        assert plan.key is not None
        assert plan.manifest is not None
        if self.recall is not None:
            self.recall(node.stage)
        folders = self.folders(plan.key)
        watch = self._watch(node, plan.manifest, folders)
        for folder in (folders.inputs, folders.attempt, folders.previous):
            _remove(folder)
        os.makedirs(folders.attempt, exist_ok=True)
        inputs = self._lay_out(node.inputs, "", folders, output_of)
        self._read[str(folders.root)] = {
            name: output_of(given.stage) for name, given in _read_by_items(node) if given.stage is not None
        }
        steps = tuple(
            self._step(node, index, plan.manifest, folders, output_of) for index in range(len(node.steps))
        )
        self._drop_stale_bytecode(node)
        log = self._log_name(plan.key)
        job = Job(
            stage=node.stage,
            kind=node.kind,
            key=plan.key,
            manifest=plan.manifest,
            steps=steps,
            inputs=inputs,
            project=str(self.project / node.folder),
            store=str(self.store),
            output=str(folders.attempt),
            scratch=str(folders.scratch),
            events=str(self.store / "logs" / f"{log}.events.jsonl"),
            result=str(folders.root / "result.json"),
            seed=_seed(node),
            numerics=node.numerics or {},
            resources=node.resources,
            secrets=tuple(sorted({s for step in node.steps for s in step.secrets})),
            env=tuple(sorted({e for step in node.steps for e in step.env})),
            hub={name: f"{i.hub}@{i.revision}" for name, i in node.all_inputs() if i.hub is not None},
            limit=limit,
            publishes=self.publishes,
            hermetic=self.hermetic,
            reads=(*(str(self.project / path) for path in _reads(node)), *self._tools(node)),
            seen=watch.seen,
            options={**node.options, **node.given, **self._listing(node, folders)},
            previous=self._previous(node, plan, folders),
        )
        os.makedirs(os.path.dirname(job.events), exist_ok=True)
        for left in (job.result, job.taken):
            with suppress(FileNotFoundError):
                os.unlink(left)
        return job

    def take_in(
        self,
        node: Node,
        plan: StagePlan,
        job: Job,
        result: JobResult,
        started: datetime,
        seconds: float,
        told: dict[str, Any],
    ) -> tuple[Record, Record | None]:
        """The Record of a finished job, written last of all; and the one beside it where two results differ.

        Errors: InputMoved where the stage changed its inputs, or an input changed while it ran.
        """
        self._check_links(node.stage, job)
        self._watches[str(self.folders(job.key).root)].check(result.notes.get(NOTE, {}))
        sources = self._listings(node)
        tree = self.objects.add_folder(Path(job.output), _taken(job))
        record = replace(self._record(node, plan, tree, job, result, sources, started, seconds), told=told)
        other = self.records.put(record)
        return record, other

    def has_moved(self, job: Job) -> bool:
        """Whether what it read moved while it ran: what lies in its scratch is of no action then."""
        return self._watches[str(self.folders(job.key).root)].has_moved

    def clean(self, key: Digest, *, keeps_scratch: bool = False) -> None:
        """Nothing of an action that has ended stays under work/ but its lease, which goes when it is released.

        A failed one keeps its scratch: the next attempt goes on from there.
        """
        folders = self.folders(key)
        if keeps_scratch:
            with suppress(OSError):  # a disk that is full
                os.makedirs(folders.scratch, exist_ok=True)  # a user is told where it is
        self._laid_out.pop(str(folders.root), None)
        self._read.pop(str(folders.root), None)
        self._watches.pop(str(folders.root), None)
        with suppress(FileNotFoundError):
            for left in list(os.scandir(folders.root)):
                if left.is_dir(follow_symlinks=False) and not (
                    keeps_scratch and left.name == folders.scratch.name
                ):
                    remove_folder(left.path)
                elif left.name.endswith(".json"):
                    os.unlink(left.path)

    def _record(
        self,
        node: Node,
        plan: StagePlan,
        tree: Tree,
        job: Job,
        result: JobResult,
        sources: dict[str, Digest],
        started: datetime,
        seconds: float,
    ) -> Record:
        assert plan.key is not None
        assert plan.manifest is not None
        names = {n for step in node.steps for n in step.libraries} | set(node.libraries)
        events = Path(job.events).name
        return Record(
            key=plan.key,
            loose_key=loose_key_of(plan.manifest),
            stage=node.stage,
            manifest=plan.manifest,
            output=tree.digest,
            parts=tree.parts(),
            size=tree.size,
            seconds=round(seconds, 3),
            started=started.astimezone(UTC).isoformat(timespec="seconds"),
            metrics=dict(result.metrics),
            items=dict(result.items) if result.items is not None else None,
            notes={**_inherited(plan, result), **result.notes},
            libraries={name: version for name in sorted(names) if (version := self.world.library(name))},
            log=events.removesuffix(".events.jsonl") + ".log",
            events=events,
            sources=sources,
            read=self._read.get(str(self.folders(plan.key).root), {}),
        )

    def _step(
        self, node: Node, index: int, manifest: Mapping[str, Any], folders: Folders, output_of: OutputOf
    ) -> JobStep:
        step, own = node.steps[index], manifest["steps"][index]
        return JobStep(
            rule=step.rule,
            impl=absolute_impl(step.impl, self.project / step.folder),
            params=step.values,
            operation=operation_in(node, step, own, self.hermetic),
            inputs=self._lay_out(step.inputs, f"{index}.", folders, output_of),
            options=step.options,
            label=step.label,
            manifest=own,
        )

    def _tools(self, node: Node) -> list[str]:
        """Where they lie: a script in the project is read by its interpreter."""
        files = (self.world.tool_file(name) for step in node.steps for name in step.tools)
        return [file for file in files if file is not None]

    def _listing(self, node: Node, folders: Folders) -> dict[str, Any]:
        """Of an ingest's source: what was hashed for the key need not be hashed again."""
        given = node.steps[0].inputs.get("path") if node.kind == "ingest" else None
        if given is None or given.path is None:
            return {}
        file = folders.root / "listing.json"
        file.write_bytes(self.world.tree(given.path).listing)
        return {"listing": str(file)}

    def _previous(self, node: Node, plan: StagePlan, folders: Folders) -> dict[str, Any]:
        assert plan.manifest is not None
        if plan.last is None or not previous.goes_on_from(node.kind, plan.last, plan.manifest):
            return {}
        laid_out, trees = previous.lay_out(self.objects, plan.last, folders.previous)
        self._laid_out.setdefault(str(folders.root), []).extend(trees)
        return laid_out

    def _lay_out(
        self, inputs: Mapping[str, Input], prefix: str, folders: Folders, output_of: OutputOf
    ) -> dict[str, str]:
        laid = {}
        for name, given in inputs.items():
            if given.path is not None:
                laid[name] = str(self.project / given.path)
            elif given.hub is None:
                to = folders.inputs / f"{prefix}{name}"
                tree = self._tree(given, output_of)
                self.objects.check_out(tree, to, link=True)
                self._laid_out.setdefault(str(folders.root), []).append(tree)
                laid[name] = str(to / given.folder) if given.folder else str(to)
        return laid

    def _tree(self, given: Input, output_of: OutputOf) -> Tree:
        if given.artifact is not None and self.bring is not None:
            self.bring(given.artifact)
        tree = self.objects.tree(given.artifact or output_of(given.stage or ""))
        if not given.parts:
            return tree
        return Tree.of({entry for part in given.parts for entry in tree.select(part)})

    def _check_links(self, stage: str, job: Job) -> None:
        trees = self._laid_out.pop(str(self.folders(job.key).root), [])
        if changed := [path for tree in trees for path in self.objects.changed_links(tree)]:
            raise InputMoved(
                f"{stage} wrote into its inputs: {', '.join(changed[:5])}",
                fix="inputs are read-only; copy what has to change into {scratch} or {output}. "
                "The changed objects were set aside and are built again when needed",
            )

    def _watch(self, node: Node, manifest: Mapping[str, Any], folders: Folders) -> Watch:
        watch = Watch(node, dict(manifest), self.world, self.look_again, self.libraries_policy)
        if time.monotonic() - self._planned_at > _FRESH_SECONDS:
            watch.start()
        self._watches[str(folders.root)] = watch
        return watch

    def _listings(self, node: Node) -> dict[str, Digest]:
        """Of the project inputs, kept as objects."""
        return {
            name: self.objects.write(self.world.tree(given.path).listing)
            for name, given in node.all_inputs()
            if given.path is not None
        }

    def _drop_stale_bytecode(self, node: Node) -> None:
        """The code that is run is the code that the key holds."""
        for step in node.steps:
            for path in step.code:
                if path.endswith(".py"):
                    drop_stale_bytecode(str(self.project / step.code_path(path)))

    def _log_name(self, key: Digest) -> str:
        return f"{key[:16]}-{datetime.now(UTC):%Y%m%d%H%M%S%f}"


def _read_by_items(node: Node) -> Iterator[tuple[str, Input]]:
    """What a stage may go on from: the dataset that it works on, or that its source reads."""
    yield from node.inputs.items()
    if node.kind == "ingest":
        name = previous.read_by_items({"rule": node.steps[0].rule})
        if name in node.steps[0].inputs:
            yield f"0.{name}", node.steps[0].inputs[name]


def _taken(job: Job) -> tuple[Entry, ...]:
    """What the result holds besides the attempt's files: nothing where the runner did not say."""
    with suppress(FileNotFoundError):
        return Tree.parse(job.taken.read_bytes()).entries
    return ()


def _inherited(plan: StagePlan, result: JobResult) -> dict[str, Any]:
    """What the last run touched and did not declare, where this one took over what that one had found."""
    last, is_remembered = plan.last, bool((result.items or {}).get("remembered"))
    if last is None or not is_remembered or NOTE not in last.notes:
        return {}
    code = [
        [(s["rule"], s.get("code")) for s in m.get("steps", [])] for m in (last.manifest, plan.manifest or {})
    ]
    return {NOTE: last.notes[NOTE]} if code[0] == code[1] else {}


def _reads(node: Node) -> tuple[str, ...]:
    """The project files and folders that the Sparkfile names for the stage, and its rules' own code."""
    paths = {given.path for _, given in node.all_inputs() if given.path is not None}
    return tuple(sorted(paths.union(*(map(step.code_path, step.code) for step in node.steps))))


def _seed(node: Node) -> int:
    """The `seed` of a rule, or of a command's own params; 0 where nobody names one."""
    values = (v for s in node.steps for v in (s.values, s.values.get("params")) if isinstance(v, dict))
    return next((v["seed"] for v in values if type(v.get("seed")) is int), 0)


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        remove_folder(os.fspath(folder))
