"""What a random project is made of: rules of its own, helpers, scripts, a package that brings a rule."""

GATES = '''\
"""Gates of this project."""

from typing import Any

from spark_build.contract import Decides, Item, ItemGate, ModelRef, RuleParams, Verdict

from helpers.words import share, weight


class Words(ItemGate):
    class Params(RuleParams):
        factor: int = 1
        least: Decides[int] = 1

    def measure(self, item: Item) -> int:
        return weight(item["text"]) * self.params.factor

    def decide(self, found: int, params: Any) -> Verdict:
        return Verdict.keep() if found >= params.least else Verdict.drop("few", score=found, threshold=params.least)


class Judge(ItemGate):
    libraries = ("sparkle",)

    class Params(RuleParams):
        model: ModelRef
        cut: Decides[int] = 10

    def measure(self, item: Item) -> int:
        return share((self.inputs["model"] / "weights.txt").read_text() + item["text"])

    def decide(self, found: int, params: Any) -> Verdict:
        return Verdict.keep(score=found) if found >= params.cut else Verdict.drop("judged", score=found)
'''
TRANSFORMS = '''\
"""Transforms of this project."""

from collections.abc import Mapping, Sequence
from typing import Any

from spark_build.contract import Item, RuleParams, Transform


class Prefix(Transform):
    class Params(RuleParams):
        word: str = "so"

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        return [{**item.fields, "text": f"{self.params.word} {item['text']}"}]
'''
RECIPES = '''\
"""Recipes of this project: the weights are a digest of all that trains them."""

from spark_build.contract import Base, Context, Recipe, RuleParams, Unkeyed

from helpers.words import share, summary


class Tiny(Recipe):
    libraries = ("sparkle",)

    class Params(RuleParams):
        epochs: int = 1
        rate: float = 0.5
        word: str = "plain"
        base: Base | None = None
        log_every: Unkeyed[int] = 10

    def train(self, context: Context) -> None:
        rows = sorted(row["text"] for row in context.dataset.rows("train"))
        base = (context.inputs["base"] / "weights.txt").read_text() if "base" in context.inputs else ""
        p = self.params
        model = context.output / "model"
        model.mkdir()
        (model / "weights.txt").write_text(summary(f"{rows} {base} {p.epochs} {p.rate} {p.word}"))
        (context.output / "history.txt").write_text(f"{p.epochs} epochs of {len(rows)}, {share(base)}")
'''
METRICS = '''\
"""Metrics of this project."""

from collections.abc import Mapping

from spark_build.contract import Context, Metric, RuleParams

from helpers.words import share


class Score(Metric):
    class Params(RuleParams):
        scale: int = 1

    @classmethod
    def figures(cls, params):
        return ("score",)

    def evaluate(self, context: Context) -> Mapping[str, float]:
        rows = sorted(row["text"] for row in context.dataset.rows(context.split))
        weights = (context.inputs["model"] / "weights.txt").read_text()
        return {"score": float(share(weights + str(rows)) * self.params.scale)}
'''
EXPORTERS = '''\
"""Exporters of this project."""

from spark_build.contract import Context, Exporter, RuleParams


class Bundle(Exporter):
    class Params(RuleParams):
        title: str = "bundle"

    def export(self, context: Context) -> None:
        evals = [path for name, path in sorted(context.inputs.items()) if name.startswith("eval")]
        figures = [(path / "metrics.json").read_text() for path in evals]
        weights = (context.inputs["model"] / "weights.txt").read_text()
        (context.output / "bundle.txt").write_text(f"{self.params.title}: {weights} {figures}")
'''
SERVERS = '''\
"""Servers of this project."""

from pathlib import Path

from spark_build.contract import RuleParams, Server


class Small(Server):
    class Params(RuleParams):
        port: int = 9000
        greeting: str = "hello"

    def command(self, model: Path, host: str, port: int) -> list[str]:
        return ["sleep", "1"]

    def check_ready(self, url: str) -> None: ...
'''
WORDS = '''\
"""Helpers of the rules."""

from hashlib import sha256

from helpers.deep import SALT

FACTOR = 1


def weight(text: str) -> int:
    return len(text.split()) * FACTOR


def share(text: str) -> int:
    return int(summary(text)[:8], 16) % 100


def summary(text: str) -> str:
    return sha256(f"{SALT} {text}".encode()).hexdigest()[:24]
'''
DEEP = '"""What the helpers need."""\n\nSALT = 100\n'
OWN_RULES = {
    "rules/gates.py": GATES,
    "rules/transforms.py": TRANSFORMS,
    "rules/recipes.py": RECIPES,
    "rules/metrics.py": METRICS,
    "rules/exporters.py": EXPORTERS,
    "rules/servers.py": SERVERS,
}
HELPERS = {"helpers/words.py": WORDS, "helpers/deep.py": DEEP}
USES_HELPERS = ("rules/gates.py", "rules/recipes.py", "rules/metrics.py")
CLOSURES = {
    path: (path, *(HELPERS if path in USES_HELPERS else ())) for path in OWN_RULES
}  # what each file imports of the project

GENERATE = """\
# FACTOR = 1
mill=$(bin/mill --version)
for split in train test; do
  note="${FUZZ_NAMED:-none} $mill $(cat scripts/lib/*.cfg | tr '\\n' ' ')"
  cat "$1/$split"/*.txt | while read -r line; do
    printf '{"text": "%s %s", "note": "%s"}\\n' "$line" "$3" "$note"
  done > "$2/$split.jsonl"
done
"""
TRAIN = """\
# FACTOR = 1
{ cat "$1"/data/train-*.parquet "$4/weights.txt" 2>/dev/null; echo "$3"; } | cksum > "$2/weights.txt"
"""
SCRIPTS = {"scripts/gen.sh": GENERATE, "scripts/train.sh": TRAIN, "scripts/lib/a.cfg": "one\n"}


def mill(version: int, comment: int = 0) -> str:
    """A tool: what it says of itself, and a binary that may change while it says the same."""
    return f"#!/bin/sh\n# build {comment:03}\necho mill {version}\n"


PLUGIN = '''\
"""A gate that a package brings."""

from typing import Any

from spark_build.contract import Decides, Item, ItemGate, RuleParams, Verdict


class Tagged(ItemGate):
    revision = 1

    class Params(RuleParams):
        most: Decides[int] = 90

    def measure(self, item: Item) -> int:
        return len(item["text"])

    def decide(self, found: int, params: Any) -> Verdict:
        return Verdict.keep() if found <= params.most + self.revision else Verdict.drop("long", score=found)
'''
ENTRY_POINTS = "[spark_build.rules]\ngate.tagged = fuzzrules.gates:Tagged\n"
PLUGIN_FILES = {
    "fuzzrules/__init__.py": "",
    "fuzzrules/gates.py": PLUGIN,
    "fuzzrules-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: fuzzrules\nVersion: 1.0\n",
    "fuzzrules-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
}
