"""Rules as small as can be, for the golden cases of stages: what the runners do around them is what counts."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from spark_build.contract import (
    Bad,
    Context,
    Decides,
    Exporter,
    InputPath,
    Item,
    ItemGate,
    JoinGate,
    Metric,
    Raw,
    Recipe,
    RuleParams,
    Source,
    SourceFile,
    Transform,
    Verdict,
    Versioner,
)
from spark_build.core.errors import ItemRejected


class Lines(Source):
    """JSONL rows; any other file is one document."""

    class Params(RuleParams):
        path: InputPath = "data"

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        if not file.path.endswith(".jsonl"):
            yield Raw({"text": file.location.read_text()}, key=file.path, meta={"size": file.size})
            return
        for number, line in enumerate(file.location.read_text().splitlines(), 1):
            try:
                yield Raw(json.loads(line), key=line)
            except ValueError:
                yield Bad("not_json", f"line {number}")


class Halves(Transform):
    """Two items of one; a text of three words is refused."""

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        words = item["text"].split()
        if len(words) == 3:
            raise ItemRejected("three", "words")
        half = len(words) // 2
        return [{**item.fields, "text": " ".join(part)} for part in (words[:half], words[half:])]


class Short(ItemGate):
    class Params(RuleParams):
        most: Decides[int] = 100

    def measure(self, item: Item) -> int:
        return len(item["text"])

    def decide(self, found: int, params: Any) -> Verdict:
        if found <= params.most:
            return Verdict.keep(score=float(found), counts={"characters": found})
        return Verdict.drop("long", score=float(found), threshold=float(params.most))


class Masked(ItemGate):
    """Digits become '#'."""

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return ("text",)

    def measure(self, item: Item) -> str:
        return "".join("#" if c.isdigit() else c for c in item["text"])

    def decide(self, found: str, params: Any) -> Verdict:
        return Verdict.replace({"text": found}, "digits") if "#" in found else Verdict.keep()


class Alike(JoinGate):
    """Jaccard similarity of words; every pair is a candidate."""

    class Params(RuleParams):
        threshold: Decides[float] = 0.5

    def signature(self, item: Item) -> bytes:
        return len(item["text"]).to_bytes(4, "little")

    def candidates(
        self, signatures: Sequence[bytes], params: Any, is_kept: Callable[[int], bool] = lambda position: True
    ) -> Iterable[tuple[int, int]]:
        return ((i, j) for j in range(len(signatures)) for i in range(j) if is_kept(i))

    def similarity(self, first: Item, second: Item) -> float:
        one, other = set(first["text"].split()), set(second["text"].split())
        return len(one & other) / max(1, len(one | other))

    def is_similar(self, similarity: float, params: Any) -> bool:
        return bool(similarity >= params.threshold)


class Facts(Versioner):
    def write(self, context: Context) -> None:
        (context.output / "facts.json").write_text(json.dumps(context.facts, sort_keys=True))


class Counting(Recipe):
    class Params(RuleParams):
        epochs: int = 1

    def train(self, context: Context) -> None:
        model = context.output / "model"
        model.mkdir()
        (model / "weights.txt").write_text(
            f"{len(context.dataset.rows('train'))} rows, {self.params.epochs} epochs"
        )


class Size(Metric):
    def evaluate(self, context: Context) -> Mapping[str, float]:
        context.shared["rows"] = len(context.dataset.rows(context.split))
        return {"rows": context.shared["rows"]}


class Leaves(Metric):
    """Leaves a file, and reads what the metric before it worked out."""

    def evaluate(self, context: Context) -> Mapping[str, float]:
        (context.output / "table.txt").write_text("kept")
        return {"half": context.shared["rows"] / 2}


class Copying(Exporter):
    def export(self, context: Context) -> None:
        (context.output / "package.json").write_text(json.dumps(context.facts, sort_keys=True))
