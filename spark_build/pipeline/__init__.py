"""From a Sparkfile to a graph: the one place that knows the order of stages."""

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from spark_build.core.address import Address, stage_name, target_of
from spark_build.core.errors import SparkError
from spark_build.core.forgotten import CAUSE, REASON, all_marks, marks_for_key
from spark_build.core.numerics import Numerics
from spark_build.core.trust import Trust
from spark_build.core.values import Struct, replace
from spark_build.engine.graph import Graph, Input, Node, Requirement, Step
from spark_build.engine.order import cycle_in
from spark_build.pinning import LOCK_NAME, Lock
from spark_build.pipeline.including import Below, mounted
from spark_build.pipeline.project_view import ProjectView
from spark_build.pipeline.second_pass import checked_params, problem
from spark_build.pipeline.trusting import trust_of
from spark_build.pipeline.uses import TRAINING_PARTS, Uses, model_input, part_of_word
from sparkfile_schema import Dataset, Evaluation, Parsed, Path, Problem, Sparkfile, Target, Use
from sparkfile_schema.model import Import
from sparkfile_schema.nodes import find
from sparkfile_schema.suggest import did_you_mean

# what the stages' own runners do; raised when their output changes for the same input
STAGE_REVISIONS = {"ingest": 1, "filter": 2, "version": 1, "train": 1, "eval": 1, "package": 1}
_ROWS = ("data/*", "rejected/")  # of a dataset; its media are read from the store by what these rows refer to
DEFAULT_VERSIONER = Use("snapshot", "snapshot", {}, ())


class Resolved(Struct):
    graph: Graph
    problems: list[Problem]
    unpinned: list[tuple[str, str]]  # hub ids without a revision, and where they stand
    hub_ids: set[str]
    imports: Mapping[str, Import]  # addresses of other projects' results, and whose they are


def resolve(
    parsed: Parsed, project: ProjectView, lock: Lock, *, limit: int | None = None, below: Sequence[Below] = ()
) -> Resolved:
    """The graph of all that the Sparkfile declares and includes, with every problem of the second pass."""
    uses = Uses(parsed.sparkfile, project, lock, frozenset(str(p.at) for p in parsed.problems))
    uses.below = {one.folder: one.graph for one in below}
    return _Resolver(parsed.sparkfile, uses, limit, below).resolve(list(parsed.problems))


