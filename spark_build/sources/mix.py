"""Several datasets of the file by weight."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import field_validator

from spark_build.contract import Bad, Context, ModelRef, Needs, Project, Raw, RuleParams, Source, SourceFile
from spark_build.contract.params import Field
from spark_build.contract.rows import DatasetFolder
from spark_build.core.files import shards_in
from spark_build.core.ports import Reporter
from spark_build.core.values import replace
from spark_build.sources._mixing import Candidate, amounts, chosen, rounded, spread
from spark_build.sources._rows import read_shard


class Params(RuleParams):
    datasets: dict[str, float] = Field(
        description="dataset: weight. Weights are shares of what comes out, and need not sum to 1."
    )
    unit: Literal["rows", "tokens"] = Field(
        "rows", description="What the weights count: items, or the tokens of their texts."
    )
    stop: Literal["first_exhausted", "all_exhausted"] | int = Field(
        "first_exhausted",
        description="How much comes out: as much as goes without an item twice; as much as it takes for every item "
        "of every dataset to be in it, with items of the scarce ones again; or so many rows or tokens.",
    )
    seed: int = Field(0, description="Which items are chosen.")
    tokenizer: ModelRef | None = Field(
        None,
        description="Whose tokens count: model:NAME, a folder or a hub id. Without it a token is a run of letters "
        "and digits, or one other character.",
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        "weights": "datasets", "probabilities": "datasets", "sources": "datasets", "stopping_strategy": "stop",
        "total": "stop", "size": "stop", "by": "unit",
    }  # fmt: skip

    @field_validator("datasets")
    @classmethod
    def _above_zero(cls, value: dict[str, float]) -> dict[str, float]:
        if not value:
            raise ValueError("name at least one dataset: {calls: 0.7, notes: 0.3}")
        for name, weight in value.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"the weight of '{name}' has to be above 0")
        plain = {name.removeprefix("dataset:"): weight for name, weight in sorted(value.items())}
        if len(plain) < len(value):
            raise ValueError("a dataset is named twice")
        return plain

    @field_validator("stop")
    @classmethod
    def _any_at_all(cls, value: Any) -> Any:
        if isinstance(value, int) and value < 1:
            raise ValueError("at least 1")
        return value


class Mix(Source):
    """In every split each dataset that has it gets its share; which items is drawn by hash of their ids."""

    Params = Params
    revision = 1
    inputs_are_for_fetch = True
    unread = ("datasets", "unit", "stop", "seed", "tokenizer")
    is_remembered = False

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        own = super().needs(params, project)
        rows = {_input(name): name for name in params.datasets}
        return replace(own, rows=rows, reads=("*",))

    @classmethod
    def libraries_of(cls, params: Any) -> tuple[str, ...]:
        return () if params.unit == "rows" else ("tokenizers",) if params.tokenizer else ()

    def fetch(self, context: Context) -> Path:
        """The shards of all of them in one folder, each below its dataset's name."""
        together = context.scratch / "datasets"
        shutil.rmtree(together, ignore_errors=True)  # half of what a killed run laid out
        for name in self.params.datasets:
            to = together / _folder(name)
            to.mkdir(parents=True)
            for shard in shards_in(context.inputs[_input(name)] / "data"):
                _link_or_copy(shard, to / shard.name)
        return together

    def read(self, file: SourceFile) -> Iterator[Raw | Bad]:
        return read_shard(file, within=f"{file.path.partition('/')[0]}/")

    def field_types(self) -> Mapping[str, str]:
        """Those on which all datasets that have the field agree."""
        kinds: dict[str, set[str]] = {}
        for name in self.params.datasets:
            for field, kind in DatasetFolder(self.inputs[_input(name)]).fields.items():
                kinds.setdefault(field, set()).add(kind)
        return {field: found.pop() for field, found in kinds.items() if len(found) == 1}

    def looks_at_all(self) -> bool:
        return True

    def gather(
        self, records: Sequence[tuple[str, Raw | Bad]], report: Reporter
    ) -> Iterable[tuple[int, Raw | Bad]]:
        found = self._candidates(records)
        weights = {_folder(name): Fraction(str(weight)) for name, weight in self.params.datasets.items()}
        available = {
            split: {name: sum(one.size for one in ones) for name, ones in by_name.items()}
            for split, by_name in found.items()
        }
        stop = self.params.stop
        totals = spread(stop, available, weights) if isinstance(stop, int) else dict.fromkeys(available, stop)
        taken: list[int] = []
        for split, by_name in sorted(found.items()):
            shares: Mapping[str, Any] = amounts(available[split], weights, totals[split])
            shares = rounded(shares) if self.params.unit == "rows" else shares
            for name, share in shares.items():
                taken += chosen(by_name[name], share, self.params.seed)
                self._tell(report, f"{split}: {name}", share, available[split][name])
        taken += [number for number, (_, record) in enumerate(records) if isinstance(record, Bad)]
        return ((number, records[number][1]) for number in sorted(taken))

    def _candidates(self, records: Sequence[tuple[str, Raw | Bad]]) -> dict[str, dict[str, list[Candidate]]]:
        """By split and dataset."""
        size_of = self._size_of()
        found: dict[str, dict[str, list[Candidate]]] = {}
        for number, (source, record) in enumerate(records):
            if isinstance(record, Bad):
                continue
            ones = found.setdefault(record.split or "", {}).setdefault(source.partition("/")[0], [])
            ones.append(Candidate(number, record.id or "", size_of(record.fields)))
        return found

    def _size_of(self) -> Any:
        if self.params.unit == "rows":
            return lambda fields: 1
        from spark_build.modalities.text import windows

        tokenizer = self.inputs.get("tokenizer")
        units = windows.tokens_of(tokenizer) if tokenizer else windows.tokens
        return lambda fields: sum(
            len(units(text)) for value in fields.values() for text in _texts(value) if text
        )

    def _tell(self, report: Reporter, what: str, share: Any, available: int) -> None:
        again = f", each {float(share / available):.3g} times" if share > available else ""
        report.log(f"{what}: {float(share):.10g} of {available:,} {self.params.unit}{again}")


def _input(name: str) -> str:
    return f"datasets.{name}"


def _folder(name: str) -> str:
    """Its own, in which its items come from: the name, unless that holds a slash."""
    return quote(name, safe="@=,:")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (m["content"] for m in value if isinstance(m, dict) and isinstance(m.get("content"), str))


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)  # another device, or a file system without links
