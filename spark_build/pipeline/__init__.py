"""From a Sparkfile to a graph: the one place that knows the order of stages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from spark_build import rulebook
from spark_build.contract.params import Needs
from spark_build.core.address import Address
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.numerics import Numerics
from spark_build.engine.graph import Graph, Input, Node, Requirement, Step
from spark_build.pinning import Lock
from spark_build.pipeline.project_view import ProjectView
from spark_build.pipeline.second_pass import checked_params, problem
from sparkfile_schema import Dataset, Evaluation, Parsed, Problem, Sparkfile, Target, Use
from sparkfile_schema.suggest import did_you_mean

# what the stages' own runners do; raised when their output changes for the same input
STAGE_REVISIONS = {"ingest": 1, "filter": 1, "version": 1, "train": 1, "eval": 1, "package": 1}
TRAINING_PARTS = ("data/train-*", "data/validation-*")
DEFAULT_VERSIONER = Use("snapshot", "snapshot", {}, ())


@dataclass
class Resolved:
    graph: Graph
    problems: list[Problem]
    unpinned: list[tuple[str, str]]  # hub ids without a revision, and where they stand
    hub_ids: set[str]


def resolve(parsed: Parsed, project: ProjectView, lock: Lock, *, limit: int | None = None) -> Resolved:
    """The graph of all that the Sparkfile declares, with every problem of the second pass."""
    return _Resolver(parsed.sparkfile, project, lock, limit).resolve(list(parsed.problems))


@dataclass
class _Resolver:
    file: Sparkfile
    project: ProjectView
    lock: Lock
    limit: int | None = None
    problems: list[Problem] = field(default_factory=list)
    unpinned: list[tuple[str, str]] = field(default_factory=list)
    hub_ids: set[str] = field(default_factory=set)

    def resolve(self, first_pass: list[Problem]) -> Resolved:
        self._check_unused()
        nodes: list[Node] = []
        for dataset in self.file.datasets.values():
            nodes += self._dataset(dataset)
        for target in self.file.targets.values():
            nodes += self._target(target)
        deployments = self._deployments()
        unique = {str(found): found for found in (*first_pass, *self.problems)}  # a gate may be used twice
        problems = sorted(unique.values(), key=lambda p: (p.at.line, p.at.column, p.message))
        graph = Graph({}) if problems else self._graph(nodes, deployments, problems)
        return Resolved(graph, problems, self.unpinned, self.hub_ids)

    def _graph(self, nodes: list[Node], deployments: Mapping[str, Any], problems: list[Problem]) -> Graph:
        by_stage = {node.stage: node for node in nodes}
        if cycle := _cycle(by_stage):
            stage = cycle[-1]
            at = next(i.at for _, i in by_stage[stage].all_inputs() if i.stage == cycle[0])
            problems.append(problem(self.file, at, f"a cycle: {' → '.join([*cycle, cycle[0]])}", "let one of them go"))
            return Graph({})
        return Graph.of(
            nodes,
            libraries_policy=self.file.environment.get("libraries", "compatible"),
            ask_above_seconds=float(self.file.limits.get("ask_above", 3600.0)),
            project=self.file.project,
            deployments=deployments,
            store=dict(self.file.store),
        )

    # datasets

    def _dataset(self, dataset: Dataset) -> list[Node]:
        base, at = f"dataset:{dataset.name}", self._at(dataset.path)
        steps = [self._step("source", dataset.source)]
        steps += [self._step("transform", use) for use in dataset.transforms]
        gates = [self._step("gate", use) for use in dataset.gates]
        versioner = self._step("versioner", dataset.version or replace(DEFAULT_VERSIONER, path=dataset.path))
        if any(step is None for step in (*steps, *gates, versioner)):
            return []
        options, where = self._ingest_options(dataset)
        nodes = [self._node(f"{base}/ingest", "ingest", steps, at, libraries=("pyarrow",), options=options, where=where)]
        last = f"{base}/ingest"
        inputs = {"dataset": Input(stage=last, at=at)}
        if gates:
            reads = {"dataset": Input(stage=last, parts=("data/*",), at=at)}
            nodes.append(self._node(f"{base}/filter", "filter", gates, at, libraries=("pyarrow",), inputs=reads))
            inputs = {
                "dataset": Input(stage=f"{base}/filter", at=at),
                "ingest": Input(stage=last, parts=("rejected/",), at=at),
            }
        card = {"card": dict(dataset.card)} if dataset.card else {}
        nodes.append(
            self._node(
                f"{base}/version",
                "version",
                [versioner],
                at,
                libraries=("pyarrow",),
                inputs=inputs,
                options=card,
                where={"card": (f"datasets.{dataset.name}.card", self._at((*dataset.path, "card")))},
                requires=self._requirements(dataset.require),
            )
        )
        return nodes

    def _ingest_options(self, dataset: Dataset) -> tuple[dict[str, Any], dict[str, tuple[str, str | None]]]:
        options: dict[str, Any] = {}
        if (splits := dataset.splits) is not None:
            chosen = {"ratios": dict(splits.ratios), "group": splits.group, "balance": splits.balance}
            chosen |= {"at_least": dict(splits.at_least), "keep": splits.keep}
            options["splits"] = {name: value for name, value in chosen.items() if value}
        if dataset.fields:
            options["fields"] = dict(dataset.fields)
        if dataset.on_error != "reject":
            options["on_error"] = dataset.on_error
        if self.limit is not None:
            options["limit"] = self.limit
        where = {
            name: (f"datasets.{dataset.name}.{name}", self._at((*dataset.path, name))) for name in options
        }
        return options, where

    # models

    def _target(self, target: Target) -> list[Node]:
        base, at = f"model:{target.name}", self._at(target.path)
        recipe = self._step("recipe", target.recipe)
        for evaluation in target.evals:
            self._check_figures(evaluation)
        if recipe is None:
            return []
        if not target.roles and recipe.rule != "command":
            self._report(at, f"target '{target.name}' has no dataset", "add dataset: NAME; only a command recipe can do without")
            return []
        train = self._node(f"{base}/train", "train", [recipe], at, inputs=self._roles(target, recipe))
        evals = [node for e in target.evals if (node := self._eval(target, e, train)) is not None]
        packages = [node for use in target.package if (node := self._package(target, use, evals)) is not None]
        self._refuse_twice(packages, target)
        return [train, *evals, *packages]

    def _roles(self, target: Target, recipe: Step) -> dict[str, Input]:
        reads = recipe.options.get("reads") or ()
        parts = tuple(_part_of_word(word) for word in reads) or TRAINING_PARTS
        return {
            role: Input(
                stage=f"dataset:{name}/version",
                parts=parts,
                at=self._at((*target.path, "dataset") if role == "dataset" else (*target.path, "roles", role)),
            )
            for role, name in target.roles.items()
        }

    def _eval(self, target: Target, evaluation: Evaluation, train: Node) -> Node | None:
        at = self._at(evaluation.path)
        steps = [self._step("metric", use) for use in evaluation.metrics]
        dataset = evaluation.dataset or target.roles.get("eval") or target.roles.get("dataset")
        dataset = dataset or next(iter(target.roles.values()), None)
        if any(step is None for step in steps):
            return None
        needs_dataset = any(step is not None and step.rule != "command" for step in steps)
        if dataset is None and needs_dataset:
            self._report(at, f"the evaluation of '{target.name}' has no dataset", "add dataset: NAME to eval")
            return None
        inputs = {"model": _model_input(train.stage, at)}
        if dataset is not None:
            inputs["dataset"] = Input(stage=f"dataset:{dataset}/version", parts=(f"data/{evaluation.split}-*",), at=at)
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
            where={"split": (f"targets.{target.name}.eval.split", self._at((*evaluation.path, "split")))},
            requires=self._requirements(evaluation.require),
            device_of=train,
        )

    def _add_base(self, inputs: dict[str, Input], target: Target, evaluation: Evaluation, train: Node) -> bool:
        needing = [u for u in evaluation.metrics if getattr(self._find("metric", u), "needs_base", False)]
        if not needing:
            return True
        base = train.steps[0].inputs.get("base")
        if base is None:
            at = self._at(needing[0].path)
            self._report(at, f"metric '{needing[0].label}' compares with the base, and '{target.name}' has none", "take it out, or give the target a base")
            return False
        inputs["base"] = base
        return True

    def _check_figures(self, evaluation: Evaluation) -> None:
        """Names under `require` that no metric of the evaluation gives."""
        given: list[str] = []
        for use in evaluation.metrics:
            rule = self._find("metric", use)
            if rule is not None:
                params, _ = checked_params(self.file, rule, use, "metric")
                given += rule.figures(params) if params is not None else ["*"]
        for requirement in evaluation.require:
            if not any(fnmatchcase(requirement.name, pattern) for pattern in given):
                close = did_you_mean(requirement.name, given)
                names = f"'{close}'" if close else ", ".join(sorted(given)) or "no metric is listed"
                position = self.file.position((*evaluation.path, "require", requirement.name), key=True)
                fix = f"did you mean {names}?" if close else f"the metrics here give: {names}"
                self.problems.append(Problem(position, f"no metric gives '{requirement.name}'", fix))

    def _package(self, target: Target, use: Use, evals: list[Node]) -> Node | None:
        step = self._step("exporter", use)
        if step is None:
            return None
        at = self._at(use.path)
        train = f"model:{target.name}/train"
        inputs = {"trained": Input(stage=train, at=at), "model": _model_input(train, at)}
        for node in evals:
            inputs[node.stage.partition("/")[2]] = Input(stage=node.stage, at=at)  # 'eval', 'eval.clean'
        return self._node(f"model:{target.name}/package.{use.label}", "package", [step], at, inputs=inputs)

    def _refuse_twice(self, packages: list[Node], target: Target) -> None:
        seen: set[str] = set()
        for node in packages:
            if node.stage in seen:
                self._report(node.at, f"'{target.name}' has two exporters '{node.stage.rpartition('.')[2]}'", "keep one")
            seen.add(node.stage)

    # deployments

    def _deployments(self) -> dict[str, dict[str, Any]]:
        found = {}
        for deployment in self.file.deployments.values():
            step = self._step("server", deployment.server)
            at = self._at((*deployment.path, "model"))
            text = deployment.model if deployment.model.startswith("model:") else f"model:{deployment.model}"
            given = self._model(text, at)
            if step is None or given is None:
                continue
            found[deployment.name] = {
                "rule": step.rule,
                "impl": step.impl,
                "revision": step.revision,
                "values": dict(step.values),
                "params": dict(step.params),
                "stage": given.stage,
                "artifact": given.artifact,
                "artifact_parts": given.artifact_parts,
                "guards": self._guards(given),
                "at": self._at(deployment.path),
            }
        return found

    # rules

    def _find(self, family: str, use: Use) -> Any:
        try:
            return rulebook.find(family, use.rule, self.project.root).rule
        except SparkError:
            return None

    def _step(self, family: str, use: Use) -> Step | None:
        """One checked use of a rule; None where it has a problem, which is reported."""
        try:
            found = rulebook.find(family, use.rule, self.project.root)
        except SparkError as error:
            self._report_use(family, use, error)
            return None
        params, problems = checked_params(self.file, found.rule, use, family)
        self.problems += problems
        if params is None:
            return None
        try:
            needs = found.rule.needs(params, self.project)
        except SparkError as error:
            self.problems.append(problem(self.file, use.path, error.message, error.fix))
            return None
        inputs = self._inputs(needs, use, found.rule)
        return self._made(family, use, found, params, needs, inputs)

    def _made(self, family: str, use: Use, found: rulebook.Found, params: Any, needs: Needs, inputs: dict[str, Input]) -> Step:
        rule = found.rule
        code = set(needs.code)
        if found.is_own:
            code |= set(self.project.python_closure(found.impl.rpartition(":")[0].removeprefix("./")))
        for path in needs.probed:
            self.project.exists(path)
        options = dict(use.options) | ({"reads": list(needs.reads)} if needs.reads else {})
        return Step(
            rule=use.rule if not found.is_own else found.impl.removeprefix("./"),
            family=family,
            impl=found.impl,
            label=use.label,
            revision=None if found.is_own else rule.revision,
            code=tuple(sorted(code)),
            params=_keyed_params(rule, params, use),
            values=_plain(params),
            decides=params.marked("decides"),
            libraries=tuple(sorted(rule.libraries_of(params))),
            inputs=inputs,
            env=tuple(sorted({*needs.env, *use.env})),
            tools=tuple(sorted(needs.tools)),
            secrets=tuple(sorted({*needs.secrets, *_secrets_in(use)})),
            options=options,
            numerics=dict(use.numerics),
            resources=dict(use.resources),
            uses_model=rule.uses_model,
            reproducible=rule.reproducible,
            where=self._where(use),
        )

    def _inputs(self, needs: Needs, use: Use, rule: Any) -> dict[str, Input]:
        inputs: dict[str, Input] = {}
        for name, path in needs.paths.items():
            inputs[name] = Input(path=path, at=self._param_at(use, name), name=name)
        for name, text in needs.models.items():
            if (given := self._model(text, self._param_at(use, name))) is not None:
                inputs[name] = given
        for name, text in needs.datasets.items():
            if (given := self._dataset_input(text, needs, self._param_at(use, name))) is not None:
                inputs[name] = given
        for name, hub in needs.hub.items():
            inputs[name] = self._hub(hub, self._param_at(use, name))
        return inputs

    def _hub(self, text: str, at: str) -> Input:
        self.hub_ids.add(text)
        revision = self.lock.revision_of(text)
        if revision is None:
            self.unpinned.append((text, at))
        return Input(hub=text.partition("@")[0], revision=revision, at=at)

    def _dataset_input(self, text: str, needs: Needs, at: str) -> Input | None:
        address = Address.parse(text)
        if address.kind not in (None, "dataset") or address.name not in self.file.datasets:
            self._report(at, f"no dataset '{text}'", _suggest(address.name, self.file.datasets, "dataset"))
            return None
        parts = tuple(_part_of_word(word) for word in needs.reads) or TRAINING_PARTS
        return Input(stage=f"dataset:{address.name}/version", parts=parts, at=at)

    def _model(self, text: str, at: str) -> Input | None:
        """What a reference to a model reads: the `model/` part of its train output, or an exporter's whole one."""
        try:
            address = Address.parse(text)
        except UsageError as error:
            self._report(at, error.message, error.fix)
            return None
        if address.tag is not None:
            return self._tagged(address, at)
        target = self.file.targets.get(address.name)
        if target is None:
            self._report(at, f"no model '{address.name}'", _suggest(address.name, self.file.targets, "target"))
            return None
        stage = address.stage or "train"
        if stage == "train":
            return _model_input(f"model:{address.name}/train", at)
        exporters = [f"package.{use.label}" for use in target.package]
        if stage not in exporters:
            self._report(at, f"'{text}' has no stage '{stage}'", f"it has train{''.join(f', {e}' for e in exporters)}")
            return None
        return Input(stage=f"model:{address.name}/{stage}", at=at)

    def _tagged(self, address: Address, at: str) -> Input | None:
        name = f"model:{address.name}@{address.tag}"
        block = self.lock.tag(name)
        if block is None:
            self._report(at, f"no tag '{name}' in the lock", f"spark tag {name}")
            return None
        return Input(artifact=block["output"], artifact_parts=block["parts"], parts=("model/",), folder="model", at=at)

    def _guards(self, given: Input) -> tuple[str, ...]:
        """Evaluations with `require` of the model that is read: they must have passed, but are not in the key."""
        if given.stage is None or not given.stage.startswith("model:"):
            return ()
        target = self.file.targets[given.stage.partition("/")[0].removeprefix("model:")]
        return tuple(
            f"model:{target.name}/eval{f'.{e.label}' if e.label else ''}" for e in target.evals if e.require
        )

    # nodes

    def _node(self, stage: str, kind: str, steps: Iterable[Step | None], at: str, *, inputs: Mapping[str, Input] | None = None, device_of: Node | None = None, **rest: Any) -> Node:
        made = tuple(step for step in steps if step is not None)
        node = Node(stage, kind, made, STAGE_REVISIONS[kind], inputs=inputs or {}, at=at, **rest)
        own = f"{node.target}/eval"
        guards = {g for _, given in node.all_inputs() for g in self._guards(given)}
        if kind in ("train", "eval"):  # a model's own evaluation does not wait for itself
            guards = {g for g in guards if not g.startswith(own)}
        return replace(node, guards=tuple(sorted(guards)), **self._machine(made, at, device_of))

    def _machine(self, steps: tuple[Step, ...], at: str, device_of: Node | None) -> dict[str, Any]:
        """Numerics and resources: of the steps' uses, of the project, or of the training that is evaluated."""
        declared: dict[str, Any] = {}
        resources: dict[str, Any] = dict(device_of.resources) if device_of is not None else {}
        for step in steps:
            declared |= step.numerics
            resources |= step.resources
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
            self._report(at, error.message, error.fix)
            return {}
        if resources.get("gpus") and numerics.device != "cuda":
            self._report(at, "resources ask for a GPU and numerics.device is cpu", "numerics: {device: cuda}")
        return {"numerics": numerics.to_json(), "resources": resources}

    # places and problems

    def _at(self, path: tuple[str | int, ...]) -> str:
        return str(self.file.position(path))

    def _param_at(self, use: Use, name: str) -> str:
        for origin in (use.origins.get((name,)), use.origins.get(("inputs", name))):
            if origin is not None:
                return self._at(origin)
        return self._at(use.path)

    def _where(self, use: Use) -> dict[str, tuple[str, str | None]]:
        where: dict[str, tuple[str, str | None]] = {"": (_dotted(use.path), self._at(use.path))}
        for place, origin in use.origins.items():
            where[".".join(map(str, place))] = (_dotted(origin), self._at(origin))
        return where

    def _requirements(self, found: Iterable[Any]) -> tuple[Requirement, ...]:
        return tuple(
            Requirement(r.name, r.text, self._at(r.path), r.low, r.high, r.low_open, r.high_open) for r in found
        )

    def _report(self, at: str | tuple[str | int, ...], message: str, fix: str | None) -> None:
        self.problems.append(problem(self.file, at, message, fix))

    def _report_use(self, family: str, use: Use, error: SparkError) -> None:
        path = (*use.path, "use") if isinstance(use.path, tuple) else use.path
        close = did_you_mean(use.rule, rulebook.names(family))
        fix = f"did you mean '{close}'?" if close else error.fix
        self.problems.append(problem(self.file, path, error.message, fix))

    def _check_unused(self) -> None:
        """Rules that nobody uses yet are checked as well."""
        for family, use in self.file.uses:
            self._step(family, use)


