"""Random projects: datasets of files and of commands, gates, recipes, models as gates and as bases, deployments."""

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.truth import material
from tests.truth.project import File, Spec, State

T = TypeVar("T")
WORDS = ("river", "stone", "cloud", "copper", "harbour", "violin", "winter", "signal", "marble", "bridge")
DATASETS, TARGETS = ("tickets", "calls"), ("base", "helper", "judge")
FOLDERS = ("data/a", "data/b")
WORDS_GATE, JUDGE = "./rules/gates.py:Words", "./rules/gates.py:Judge"


class Draw:
    """What hypothesis chooses, in the words of the generator."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def number(self, low: int, high: int) -> int:
        return int(self._data.draw(st.integers(low, high)))

    def one(self, choices: Sequence[T]) -> T:
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, percent: int) -> bool:
        """Shrinks to False."""
        return self.number(0, 99) >= 100 - percent

    def other(self, choices: Sequence[T], than: Any) -> T:
        return self.one([c for c in choices if c != than])

    def text(self) -> str:
        return " ".join(WORDS[self.number(0, len(WORDS) - 1)] for _ in range(3))


def project(draw: Draw, wanted: frozenset[str] = frozenset(), *, may_have_plugin: bool = True) -> State:
    """A project that has at least what the `wanted` features name."""
    return _Project(draw, wanted, may_have_plugin).made()


class _Project:
    def __init__(self, draw: Draw, wanted: frozenset[str], may_have_plugin: bool) -> None:
        self.draw, self.wanted, self.may_have_plugin = draw, wanted, may_have_plugin
        self.files: dict[str, File] = {}
        self.spec: Spec = {"version": 1, "project": "fuzz"}

    def has(self, feature: str, percent: int) -> bool:
        return feature in self.wanted or self.draw.chance(percent)

    def made(self) -> State:
        for path, text in {**material.OWN_RULES, **material.HELPERS, **material.SCRIPTS}.items():
            self.files[path] = File(text)
        self.files["bin/mill"] = File(material.mill(1), executable=True)
        self.files["notes.txt"] = File("nobody reads this\n")
        for folder in FOLDERS:
            self._documents(folder)
        self.has_command = self.has("command", 35)
        self.has_plugin = self.may_have_plugin and self.has("plugin", 10)
        self.has_models = self.has("models", 70)
        self._gates_and_recipes()
        self._datasets()
        if self.has_models:
            self._targets()
            self._model_gate()
        if self.has_models and self.has("deployment", 20):
            server = {"use": "./rules/servers.py:Small", "with": {"port": 9100}}
            self.spec["deployments"] = {"chat": {"model": next(iter(self.spec["targets"])), **server}}
        self._profiles()
        packages = dict(material.PLUGIN_FILES) if self.has_plugin else {}
        env = {"FUZZ_WORD": "hello", "FUZZ_NAMED": "one", "FUZZ_OTHER": "x"}
        return State(self.spec, self.files, env, {"sparkle": "1.2.3", "unused": "3.0"}, packages)

    def _documents(self, folder: str) -> None:
        for split, least in (("train", 2), ("test", 1)):
            for number in range(least + self.draw.number(0, 1)):
                self.files[f"{folder}/{split}/{split[0]}{number}.txt"] = File(
                    f"{self.draw.text()} {number}\n"
                )

    def _gates_and_recipes(self) -> None:
        word = self.draw.one(["${vars.word}", "plain", "${env.FUZZ_WORD}", "so ${vars.word}"])
        if "vars" in self.wanted:
            word = "${vars.word}"
        if "env" in self.wanted:
            word = "${env.FUZZ_WORD} ${vars.word}"
        self.spec["vars"] = {"word": "alpha", "least": 1}
        self.spec["gates"] = {
            "words": {"use": WORDS_GATE, "with": {"least": "${vars.least}" if "vars" in self.wanted else 1}},
            "long": {"use": WORDS_GATE, "with": {"least": 2, "factor": 2}},
            "short": {"use": "quality", "with": {"rules": ["word_count"], "min_words": 2}},
            "spare": {"use": WORDS_GATE, "with": {"least": 3}},
        }
        if self.has_plugin:
            self.spec["gates"]["tagged"] = {"use": "tagged", "with": {"most": 80}}
        self.spec["recipes"] = {
            "tiny": {"use": "./rules/recipes.py:Tiny", "with": {"epochs": 2, "word": word}}
        }
        if self.has_command:
            self.spec["recipes"]["shell"] = {
                "use": "command",
                "with": {
                    "run": "sh scripts/train.sh {inputs.dataset} {output} {params.rate}",
                    "params": {"rate": 3},
                },
            }

    def _datasets(self) -> None:
        self.spec["datasets"] = {}
        count = 1 + self.has("two datasets", 40)
        for number, name in enumerate(DATASETS[:count]):
            spec: Spec = {"source": self._source(number)}
            if self.draw.chance(25):
                spec["transforms"] = [{"use": "./rules/transforms.py:Prefix", "with": {"word": "so"}}]
            if (number == 0 and self.has("gates", 50)) or (number and self.draw.chance(30)):
                names = [g for g in ("words", "long", "short", "tagged") if g in self.spec["gates"]]
                first = "tagged" if self.has_plugin else self.draw.one(names[:2])
                spec["gates"] = [first, self.draw.other(names, first)]
                if self.draw.chance(20):
                    spec["gates"].append({"use": WORDS_GATE, "with": {"factor": 3}})
            if self.draw.chance(40):
                spec["splits"] = "keep"
            spec["card"] = {"license": "mit"}
            if self.has("require", 20):
                spec["require"] = {"items": ">= 1"}
            self.spec["datasets"][name] = spec

    def _source(self, number: int) -> Any:
        folder = FOLDERS[0] if self.draw.chance(40) else FOLDERS[number]  # shared by two, often
        if self.has_command and (number == 0) == ("command" in self.wanted or self.draw.chance(50)):
            return {
                "use": "command",
                "with": {
                    "run": "sh scripts/gen.sh {inputs.raw} {output} {params.times}",
                    "inputs": {"raw": folder},
                    "params": {"times": 2},
                    "env": ["FUZZ_NAMED"],
                    "tools": ["bin/mill"],
                    "code": ["scripts/lib/*.cfg"],
                },
            }
        if self.draw.chance(30):
            return {"use": "files", "with": {"path": folder, "include": ["*.txt"]}}
        return folder

    def _targets(self) -> None:
        datasets = list(self.spec["datasets"])
        self.spec["targets"] = {}
        for number, name in enumerate(TARGETS[: 1 + self.has("two targets", 40)]):
            is_shell = self.has_command and number == 0 and self.draw.chance(50)
            spec: Spec = {"recipe": "shell" if is_shell else "tiny", "dataset": datasets[-1 if number else 0]}
            if not is_shell:
                if self.draw.chance(30):
                    spec["with"] = {"epochs": 3}
                if number and self.draw.chance(60):
                    spec["base"] = f"model:{TARGETS[0]}"
                if self.has("require", 50) or self.draw.chance(20):
                    spec["eval"] = {"metrics": [{"use": "./rules/metrics.py:Score"}]}
                    if self.has("require", 50):
                        spec["eval"]["require"] = {"score": ">= 0"}
            if self.draw.chance(30):
                spec["package"] = [{"use": "./rules/exporters.py:Bundle", "with": {"title": "one"}}]
            self.spec["targets"][name] = spec

    def _model_gate(self) -> None:
        """A model as a gate of the last dataset, where none of its own models needs that dataset."""
        datasets, targets = self.spec["datasets"], self.spec["targets"]
        last, model = list(datasets)[-1], next(iter(targets))
        is_free = len(datasets) > 1 and targets[model]["dataset"] != last
        if is_free and "no model as a gate" not in self.wanted and self.draw.chance(60):
            self.spec["gates"]["judged"] = {"use": JUDGE, "with": {"model": f"model:{model}", "cut": 5}}
            datasets[last].setdefault("gates", []).append("judged")

    def _profiles(self) -> None:
        quick: Spec = {
            "recipes": {"tiny": {"with": {"epochs": 1}}},
            "gates": {"words": {"with": {"least": 0}}},
        }
        self.spec["profiles"] = {"quick": quick}
