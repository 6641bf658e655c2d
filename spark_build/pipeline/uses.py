"""Uses of rules: found, checked against their Params, with all that they read."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from spark_build import rulebook
from spark_build.contract.params import Needs
from spark_build.contract.rules import Versioner
from spark_build.core.address import Address, folder_of, kind_of, name_of, target_of, typed, without_tag
from spark_build.core.digest import digest_json
from spark_build.core.errors import SparkError, UsageError
from spark_build.core.values import Struct, field, replace
from spark_build.engine.graph import PUBLISHES, Graph, Input, Step
from spark_build.pinning import Lock, import_pin, source_pin
from spark_build.pipeline.project_view import ProjectView
from spark_build.pipeline.second_pass import checked_params, is_of_matrix, problem
from sparkfile_schema import Dataset, Problem, Sparkfile, Target, Use
from sparkfile_schema.address import selected
from sparkfile_schema.model import Import
from sparkfile_schema.suggest import did_you_mean

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(@\S+)?")

Named = TypeVar("Named", Dataset, Target)
TRAINING_PARTS = ("data/train-*", "data/validation-*")


class Uses(Struct):
    """Turns uses into steps, and gathers every problem on the way."""

    file: Sparkfile
    project: ProjectView
    lock: Lock
    told: frozenset[str] = frozenset()  # places of which the first pass has said what is wrong
    problems: list[Problem] = field(default_factory=list)
    unpinned: list[tuple[str, str]] = field(default_factory=list)  # hub ids and where they stand
    hub_ids: set[str] = field(default_factory=set)
    below: Mapping[str, Graph] = field(default_factory=dict)  # of included Sparkfiles, by folder
    imports: dict[str, Import] = field(
        default_factory=dict
    )  # addresses of other projects' results, and whose
    _steps: dict[tuple[str, int], tuple[Use, Step | None]] = field(default_factory=dict)  # by the use's id()

    def find(self, family: str, use: Use) -> Any:
        try:
            return rulebook.find(family, use.rule, self.project.root).rule
        except SparkError:
            return None

    def step(self, family: str, use: Use) -> Step | None:
        """One checked use of a rule; None where it has a problem, which is reported."""
        place = (family, id(use))
        if place not in self._steps:
            self._steps[place] = (
                use,
                self._step(family, use),
            )  # the use is kept, so that no other takes its id
        return self._steps[place][1]

    def _step(self, family: str, use: Use) -> Step | None:
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
            self.project.globbed.clear()
            needs = found.rule.needs(params, self.project)
        except SparkError as error:
            self.problems.append(problem(self.file, use.path, error.message, error.fix))
            return None
        inputs = self._inputs(needs, use, found.rule)
        return self._made(family, use, found, params, needs, inputs)

    def _made(
        self,
        family: str,
        use: Use,
        found: rulebook.Found,
        params: Any,
        needs: Needs,
        inputs: dict[str, Input],
    ) -> Step:
        rule, globbed = found.rule, sorted(self.project.globbed)
        code = set(needs.code)
        if found.file is not None:
            self.project.note_installed(found.file)
        if found.is_own:
            code |= set(self.project.python_closure(found.impl.rpartition(":")[0].removeprefix("./")))
        for path in needs.probed:
            self.project.exists(path)
        options = dict(use.options) | ({"reads": list(needs.reads)} if needs.reads else {})
        if issubclass(rule, Versioner) and rule.publishes():
            options[PUBLISHES] = True
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
            globs={pattern: digest_json(self.project.globs[pattern]) for pattern in globbed},
            # what is pinned is read without them
            secrets=() if needs.outside is not None else tuple(sorted({*needs.secrets, *_secrets_in(use)})),
            options=options,
            numerics=dict(use.numerics),
            resources=dict(use.resources),
            uses_model=rule.uses_model_of(params),
            reproducible=rule.reproducible_of(params),
            reproducible_why=rule.reproducible_why,
            tolerance=float(rule.tolerance),
            where=self._where(use),
        )

    def _inputs(self, needs: Needs, use: Use, rule: Any) -> dict[str, Input]:
        inputs: dict[str, Input] = {}
        for name, path in needs.paths.items():
            inputs[name] = Input(path=path, at=self._param_at(use, name), name=name)
        for name, text in needs.models.items():
            if (given := self.model(text, self._param_at(use, name))) is not None:
                inputs[name] = given
        for name, text in needs.datasets.items():
            if (given := self._dataset_input(text, needs, self._param_at(use, name))) is not None:
                inputs[name] = given
        for name, text in needs.rows.items():
            if (given := self._rows_input(text, needs, self._param_at(use, name))) is not None:
                inputs[name] = given
        for name, hub in needs.hub.items():
            inputs[name] = self._hub(hub, self._param_at(use, name))
        if needs.outside is not None:
            inputs["path"] = self._outside(needs.outside, use, rule)
        return inputs

    def _outside(self, asked: Any, use: Use, rule: Any) -> Input:
        """What an outside source brought, as the lock pins it."""
        name, at = source_pin(use.rule, asked), self.at(use.path)
        pin = self.lock.get("pins", name)
        if pin is None:
            self.unpinned.append((name, at))
            return Input(artifact="", at=at, name=name)
        return Input(
            artifact=pin["output"], artifact_parts=pin["parts"], parts=rule.outside_parts, at=at, name=name
        )

    def _hub(self, text: str, at: str) -> Input:
        if not _HUB_ID.fullmatch(text):
            self.report(
                at, f"no folder '{text}'", "a folder of this project, a hub id (ORG/NAME), or model:NAME"
            )
            return Input(path=text, at=at)
        self.hub_ids.add(text)
        revision = self.lock.revision_of(text)
        if revision is None:
            self.unpinned.append((text, at))
        return Input(hub=text.partition("@")[0], revision=revision, at=at)

    def _dataset_input(self, text: str, needs: Needs, at: str) -> Input | None:
        try:
            address = Address.parse(text)
        except UsageError as error:
            self.report(at, error.message, error.fix)
            return None
        if address.kind not in (None, "dataset"):
            self.report(at, f"no dataset '{text}'", suggest(address.name, self.file.datasets, "dataset"))
            return None
        if address.stage is not None:
            self.report(at, f"'{text}': a dataset is read whole, not by stage", f"write {address.target}")
            return None
        parts = tuple(part_of_word(word) for word in needs.reads) or TRAINING_PARTS
        if address.folder:
            return self.outside(address, at, parts)
        if address.tag is not None:
            whole = replace(address, kind="dataset")
            return self._tagged(whole, at, parts, "")
        dataset = self._named(self.file.datasets, address, "dataset", at)
        return None if dataset is None else Input(stage=f"dataset:{dataset.name}/version", parts=parts, at=at)

    def _rows_input(self, text: str, needs: Needs, at: str) -> Input | None:
        """A dataset's rows where the last stage that shapes them leaves them: its version's are the very same."""
        given = self._dataset_input(text, needs, at)
        if given is None or given.stage is None:
            return given
        return replace(given, stage=self._shapes_rows(target_of(given.stage)))

    def _shapes_rows(self, target: str) -> str:
        include = self._include_of(folder_of(target))
        if include:
            own = target.removeprefix(f"{include}/")
            has_filter = f"{own}/filter" in self.below[include].nodes
        else:
            has_filter = bool(self.file.datasets[name_of(target)].gates)
        return f"{target}/{'filter' if has_filter else 'ingest'}"

    def dataset(self, name: str, parts: tuple[str, ...], at: str) -> Input | None:
        """What a target or an evaluation reads of a dataset: of this file, an included one, or an import."""
        if not folder_of(name):
            return Input(stage=f"dataset:{name}/version", parts=parts, at=at)
        try:
            address = Address.parse(name)
        except UsageError as error:
            self.report(at, error.message, error.fix)
            return None
        return self.outside(address, at, parts)

    def outside(self, address: Address, at: str, parts: tuple[str, ...], folder: str = "") -> Input | None:
        """A result of an included Sparkfile, which is a stage of this graph, or of an import, which the lock pins."""
        if address.folder in self.file.imports:
            return self._imported(address, at, parts, folder)
        include = self._include_of(address.folder)
        graph = self.below.get(include)
        if graph is None:
            if not include:
                known = ", ".join([*self.below, *self.file.imports]) or "none"
                self.report(
                    at, f"'{address}': '{address.folder}' is neither included nor imported", f"known: {known}"
                )
            return None  # a faulty one tells of itself
        if address.tag is not None:
            return self._tagged(address, at)
        if address.main_stage.removeprefix(f"{include}/") not in graph.nodes:
            names = (name_of(target) for target in graph.targets() if kind_of(target) == address.kind)
            self.report(at, f"no {address.kind} '{address}'", suggest(address.name, names, str(address.kind)))
            return None
        return Input(stage=address.main_stage, parts=parts, folder=folder, at=at)

    def _include_of(self, folder: str) -> str:
        """The folder of the include that brings `folder`, itself or by an include of its own; '' where none does."""
        folders = [one.folder for one in self.file.include]
        return next((one for one in folders if folder == one or folder.startswith(f"{one}/")), "")

    def _imported(self, address: Address, at: str, parts: tuple[str, ...], folder: str) -> Input:
        name = str(address)
        self.imports[name] = of = self.file.imports[address.folder]
        pin = self.lock.get("pins", import_pin(name))
        if pin is None or pin.get("url") != of.url:
            self.unpinned.append((name, at))
            return Input(artifact="", at=at)
        return Input(
            artifact=pin["output"], artifact_parts=pin["parts"], parts=parts, folder=folder, at=at, name=name
        )

    def _named(self, known: Mapping[str, Named], address: Address, kind: str, at: str) -> Named | None:
        """The dataset or target of that name; of a matrix the one member that is meant."""
        if found := known.get(address.full_name):
            return found
        if at in self.told:
            return None
        members = [one for one in known.values() if one.path[-1] == address.name]
        meant = selected(address.matrix, [(one, one.matrix) for one in members])
        if len(meant) == 1:
            return meant[0]
        if not members:
            names = {str(one.path[-1]) for one in known.values()}
            noun = "target" if kind == "model" else kind
            self.report(at, f"no {kind} '{address.name}'", suggest(address.name, names, noun))
            return None
        listed = ", ".join(f"{kind}:{one.name}" for one in (meant or members)[:6])
        how = f"{len(meant)} of its members are meant" if meant else "none of its members is meant"
        self.report(at, f"'{kind}:{address.full_name}': {how}", f"name one: {listed}")
        return None

    def model(self, text: str, at: str) -> Input | None:
        """What a reference to a model reads: the `model/` part of its train output, or an exporter's whole one."""
        try:
            address = Address.parse(text)
        except UsageError as error:
            self.report(at, error.message, error.fix)
            return None
        if address.folder:
            is_whole = address.stage not in (None, "train")
            return self.outside(address, at, () if is_whole else ("model/",), "" if is_whole else "model")
        if address.tag is not None:
            return self._tagged(address, at)
        target = self._named(self.file.targets, address, "model", at)
        if target is None:
            return None
        stage = address.stage or "train"
        if stage == "train":
            return model_input(f"model:{target.name}/train", at)
        exporters = [f"package.{use.label}" for use in target.package]
        if stage not in exporters:
            self.report(
                at, f"'{text}' has no stage '{stage}'", f"it has train{''.join(f', {e}' for e in exporters)}"
            )
            return None
        return Input(stage=f"model:{target.name}/{stage}", at=at)

    def _tagged(
        self, address: Address, at: str, parts: tuple[str, ...] = ("model/",), folder: str = "model"
    ) -> Input | None:
        name = f"{address.target}@{address.tag}"
        block = self.lock.tag(name)
        if block is None:
            fix = f"spark tag {typed(name)}"
            if address.tag in self.file.profiles or str(address.tag).startswith("run-"):
                fix = f"only a tag is pinned: spark tag {typed(without_tag(name))}@v1 with that --profile or --set"
            self.report(at, f"no tag '{name}' in the lock", fix)
            return None
        return Input(
            artifact=block["output"],
            artifact_parts=block["parts"],
            parts=parts,
            folder=folder,
            at=at,
            name=name,
        )

    def guards(self, given: Input) -> tuple[str, ...]:
        """Evaluations with `require` of the model that is read: they must have passed, but are not in the key."""
        if given.stage is None:
            return ()
        if kind_of(given.stage) != "model":
            return self._guards_of_rows(given.stage)
        if include := self._include_of(folder_of(given.stage)):
            own = target_of(given.stage).removeprefix(f"{include}/")
            nodes = self.below[include].nodes.values()
            return tuple(
                f"{include}/{n.stage}" for n in nodes if n.target == own and n.kind == "eval" and n.requires
            )
        target = self.file.targets[name_of(target_of(given.stage))]
        return tuple(
            f"model:{target.name}/eval{f'.{e.label}' if e.label else ''}" for e in target.evals if e.require
        )

    def _guards_of_rows(self, stage: str) -> tuple[str, ...]:
        """What a dataset requires of itself is asked of its version, which whoever reads its rows waits for."""
        version = f"{target_of(stage)}/version"
        if include := self._include_of(folder_of(stage)):
            requires: Any = self.below[include].nodes[version.removeprefix(f"{include}/")].requires
        else:
            requires = self.file.datasets[name_of(target_of(stage))].require
        return (version,) if requires and stage != version else ()

    # places and problems

    def at(self, path: tuple[str | int, ...]) -> str:
        return str(self.file.position(path))

    def _param_at(self, use: Use, name: str) -> str:
        group, _, key = name.partition(".")
        for origin in (use.origins.get(place) for place in ((name,), ("inputs", name), (group, key))):
            if origin is not None:
                return self.at(origin)
        return self.at(use.path)

    def _where(self, use: Use) -> dict[str, tuple[str, str | None]]:
        where: dict[str, tuple[str, str | None]] = {"": (_dotted(use.path), self.at(use.path))}
        for place, origin in use.origins.items():
            where[".".join(map(str, place))] = (_dotted(origin), self.at(origin))
        return where

    def report(self, at: str | tuple[str | int, ...], message: str, fix: str | None) -> None:
        self.problems.append(problem(self.file, at, message, fix))

    def _report_use(self, family: str, use: Use, error: SparkError) -> None:
        path = (*use.path, "use") if isinstance(use.path, tuple) else use.path
        close = did_you_mean(use.rule, rulebook.names(family))
        fix = f"did you mean '{close}'?" if close else error.fix
        self.problems.append(problem(self.file, path, error.message, fix))


def model_input(stage: str, at: str) -> Input:
    return Input(stage=stage, parts=("model/",), folder="model", at=at)


def part_of_word(word: str) -> str:
    return {"card": "card", "rejected": "rejected/", "*": "data/*"}.get(word, f"data/{word}-*")


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

    return {
        name for text in use.templates.values() for name in re.findall(r"\$\{secret\.([A-Za-z0-9_]+)\}", text)
    }


def _dotted(path: tuple[str | int, ...]) -> str:
    if is_of_matrix(path):
        path = path[:-1]  # the place in its list is no part of the name
    return ".".join(str(part) for part in path if part != "with")


def suggest(name: str, known: Iterable[str], kind: str) -> str:
    names = sorted(known)
    close = did_you_mean(name, names)
    return f"did you mean '{close}'?" if close else f"{kind}s here: {', '.join(names) or 'none'}"
