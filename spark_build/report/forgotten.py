"""`spark forget` as text and as JSON: what is gone, what was made of it, what is out of reach."""

from collections.abc import Iterator
from typing import Any

from spark_build.core.address import typed
from spark_build.core.digest import Digest
from spark_build.core.values import Struct, asdict
from spark_build.report.words import count, listed, moment, printable, short, size

_MOST = 12  # of what is listed


class Buried(Struct, frozen=True):
    """One record that is forgotten now."""

    id: str
    source: str
    known_by: tuple[str, ...]  # content, id, file


class Trained(Struct, frozen=True):
    """A model that has learnt from it."""

    model: str
    built: str
    output: Digest
    tags: tuple[str, ...]
    is_declared: bool  # by today's Sparkfile


class Elsewhere(Struct, frozen=True):
    """An object that somebody else needs, and that stays."""

    digest: Digest
    target: str
    path: str
    item: str = ""


class Forgotten(Struct, frozen=True):
    dataset: str
    items: tuple[Buried, ...]
    objects: int
    bytes: int
    memo: int
    results: tuple[tuple[str, Digest], ...]
    tags: tuple[str, ...]
    models: tuple[Trained, ...]
    elsewhere: tuple[Elsewhere, ...]
    unreached: tuple[str, ...]
    is_dry: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "dataset": self.dataset,
            "dry_run": self.is_dry,
            "items": [asdict(item) for item in self.items],
            "removed": {"objects": self.objects, "bytes": self.bytes, "memo": self.memo},
            "results": [{"stage": stage, "output": output} for stage, output in self.results],
            "tags": list(self.tags),
            "models": [asdict(model) for model in self.models],
            "elsewhere": [asdict(one) for one in self.elsewhere],
            "unreached": list(self.unreached),
        }


def forgotten_text(told: Forgotten) -> str:
    return "\n".join(_lines(told))


def _lines(told: Forgotten) -> Iterator[str]:
    would = "would be " if told.is_dry else ""
    if told.items:
        yield f"{told.dataset}: {count(len(told.items), 'item')} {would}forgotten"
    else:
        yield f"{told.dataset}: nothing new; what the lock names {would}{'' if told.is_dry else 'is '}gone from here"
    for item in told.items:
        yield f"  {printable(item.source)}  {printable(item.id)}, known again by its {' or '.join(item.known_by)}"
    yield f"{'would remove' if told.is_dry else 'removed'}: {_removed(told)}"
    if told.tags:
        yield f"  tags that name such a result: {listed(told.tags, _MOST)}"
    if told.models:
        yield "trained with it, and still here:"
        yield from map(_model_line, told.models)
        if again := sorted({m.model for m in told.models if m.is_declared}):
            yield f"  after the dataset's build, retrain: spark build {' '.join(map(typed, again[:_MOST]))}"
    if told.elsewhere:
        yield "kept, because it is also part of:"
        yield from map(_elsewhere_line, told.elsewhere[:_MOST])
    yield "not reached:"
    yield from (f"  {printable(line)}" for line in told.unreached)
    if not told.is_dry:
        yield f"next: spark build {typed(told.dataset)}"


def _removed(told: Forgotten) -> str:
    objects = f"{count(told.objects, 'object')} ({size(told.bytes)}) of {count(len(told.results), 'result')}"
    return f"{objects}, {count(told.memo, 'memo entry', 'memo entries')}"


def _model_line(model: Trained) -> str:
    tags = f", tag {listed(model.tags)}" if model.tags else ""
    gone = "" if model.is_declared else ", which the Sparkfile no longer declares"
    return f"  {printable(model.model)} of {moment(model.built)}, {short(model.output)}{tags}{gone}"


def _elsewhere_line(one: Elsewhere) -> str:
    item = f", item {printable(one.item)}" if one.item else ""
    named = typed(one.item) if one.item else "ITEM"
    where = f"{printable(one.target)}: {printable(one.path)}{item}"
    return f"  {where}; from there as well: spark forget {typed(one.target)} {named}"
