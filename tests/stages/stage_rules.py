"""Small rules that the stages' tests run: real ones, in a file as a user would write it."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from spark_build.contract import (
    Bad,
    Context,
    Decides,
    Exporter,
    GateParams,
    InputPath,
    Item,
    ItemGate,
    JoinGate,
    Metric,
    Raw,
    Recipe,
    RuleParams,
    Secret,
    Source,
    SourceFile,
    Transform,
    Verdict,
    Versioner,
)
from spark_build.core.errors import ItemRejected, TransientError

calls: Counter[str] = Counter()  # how often an operation really ran


class Lines(Source):
    """JSONL rows; a .txt file is one document."""

    class Params(RuleParams):
        path: InputPath = "data"

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        calls["read"] += 1
        split = file.path.split("/")[0] if file.path.split("/")[0] in ("train", "test") else None
        if not file.path.endswith(".jsonl"):
            yield Raw({"text": file.location.read_text().strip()}, key=file.path, split=split)
            return
        for number, line in enumerate(file.location.read_text().splitlines(), 1):
            try:
                fields = json.loads(line)
            except ValueError as error:
                yield Bad("not_json", f"line {number} of {file.location}: {error}")
                continue
            yield Raw(fields, key=line, split=split)


class Flaky(Lines):
    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        if Path(self.inputs["path"]).joinpath(".down").exists():
            raise TransientError("the shelf is away", fix="build again")
        yield from super().read(file)


class Crashing(Lines):
    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        yield Raw({"text": "first"}, key="a")
        raise ZeroDivisionError("a slip of the author")


class Changing(Lines):
    """Somebody finishes the file while it is read."""

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        yield from super().read(file)
        if file.location.read_text() == "half":
            file.location.write_text("half, and the rest")


class Odd(Source):
    """Values that no JSON has."""

    class Params(RuleParams):
        path: InputPath = "data"

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        yield Raw({"text": "fine"}, key="fine")
        yield Raw({"text": "x", "score": math.nan}, key="nan")
        yield Raw({"text": "\ud800"}, key="surrogate")
        yield Raw({"text": "x", "place": Path("x")}, key="path")


class Fetched(Lines):
    """Writes its files itself."""

    class Params(RuleParams):
        count: int = 3

    def fetch(self, context: Context) -> Path:
        folder = context.scratch / "fetched"
        folder.mkdir(exist_ok=True)
        for number in range(self.params.count):
            (folder / f"{number}.txt").write_text(f"document {number}")
        return folder


class Upper(Transform):
    class Params(RuleParams):
        fields: list[str] | None = None

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or ("text",))

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        calls["upper"] += 1
        return [{"text": item["text"].upper()}]


class Words(Transform):
    """Windows of so many words; an empty text is dropped, 'forbidden' is refused."""

    class Params(RuleParams):
        words: int = 2

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        calls["words"] += 1
        found = item["text"].split()
        if "forbidden" in found:
            raise ItemRejected("forbidden", "a word that must not be there")
        pieces = [found[i : i + self.params.words] for i in range(0, len(found), self.params.words)]
        return [{**item.fields, "text": " ".join(piece)} for piece in pieces]


class Unless(Transform):
    """Drops what holds a word."""

    class Params(RuleParams):
        word: str = "bad"

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        return [] if self.params.word in item["text"].split() else [{"text": item["text"]}]


class Scored(Transform):
    """Tells a score that is not there from one that is null."""

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return ("text", "score")

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        return [{"text": f"{item['text']} {item.fields.get('score', 'none')}"}]


class Named(Transform):
    """Tells the order of the fields."""

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        return [{"text": f"{item['text']} {' '.join(item.fields)}"}]


class Nosy(Transform):
    """Reads what its memo key does not cover."""

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return ("text",)

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        return [{"text": item["label"]}]


class Long(ItemGate):
    class Params(GateParams):
        most: Decides[int] = 20
        unit: Literal["words", "characters"] = "characters"
        fields: list[str] | None = None

    def measure(self, item: Item) -> float:
        calls["measure"] += 1
        text = item["text"]
        if text == "unmeasurable":
            raise ItemRejected("unmeasurable")
        return len(text) if self.params.unit == "characters" else len(text.split())

    def decide(self, found: int, params: Any) -> Verdict:
        if found <= params.most:
            return Verdict.keep(score=float(found), counts={"units": found})
        return Verdict.drop("long", score=float(found), threshold=float(params.most))


class Peeking(Long):
    def measure(self, item: Item) -> float:
        return int(self.params.most)


class Dividing(Long):
    def measure(self, item: Item) -> float:
        return 1 / 0


class Infinite(Long):
    def measure(self, item: Item) -> float:
        return math.inf


class Masked(ItemGate):
    """Replaces digits."""

    def measure(self, item: Item) -> list[int]:
        return [i for i, c in enumerate(item["text"]) if c.isdigit()]

    def decide(self, found: list[int], params: Any) -> Verdict:
        raise NotImplementedError("decide_item is what counts")

    def decide_item(self, item: Item, found: list[int], params: Any) -> Verdict:
        if not found:
            return Verdict.keep()
        text = "".join("#" if i in found else c for i, c in enumerate(item["text"]))
        return Verdict.replace({"text": text}, "digits", counts={"digit": len(found)})


class Alike(JoinGate):
    """Jaccard similarity of words; every pair is a candidate."""

    class Params(GateParams):
        threshold: Decides[float] = 0.5
        fields: list[str] | None = None

    def signature(self, item: Item) -> bytes:
        calls["signature"] += 1
        if "unsignable" in item["text"]:
            raise ItemRejected("unsignable")
        return len(_words(item)).to_bytes(4, "little")

    def candidates(
        self, signatures: Sequence[bytes], params: Any, is_kept: Callable[[int], bool] = lambda position: True
    ) -> Iterable[tuple[int, int]]:
        return ((i, j) for j in range(len(signatures)) for i in range(j) if is_kept(i))

    def similarity(self, first: Item, second: Item) -> float:
        calls["similarity"] += 1
        one, other = _words(first), _words(second)
        return len(one & other) / max(1, len(one | other))

    def is_similar(self, similarity: float, params: Any) -> bool:
        return bool(similarity >= params.threshold)


class LongestFirst(Alike):
    def priority(self, item: Item) -> float:
        return -len(item["text"])


class Disorderly(Alike):
    def candidates(self, signatures: Sequence[bytes], params: Any, is_kept: Any = None) -> Any:
        return [(1, 2), (0, 1)]


def _words(item: Item) -> set[str]:
    return set(item["text"].split())


class Card(Versioner):
    def write(self, context: Context) -> None:
        facts = {n: context.facts[n] for n in ("card", "fields", "splits", "gates", "figures")}
        (context.output / "spark.json").write_text(json.dumps(facts, sort_keys=True))


class Meddling(Versioner):
    def write(self, context: Context) -> None:
        shard = next((context.output / "data").iterdir())
        content = shard.read_bytes()
        shard.unlink()
        shard.write_bytes(content + b"more")


class Counting(Recipe):
    class Params(RuleParams):
        epochs: int = 1
        leaves: str | None = None

    def train(self, context: Context) -> None:
        rows = len(context.dataset.rows("train"))
        for name in ("model/weights.safetensors", self.params.leaves):
            if name is not None:
                file = context.output / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{rows} rows, {self.params.epochs} epochs")


class Idle(Recipe):
    def train(self, context: Context) -> None:
        pass


class Size(Metric):
    class Params(RuleParams):
        bad: float | str | None = None

    def evaluate(self, context: Context) -> Mapping[str, float]:
        context.shared.setdefault("scored", []).append("size")
        rows = len(context.dataset.rows(context.split))
        return {"rows": rows if self.params.bad is None else self.params.bad}


class After(Metric):
    """Uses what an earlier metric has worked out, and leaves a table."""

    def evaluate(self, context: Context) -> Mapping[str, float]:
        (context.output / "metrics.json").write_text("{}")
        (context.output / "table.csv").write_text("a,b\n")
        return {"before": len(context.shared.get("scored", []))}


class Copy(Exporter):
    class Params(RuleParams):
        name: str = "weights.safetensors"

    def export(self, context: Context) -> None:
        if self.params.name:
            content = (context.inputs["model"] / "weights.safetensors").read_bytes()
            (context.output / self.params.name).write_bytes(content)


class Guarded(ItemGate):
    class Params(RuleParams):
        token: Secret = ""

    def measure(self, item: Item) -> str:
        return str(self.params.token)

    def decide(self, found: str, params: Any) -> Verdict:
        return Verdict.keep() if found == "hush" else Verdict.drop("locked")
