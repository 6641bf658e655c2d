"""Drops items that hold what a model will be tested with."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field

from spark_build.contract import DatasetRef, Decides, GateParams, Item, ItemGate, Needs, Project, Verdict
from spark_build.contract.rows import DatasetFolder
from spark_build.core.errors import BadInput
from spark_build.gates._text import joined_text, text_and_chat_fields, text_of
from spark_build.modalities.text.overlaps import Overlap, WordRuns, grams, stretch_of

_SHOWN_CHARACTERS = 160  # of what was found; a memo has room for little more


class Params(GateParams):
    """Which dataset must stay unseen, and how much of it an item may hold.

    Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: 13-grams of lower-case words without
    punctuation; N from 8 to 13 by the length of a benchmark's texts.
    """

    synonyms: ClassVar[Mapping[str, str]] = {
        "dataset": "against", "eval": "against", "eval_dataset": "against", "benchmark": "against", "n": "ngram",
        "ngram_size": "ngram", "n_grams": "ngram", "max_overlap": "threshold", "split": "splits",
    }  # fmt: skip

    against: DatasetRef = Field(description="The dataset that must stay unseen: dataset:NAME.")
    splits: list[str] | None = Field(None, min_length=1, description="Its splits; by default all.")
    against_fields: list[str] | None = Field(
        None, description="Its fields; by default all text and chat messages, each on its own."
    )
    ngram: int = Field(13, ge=1, le=100, description="Words of a run that is shared (Brown et al. 2020, C).")
    shortest: int = Field(
        8, ge=1, description="Texts below `ngram` words are looked for as a whole, from this many words on."
    )
    threshold: Decides[float] = Field(
        0.0,
        ge=0,
        le=1,
        description="Items are found where more than this share of their words lies in shared runs; 0: any does.",
    )
    fields: list[str] | None = Field(
        None, description="Fields that are looked at as one text; by default all text and chat messages."
    )


class Decontaminate(ItemGate):
    """The share of an item's words that lie in shared runs, with the longest stretch of them as evidence."""

    Params = Params

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        return Needs(datasets={"against": params.against}, reads=tuple(params.splits or ("*",)))

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or text_and_chat_fields(item))

    def measure(self, item: Item) -> dict[str, Any] | None:
        text = joined_text(item, self.fields_read(item))
        ids, runs = self._unseen
        found = runs.overlap(grams(text))
        return None if found is None else _told(found, text, ids)

    def decide(self, found: dict[str, Any] | None, params: Any) -> Verdict:
        if found is None:
            return Verdict.keep(score=0.0)
        share = found["covered"] / found["words"]
        if share <= params.threshold:
            return Verdict.keep(score=share)
        return Verdict.drop(
            "contaminated",
            score=share,
            threshold=params.threshold,
            matched=found["matched"],
            detail=found["span"],
        )

    @cached_property
    def _unseen(self) -> tuple[list[str], WordRuns]:
        """The id of each text that must stay unseen, and the runs of all of them."""
        texts = list(_texts(DatasetFolder(self.inputs["against"]), self.params))
        runs = WordRuns((text for _, text in texts), self.params.ngram, self.params.shortest)
        return [name for name, _ in texts], runs


def _told(found: Overlap, text: str, ids: list[str]) -> dict[str, Any]:
    span = " ".join(stretch_of(text, found.start, found.end).split())
    if len(span) > _SHOWN_CHARACTERS:
        span = f"{span[:_SHOWN_CHARACTERS]}…"
    return {"covered": found.covered, "words": found.words, "matched": ids[found.text], "span": span}


def _texts(folder: DatasetFolder, params: Any) -> Iterator[tuple[str, str]]:
    """Id and text, in the dataset's order. Errors: BadInput where a split or field is not there."""
    known = folder.fields
    named = params.against_fields or [n for n, kind in known.items() if kind in ("text", "messages")]
    if unknown := [name for name in named if name not in known]:
        raise BadInput(
            f"decontaminate: {params.against} has no field '{unknown[0]}'", fix=f"it has {', '.join(known)}"
        )
    for split in params.splits or folder.splits:
        for row in folder.rows(split):
            yield from ((row["id"], text_of(row[name])) for name in named)
