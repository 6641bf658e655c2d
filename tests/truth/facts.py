"""What each stage hangs on, worked out from the project alone: nothing here asks the engine."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from tests.truth.material import CLOSURES
from tests.truth.project import State
from tests.truth.render import Path

DEFAULTS: dict[str, dict[str, Any]] = {
    "rules/gates.py:Words": {"factor": 1, "least": 1},
    "rules/gates.py:Judge": {"cut": 10},
    "rules/transforms.py:Prefix": {"word": "so"},
    "rules/recipes.py:Tiny": {"epochs": 1, "rate": 0.5, "word": "plain"},
    "rules/metrics.py:Score": {"scale": 1},
    "rules/exporters.py:Bundle": {"title": "bundle"},
    "tagged": {"most": 90},
    "files": {"include": []},
}
LIBRARIES = {"rules/gates.py:Judge": ("sparkle",), "rules/recipes.py:Tiny": ("sparkle",)}
NOT_IN_KEYS = ("log_every", "base", "model", "path", "inputs", "env", "tools", "code", "reads")
TRAINING_PARTS = ("data/train-*", "data/validation-*")
MODEL = ("model/",)

Id = tuple[Any, ...]
Parts = Mapping[str, str]


@dataclass(frozen=True)
class Fact:
    kind: str
    name: str
    value: Any
    at: str | None = None


@dataclass
class StageFacts:
    stage: str
    kind: str
    at: str
    facts: dict[Id, Fact] = field(
        default_factory=dict
    )  # (step, kind, what) -> fact; step '' is the stage's own
    steps: list[tuple[str, str]] = field(default_factory=list)  # (who the step is, its rule), in order
    called: list[str] = field(default_factory=list)  # what a cause calls each of them
    steps_at: tuple[str, str | None] = ("steps", None)  # the list's name and place in the Sparkfile
    reads: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    guards: set[str] = field(default_factory=set)
    is_met: bool = True  # its own requirements

    @property
    def upstream(self) -> set[str]:
        return {stage for stage, _ in self.reads}

    def key(self, parts: Mapping[str, Parts], *, with_libraries: bool = True) -> str:
        """The same where the same would come out: no names, no places."""
        kept = {i: f for i, f in self.facts.items() if with_libraries or f.kind != "library"}
        groups = [("", ""), *self.steps]
        own = [
            [rule, sorted(([i[1], i[2], f.value] for i, f in kept.items() if i[0] == step), key=repr)]
            for step, rule in groups
        ]
        read = [selected(parts[stage], wanted) for stage, wanted in self.reads]
        return sha256(json.dumps([self.kind, own, read], sort_keys=True).encode()).hexdigest()


def selected(parts: Parts, wanted: tuple[str, ...]) -> dict[str, str | None]:
    if not wanted:
        return dict(parts)
    found: dict[str, str | None] = {}
    for pattern in wanted:
        found.update({name: d for name, d in parts.items() if fnmatchcase(name, pattern)} or {pattern: None})
    return found


def facts_of(state: State) -> dict[str, StageFacts]:
    """Of every stage, in an order in which each comes after what it reads."""
    return _Facts(state).stages()


class Effective:
    """The Sparkfile with profile and --set laid over it: values, where they stand, what they resolve to."""

    def __init__(self, state: State) -> None:
        self.state, self.places = state, state.rendered().places
        self.overlay = state.spec.get("profiles", {}).get(state.profile, {}) if state.profile else {}
        self.spec = _laid_over(state.spec, self.overlay)
        self.set_at: dict[Path, str] = {}
        for text in state.sets:
            dotted, _, value = text.partition("=")
            self._set(tuple(dotted.split(".")), json.loads(value), f"--set {dotted}")

    def at(self, path: Path) -> str | None:
        """Where the value that counts was written."""
        if path in self.set_at:
            return self.set_at[path]
        if self.state.profile and _has(self.overlay, path) and not isinstance(_get(self.overlay, path), dict):
            return self.places.get(("profiles", self.state.profile, *path))
        return self.places.get(path)

    def value(self, raw: Any) -> tuple[Any, set[str]]:
        """As the key holds it, and the environment variables that it names."""
        if not isinstance(raw, str):
            return raw, set()
        variables = self.spec.get("vars", {})
        if (whole := re.fullmatch(r"\$\{vars\.(\w+)\}", raw)) and not isinstance(variables[whole[1]], str):
            return variables[whole[1]], set()
        text = re.sub(r"\$\{vars\.(\w+)\}", lambda m: str(variables[m[1]]), raw)
        return text, set(re.findall(r"\$\{env\.(\w+)\}", text))

    def _set(self, path: Path, value: Any, at: str) -> None:
        inner = self.spec
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
        self.set_at[path] = at


class _Facts:
    def __init__(self, state: State) -> None:
        self.state, self.file = state, Effective(state)
        self.spec = self.file.spec

    def stages(self) -> dict[str, StageFacts]:
        found: list[StageFacts] = []
        for name in self.spec.get("datasets", {}):
            found += self._dataset(name)
        for name in self.spec.get("targets", {}):
            found += self._target(name)
        return _in_order({one.stage: one for one in found})

    # datasets

    def _dataset(self, name: str) -> Iterator[StageFacts]:
        spec, path = self.spec["datasets"][name], ("datasets", name)
        ingest = self._stage(f"dataset:{name}/ingest", "ingest", path)
        self._source(ingest, spec["source"], (*path, "source"))
        for index, use in enumerate(spec.get("transforms", [])):
            self._use(ingest, f"transform {index}", use, (*path, "transforms", index))
        if value := _splits(spec.get("splits")):
            ingest.facts["", "option", "splits"] = Fact(
                "param", f"datasets.{name}.splits", value, self.file.at((*path, "splits"))
            )
        yield ingest
        before = ingest.stage
        if gates := spec.get("gates", []):
            yield self._filter(name, gates, path)
            before = f"dataset:{name}/filter"
        version = self._stage(f"dataset:{name}/version", "version", path)
        version.reads = [(before, ())] + ([(ingest.stage, ("rejected/",))] if gates else [])
        self._versioner(version, spec, path)
        version.is_met = not _fails(spec.get("require", {}))
        yield version

    def _source(self, ingest: StageFacts, source: Any, path: Path) -> None:
        if isinstance(source, str):
            ingest.steps.append(("source", "files"))
            self._params(ingest, "source", "files", {}, path, path)
            self._input(ingest, "source", "path", source, self.file.at(path))
        elif source["use"] == "files":
            ingest.steps.append(("source", "files"))
            self._params(ingest, "source", "files", source["with"], path, (*path, "with"))
            self._input(
                ingest, "source", "path", source["with"]["path"], self.file.at((*path, "with", "path"))
            )
        else:
            self._command(ingest, "source", source["with"], path, (*path, "with"))

    def _filter(self, name: str, gates: list[Any], path: Path) -> StageFacts:
        stage = self._stage(f"dataset:{name}/filter", "filter", path)
        stage.reads = [(f"dataset:{name}/ingest", ("data/*",))]
        stage.steps_at = (f"datasets.{name}.gates", self.file.at((*path, "gates")))
        for index, gate in enumerate(gates):
            use = self.spec["gates"][gate] if isinstance(gate, str) else gate
            use_path: Path = ("gates", gate) if isinstance(gate, str) else (*path, "gates", index)
            label = gate if isinstance(gate, str) else use["use"].rpartition(":")[2]
            step = f"gate {self.state.identity('gates', gate)}" if isinstance(gate, str) else "inline"
            self._use(stage, step, use, use_path)
            same = stage.called[:-1].count(label)
            stage.called[-1] = f"{label}-{same + 1}" if same else label
            stage.facts[step, "param", ""] = Fact("param", _dotted(use_path), label, self.file.at(use_path))
        return stage

    def _versioner(self, version: StageFacts, spec: dict[str, Any], path: Path) -> None:
        version.steps.append(("versioner", "snapshot"))
        own = spec.get("version", {}).get("with", {})
        for key, value in spec.get("card", {}).items():
            at = self.file.at((*path, "card", key))
            name = ".".join(["datasets", path[1], "card", key])
            version.facts["versioner", "param", f"card.{key}"] = Fact("param", name, value, at)
        if "tag" in own:
            at = self.file.at((*path, "version", "with", "tag"))
            name = f"datasets.{path[1]}.version.tag"
            version.facts["versioner", "param", "tag"] = Fact("param", name, own["tag"], at)

    # models

    def _target(self, name: str) -> Iterator[StageFacts]:
        spec, path = self.spec["targets"][name], ("targets", name)
        train = self._stage(f"model:{name}/train", "train", path)
        self._recipe(train, spec, path)
        self._numerics(train)
        yield train
        data = f"dataset:{spec['dataset']}/version"
        evaluation = None
        if "eval" in spec:
            evaluation = self._stage(f"model:{name}/eval", "eval", (*path, "eval"))
            evaluation.reads = [(train.stage, MODEL), (data, ("data/test-*",))]
            for index, use in enumerate(spec["eval"]["metrics"]):
                self._use(evaluation, f"metric {index}", use, (*path, "eval", "metrics", index))
            self._numerics(evaluation)
            evaluation.is_met = not _fails(spec["eval"].get("require", {}))
            yield evaluation
        for index, use in enumerate(spec.get("package", [])):
            label = use["use"].rpartition(":")[2]
            package = self._stage(f"model:{name}/package.{label}", "package", (*path, "package", index))
            package.reads = [(train.stage, ()), (train.stage, MODEL)]
            package.reads += [(evaluation.stage, ())] if evaluation else []
            self._use(package, "exporter", use, (*path, "package", index))
            self._numerics(package)
            self._guard(package, train.stage)
            yield package

    def _recipe(self, train: StageFacts, spec: dict[str, Any], path: Path) -> None:
        recipe = self.spec["recipes"][spec["recipe"]]
        use_path: Path = ("recipes", spec["recipe"])
        data = f"dataset:{spec['dataset']}/version"
        train.reads = [(data, TRAINING_PARTS)]
        if recipe["use"] == "command":
            self._command(train, "recipe", recipe["with"], use_path, (*use_path, "with"))
        else:
            merged = {**recipe.get("with", {}), **spec.get("with", {})}
            over = dict.fromkeys(spec.get("with", {}), (*path, "with"))
            self._use(train, "recipe", {"use": recipe["use"], "with": merged}, use_path, over)
        if "base" in spec:
            base = spec["base"].removeprefix("model:")
            train.reads.append((f"model:{base}/train", MODEL))
            self._guard(train, f"model:{base}/train")

    # uses

    def _use(
        self,
        stage: StageFacts,
        step: str,
        use: dict[str, Any],
        path: Path,
        over: dict[str, Path] | None = None,
    ) -> None:
        rule = use["use"].removeprefix("./")
        stage.steps.append((step, rule))
        stage.called.append(rule)
        params = use.get("with", {})
        self._params(stage, step, rule, params, path, (*path, "with"), over)
        for library in LIBRARIES.get(rule, ()):
            counted = ".".join(self.state.libraries[library].split(".")[:2])
            stage.facts[step, "library", library] = Fact("library", library, counted)
        if rule.endswith(".py") or ".py:" in rule:
            code = {p: self.state.files[p].content for p in CLOSURES[rule.partition(":")[0]]}
            stage.facts[step, "rule", rule] = Fact("rule", rule, code)
        if rule == "tagged":
            revision = int(re.search(r"revision = (\d+)", self.state.packages["fuzzrules/gates.py"])[1])  # type: ignore[index]
            stage.facts[step, "rule", rule] = Fact("rule", rule, revision)
        if "model" in params:
            model = f"{params['model']}/train"
            stage.reads.append((model, MODEL))
            self._guard(stage, model)

    def _params(
        self, stage: StageFacts, step: str, rule: str, params: dict[str, Any], path: Path, place: Path,
        over: dict[str, Path] | None = None,
    ) -> None:  # fmt: skip
        for name in {**DEFAULTS.get(rule, {}), **params}:
            if name in NOT_IN_KEYS:
                continue
            if name in params:
                where = (*(over or {}).get(name, place), name)
                value, env = self.file.value(params[name])
                shown, at = _dotted(where), self.file.at(where)
            else:
                value, env, shown, at = (
                    DEFAULTS[rule][name],
                    set(),
                    f"{_dotted(path)}.{name}",
                    self.file.at(path),
                )
            if rule == "files" and name == "include" and isinstance(value, list) and not value:
                value = []
            stage.facts[step, "param", name] = Fact("param", shown, value, at)
            for variable in env:
                self._env(stage, step, variable)

    def _command(self, stage: StageFacts, step: str, params: dict[str, Any], path: Path, place: Path) -> None:
        stage.steps.append((step, "command"))
        stage.facts[step, "param", "run"] = Fact(
            "param", f"{_dotted(place)}.run", params["run"], self.file.at((*place, "run"))
        )
        for name, raw in params.get("params", {}).items():
            where = (*place, "params", name)
            value, env = self.file.value(raw)
            stage.facts[step, "param", f"params.{name}"] = Fact(
                "param", _dotted(where), value, self.file.at(where)
            )
            for variable in env:
                self._env(stage, step, variable)
        for name, target in params.get("inputs", {}).items():
            self._input(stage, step, name, target, self.file.at((*place, "inputs", name)))
        for word in params["run"].split():
            if word in self.state.files:
                self._input(stage, step, word, word, self.file.at(path))
        for variable in params.get("env", []):
            self._env(stage, step, variable)
        for tool in params.get("tools", []):
            said = re.search(r"echo (.*)", self.state.files[tool].content)[1]  # type: ignore[index]
            stage.facts[step, "tool", tool] = Fact("tool", tool, said)
        if patterns := params.get("code", []):
            code = {
                p: f.content for p, f in self.state.files.items() if any(fnmatchcase(p, x) for x in patterns)
            }
            stage.facts[step, "rule", "command"] = Fact("rule", "command", code)

    def _input(self, stage: StageFacts, step: str, name: str, path: str, at: str | None) -> None:
        if path in self.state.files:
            file = self.state.files[path]
            content = {path.rpartition("/")[2]: [file.content, file.executable]}
        else:
            below = {
                p: f for p, f in self.state.files.items() if p.startswith(f"{path}/") and not _is_ignored(p)
            }
            content = {p.removeprefix(f"{path}/"): [f.content, f.executable] for p, f in below.items()}
        stage.facts[step, "input", name] = Fact("input", path, content, at)

    def _env(self, stage: StageFacts, step: str, name: str) -> None:
        stage.facts[step, "env", name] = Fact("env", name, self.state.env.get(name))

    def _numerics(self, stage: StageFacts) -> None:
        value = self.spec.get("numerics", {}).get("threads", 1)
        stage.facts["", "numerics", "threads"] = Fact("numerics", "threads", value)

    def _guard(self, stage: StageFacts, model: str) -> None:
        """The evaluation with requirements of a model that is read."""
        name = model.removeprefix("model:").partition("/")[0]
        if "require" in self.spec["targets"][name].get("eval", {}):
            stage.guards.add(f"model:{name}/eval")

    def _stage(self, stage: str, kind: str, path: Path) -> StageFacts:
        return StageFacts(stage, kind, self.file.at(path) or "")


def _in_order(stages: dict[str, StageFacts]) -> dict[str, StageFacts]:
    done: dict[str, StageFacts] = {}
    while len(done) < len(stages):
        ready = [s for s in stages.values() if s.stage not in done and (s.upstream | s.guards) <= done.keys()]
        assert ready, "a cycle"
        done |= {s.stage: s for s in ready}
    return done


def _splits(splits: Any) -> dict[str, Any]:
    if splits is None:
        return {}
    if splits == "keep":
        return {"keep": True}
    return {"ratios": splits}


def _fails(require: dict[str, str]) -> bool:
    return any("1000" in text for text in require.values())


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path if part != "with")


def _is_ignored(path: str) -> bool:
    return any(part in ("__pycache__", ".DS_Store") for part in path.split("/"))


def _laid_over(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {
        k: _laid_over(below[k], above[k]) if k in below and k in above else above.get(k, below.get(k))
        for k in {**below, **above}
    }


def _has(values: Any, path: Path) -> bool:
    return _get(values, path) is not None


def _get(values: Any, path: Path) -> Any:
    for key in path:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return None
    return values