class _Resolver(Struct, dict=True):
    file: Sparkfile
    uses: Uses
    limit: int | None = None
    below: Sequence[Below] = ()

    def resolve(self, first_pass: list[Problem]) -> Resolved:
        self._check_unused()
        nodes: list[Node] = []
        for dataset in self.file.datasets.values():
            nodes += self._dataset(dataset)
        for target in self.file.targets.values():
            nodes += self._target(target)
        deployments = self._deployments()
        trust, found = trust_of(self.file, self.uses.project)
        self.uses.problems += found
        unique = {
            str(found): found for found in (*first_pass, *self.uses.problems)
        }  # a gate may be used twice
        problems = sorted(unique.values(), key=lambda p: (p.at.line, p.at.column, p.message))
        problems += [told for one in self.below for told in one.problems]
        nodes += [node for one in self.below for node in mounted(one)]
        graph = Graph({}) if problems else self._graph(nodes, deployments, trust, problems)
        return Resolved(
            graph,
            problems,
            [*self.uses.unpinned, *(told for one in self.below for told in one.unpinned)],
            self.uses.hub_ids.union(*(one.hub_ids for one in self.below)),
            dict(ChainMap(self.uses.imports, *(dict(one.imports) for one in self.below))),
        )

    def _graph(
        self, nodes: list[Node], deployments: Mapping[str, Any], trust: Trust, problems: list[Problem]
    ) -> Graph:
        by_stage = {node.stage: node for node in nodes}
        if cycle := cycle_in({stage: node.waits_for() for stage, node in by_stage.items()}):
            stage = cycle[-1]
            inputs = by_stage[cycle[0]].all_inputs()
            at = next((i.at for _, i in inputs if i.stage == stage and i.at), by_stage[stage].at)
            problems.append(
                problem(self.file, at, f"a cycle: {' → '.join([*cycle, cycle[0]])}", "let one of them go")
            )
            return Graph({})
        return Graph.of(
            nodes,
            libraries_policy=self.file.environment.get("libraries", "compatible"),
            hermetic=self.file.environment.get("hermetic", "warn"),
            ask_above_seconds=float(self.file.limits.get("ask_above", 3600.0)),
            project=self.file.project,
            deployments=deployments,
            store={**self.file.store, "remote_at": self.uses.at(("store", "remote"))},
            trust=trust,
            profiles=self.file.profiles,
        )

    # datasets

    def _dataset(self, dataset: Dataset) -> list[Node]:
        base, at = f"dataset:{dataset.name}", self.uses.at(dataset.path)
        steps = [self.uses.step("source", dataset.source)]
        steps += [self.uses.step("transform", use) for use in dataset.transforms]
        gates = [self.uses.step("gate", use) for use in dataset.gates]
        versioner = self.uses.step("versioner", self._versioner(dataset))
        if any(step is None for step in (*steps, *gates, versioner)):
            return []
        options, where = self._ingest_options(dataset)
        tombstones = self.uses.lock.tombstones(base).values()
        options |= {REASON: marks_for_key(tombstones)} if tombstones else {}
        nodes = [
            self._node(
                f"{base}/ingest",
                "ingest",
                steps,
                at,
                libraries=("pyarrow",),
                options=options,
                given={REASON: all_marks(tombstones)} if tombstones else {},
                where={**where, REASON: (CAUSE, LOCK_NAME)},
                pushes=dataset.push == "all",
            )
        ]
        last = f"{base}/ingest"
        inputs = {"dataset": Input(stage=last, parts=_ROWS, at=at)}
        if gates:
            # what a gate drops is kept under the gate's name
            gates = [replace(gate, told=gate.label) for gate in gates if gate is not None]
            reads = {"dataset": Input(stage=last, parts=("data/*",), at=at)}
            nodes.append(
                self._node(
                    f"{base}/filter",
                    "filter",
                    gates,
                    at,
                    libraries=("pyarrow",),
                    inputs=reads,
                    where=self._list_at(dataset.path, "gates"),
                    pushes=dataset.push == "all",
                )
            )
            inputs = {
                "dataset": Input(stage=f"{base}/filter", parts=_ROWS, at=at),
                "ingest": Input(stage=last, parts=("rejected/",), at=at),
            }
        requires = self._requirements(dataset.require)
        version = f"{base}/version"
        nodes.append(
            self._node(
                version,
                "version",
                [versioner],
                at,
                libraries=("pyarrow",),
                inputs=inputs,
                requires=requires,
                pushes=dataset.push != "none",
            )
        )
        return nodes

    def _versioner(self, dataset: Dataset) -> Use:
        """The dataset's `card:` goes to the versioner, whose own is laid over it."""
        use = dataset.version or replace(DEFAULT_VERSIONER, path=dataset.path)
        own = use.params.get("card", {})
        if not dataset.card or not isinstance(own, Mapping):
            return use
        places: dict[Path, Path] = {("card",): (*dataset.path, "card")}
        places |= {("card", key): (*dataset.path, "card", key) for key in dataset.card if key not in own}
        params = {**use.params, "card": {**dataset.card, **own}}
        return replace(use, params=params, origins={**places, **use.origins})

    def _ingest_options(self, dataset: Dataset) -> tuple[dict[str, Any], dict[str, tuple[str, str | None]]]:
        options: dict[str, Any] = {}
        if (splits := dataset.splits) is not None:
            chosen: dict[str, Any] = {
                "ratios": dict(splits.ratios),
                "group": splits.group,
                "balance": splits.balance,
            }
            chosen |= {"at_least": dict(splits.at_least), "keep": splits.keep}
            options["splits"] = {name: value for name, value in chosen.items() if value}
        if dataset.fields:
            options["fields"] = dict(dataset.fields)
        if dataset.on_error != "reject":
            options["on_error"] = dataset.on_error
        if self.limit is not None:
            options["limit"] = self.limit
        where: dict[str, tuple[str, str | None]] = {  # also of what is not written, and was before
            name: (f"datasets.{dataset.path[-1]}.{name}", self.uses.at((*dataset.path, name)))
            for name in ("splits", "fields", "on_error")
        }
        return options, {**where, **self._list_at(dataset.path, "transforms")}

    def _list_at(self, path: Path, name: str) -> dict[str, tuple[str, str | None]]:
        """Where the Sparkfile lists steps: for causes of a step that came, went or moved."""
        return {name: (".".join(map(str, (*path, name))), self.uses.at((*path, name)))}

    # models

    def _target(self, target: Target) -> list[Node]:
        base, at = f"model:{target.name}", self.uses.at(target.path)
        recipe = self.uses.step("recipe", target.recipe)
        for evaluation in target.evals:
            self._check_figures(evaluation)
        if recipe is None:
            return []
        if not target.roles and recipe.rule != "command":
            if self._has_data(target):  # which the first pass could not read, and has said so
                return []
            self.uses.report(
                at,
                f"target '{target.name}' has no dataset",
                "add dataset: NAME; only a command recipe can do without",
            )
            return []
        train = self._node(f"{base}/train", "train", [recipe], at, inputs=self._roles(target, recipe))
        evals = [node for e in target.evals if (node := self._eval(target, e, train)) is not None]
        packages = [node for use in target.package if (node := self._package(target, use, evals)) is not None]
        self._refuse_twice(packages, target)
        return [train, *evals, *packages]

    def _has_data(self, target: Target) -> bool:
        return any(find(self.file.document, (*target.path, key)) for key in ("dataset", "roles"))

    def _roles(self, target: Target, recipe: Step) -> dict[str, Input]:
        reads = recipe.options.get("reads") or ()
        parts = tuple(part_of_word(word) for word in reads) or TRAINING_PARTS
        found = {}
        for role, name in target.roles.items():
            place = (*target.path, "dataset") if role == "dataset" else (*target.path, "roles", role)
            given = self.uses.dataset(name, parts, self.uses.at(place))
            if given is not None:
                found[role] = given
        return found

    def _eval(self, target: Target, evaluation: Evaluation, train: Node) -> Node | None:
        at = self.uses.at(evaluation.path)
        steps = [self.uses.step("metric", use) for use in evaluation.metrics]
        dataset = evaluation.dataset or target.roles.get("eval") or target.roles.get("dataset")
        dataset = dataset or next(iter(target.roles.values()), None)
        if any(step is None for step in steps):
            return None
        needs_dataset = any(step is not None and step.rule != "command" for step in steps)
        if dataset is None and needs_dataset:
            self.uses.report(
                at, f"the evaluation of '{target.name}' has no dataset", "add dataset: NAME to eval"
            )
            return None
        inputs = {"model": model_input(train.stage, at)}
        if dataset is not None:
            given = self.uses.dataset(dataset, (f"data/{evaluation.split}-*",), at)
            if given is None:
                return None
            inputs["dataset"] = given
        if not self._add_base(inputs, target, evaluation, train):
            return None
        suffix = f".{evaluation.label}" if evaluation.label else ""
        return self._node(
            f"model:{target.name}/eval{suffix}",
            "eval",
            steps,
            at,
            inputs=inputs,
            options={"split": evaluation.split},
            where=self._list_at(evaluation.path, "metrics")
            | {"split": (f"targets.{target.path[-1]}.eval.split", self.uses.at((*evaluation.path, "split")))},
            requires=self._requirements(evaluation.require),
            device_of=train,
        )

    def _add_base(
        self, inputs: dict[str, Input], target: Target, evaluation: Evaluation, train: Node
    ) -> bool:
        needing = [u for u in evaluation.metrics if getattr(self.uses.find("metric", u), "needs_base", False)]
        if not needing:
            return True
        base = train.steps[0].inputs.get("base")
        if base is None:
            at = self.uses.at(needing[0].path)
            self.uses.report(
                at,
                f"metric '{needing[0].label}' compares with the base, and '{target.name}' has none",
                "take it out, or give the target a base",
            )
            return False
        inputs["base"] = base
        return True

    def _check_figures(self, evaluation: Evaluation) -> None:
        """Names under `require` that no metric of the evaluation gives."""
        given: list[str] = []
        for use in evaluation.metrics:
            rule = self.uses.find("metric", use)
            if rule is not None:
                params, _ = checked_params(self.file, rule, use, "metric")
                given += rule.figures(params) if params is not None else ["*"]
        for requirement in evaluation.require:
            if not any(fnmatchcase(requirement.name, pattern) for pattern in given):
                close = did_you_mean(requirement.name, given)
                names = f"'{close}'" if close else ", ".join(sorted(given)) or "no metric is listed"
                position = self.file.position((*evaluation.path, "require", requirement.name), key=True)
                fix = f"did you mean {names}?" if close else f"the metrics here give: {names}"
                self.uses.problems.append(Problem(position, f"no metric gives '{requirement.name}'", fix))

    def _package(self, target: Target, use: Use, evals: list[Node]) -> Node | None:
        step = self.uses.step("exporter", use)
        if step is None:
            return None
        at = self.uses.at(use.path)
        train = f"model:{target.name}/train"
        inputs = {"trained": Input(stage=train, at=at), "model": model_input(train, at)}
        for node in evals:
            inputs[stage_name(node.stage)] = Input(stage=node.stage, at=at)  # 'eval', 'eval.clean'
        return self._node(f"model:{target.name}/package.{use.label}", "package", [step], at, inputs=inputs)

    def _refuse_twice(self, packages: list[Node], target: Target) -> None:
        seen: set[str] = set()
        for node in packages:
            if node.stage in seen:
                self.uses.report(
                    node.at,
                    f"'{target.name}' has two exporters '{stage_name(node.stage).partition('.')[2]}'",
                    "keep one",
                )
            seen.add(node.stage)

    # deployments

    def _deployments(self) -> dict[str, dict[str, Any]]:
        found = {}
        for deployment in self.file.deployments.values():
            step = self.uses.step("server", deployment.server)
            at = self.uses.at((*deployment.path, "model"))
            is_whole = Address.parse(deployment.model).kind is not None  # of an included Sparkfile
            given = self.uses.model(deployment.model if is_whole else f"model:{deployment.model}", at)
            if step is None or given is None:
                continue
            found[deployment.name] = {
                "rule": step.rule,
                "impl": step.impl,
                "revision": step.revision,
                "code": list(step.code),
                "values": dict(step.values),
                "params": dict(step.params),
                "stage": given.stage,
                "artifact": given.artifact,
                "artifact_parts": given.artifact_parts,
                "guards": self.uses.guards(given),
                "at": self.uses.at(deployment.path),
            }
        return found

    # nodes

    def _node(
        self,
        stage: str,
        kind: str,
        steps: Iterable[Step | None],
        at: str,
        *,
        inputs: Mapping[str, Input] | None = None,
        device_of: Node | None = None,
        where: Mapping[str, tuple[str, str | None]] | None = None,
        **rest: Any,
    ) -> Node:
        made = tuple(step for step in steps if step is not None)
        places = {**(where or {}), **self._libraries_at}
        node = Node(
            stage, kind, made, STAGE_REVISIONS[kind], inputs=inputs or {}, at=at, where=places, **rest
        )
        guards = {g for _, given in node.all_inputs() for g in self.uses.guards(given)}
        if kind in ("train", "eval", "ingest", "filter", "version"):  # none waits for what is its own
            guards = {g for g in guards if target_of(g) != node.target}
        return replace(node, guards=tuple(sorted(guards)), **self._machine(made, at, device_of))

    @cached_property
    def _libraries_at(self) -> dict[str, tuple[str, str | None]]:
        """Where the Sparkfile says which digits of a version count."""
        path = ("environment", "libraries")
        is_written = find(self.file.document, path) is not None
        return {".".join(path): (".".join(path), self.uses.at(path))} if is_written else {}

    def _machine(self, steps: tuple[Step, ...], at: str, device_of: Node | None) -> dict[str, Any]:
        """Numerics and resources: of the steps' uses, of the project, or of the training that is evaluated."""
        declared: dict[str, Any] = {}
        resources: dict[str, Any] = dict(device_of.resources) if device_of is not None else {}
        for step in steps:
            declared |= step.numerics
            resources |= step.resources
        if cpus := [step.resources["cpus"] for step in steps if "cpus" in step.resources]:
            resources["cpus"] = max(cpus)
        if not any(step.uses_model for step in steps):
            return {"resources": resources}
        layers: list[Mapping[str, Any]] = [self.file.numerics]
        if device_of is not None and device_of.numerics is not None:
            layers.append(device_of.numerics)
        elif resources.get("gpus"):
            layers.append({"device": "cuda"})
        try:
            numerics = Numerics.of(*layers, declared)
        except SparkError as error:
            self.uses.report(at, error.message, error.fix)
            return {}
        if resources.get("gpus") and numerics.device != "cuda":
            self.uses.report(
                at, "resources ask for a GPU and numerics.device is cpu", "numerics: {device: cuda}"
            )
        return {"numerics": numerics.to_json(), "resources": resources}

    def _requirements(self, found: Iterable[Any]) -> tuple[Requirement, ...]:
        return tuple(
            Requirement(r.name, r.text, self.uses.at(r.path), r.low, r.high, r.low_open, r.high_open)
            for r in found
        )

    def _check_unused(self) -> None:
        """Rules that nobody uses yet are checked as well."""
        for family, use in self.file.uses:
            self.uses.step(family, use)