def _model_input(stage: str, at: str) -> Input:
    return Input(stage=stage, parts=("model/",), folder="model", at=at)


def _part_of_word(word: str) -> str:
    return {"card": "card", "rejected": "rejected/"}.get(word, f"data/{word}-*")


def _keyed_params(rule: Any, params: Any, use: Use) -> dict[str, Any]:
    """Params as the key sees them: references are inputs, secrets don't count, env stands as its template."""
    keyed = dict(rule.keyed(params))
    for place, template in use.templates.items():
        name = str(place[0])
        if name in keyed and "${env." in template:
            keyed[name] = _replaced(keyed[name], place[1:], template)
    return keyed


def _replaced(value: Any, place: tuple[str | int, ...], text: str) -> Any:
    if not place:
        return text
    if isinstance(value, dict):
        return {k: (_replaced(v, place[1:], text) if k == place[0] else v) for k, v in value.items()}
    if isinstance(value, list):
        return [_replaced(v, place[1:], text) if i == place[0] else v for i, v in enumerate(value)]
    return value


def _plain(params: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = params.model_dump(mode="json")
    return dumped


def _secrets_in(use: Use) -> set[str]:
    import re

    return {name for text in use.templates.values() for name in re.findall(r"\$\{secret\.([A-Za-z0-9_]+)\}", text)}


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in path if part != "with")


def _suggest(name: str, known: Iterable[str], kind: str) -> str:
    names = sorted(known)
    close = did_you_mean(name, names)
    return f"did you mean '{close}'?" if close else f"{kind}s here: {', '.join(names) or 'none'}"


def _cycle(nodes: Mapping[str, Node]) -> list[str]:
    """A cycle's stages in order, the one whose reference closes it last; [] where there is none."""
    import networkx as nx

    edges: Any = nx.DiGraph()
    edges.add_edges_from((b, n.stage) for n in nodes.values() for b in (*n.upstream(), *n.guards) if b in nodes)
    try:
        return [before for before, _ in nx.find_cycle(edges)]
    except nx.NetworkXNoCycle:
        return []
