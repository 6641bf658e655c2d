"""Drops items that a classifier calls toxic."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import Field

from spark_build.contract import Decides, GateParams, Item, ItemGate, ModelRef, Needs, Project, Verdict
from spark_build.contract.rules import needs_of_marked_fields
from spark_build.gates._labels import verdict_on
from spark_build.gates._text import joined_text, text_and_chat_fields
from spark_build.modalities.labels import neutral_labels
from spark_build.modalities.text.classifier import load_classifier


class Params(GateParams):
    """A classifier, and from which score on its labels count."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "max_length": "max_tokens", "stride": "overlap", "classes": "labels", "cutoff": "threshold",
        "checkpoint": "model",
    }  # fmt: skip

    model: ModelRef = Field(
        description="A text classifier: model:NAME, a folder or a hub id (safetensors), or a detoxify "
        "checkpoint, which is a folder of its .ckpt with config.json and tokenizer.json beside it."
    )
    threshold: Decides[float] = Field(
        0.5, ge=0, le=1, description="Items are dropped where a label that counts scores at least this."
    )
    labels: Decides[list[str] | None] = Field(
        None,
        description="The model's labels that count; by default all but those named neutral, non_toxic, ….",
    )
    max_tokens: int = Field(
        512,
        ge=16,
        description="Longer texts are scored in windows of this many tokens; the highest score counts.",
    )
    overlap: int = Field(64, ge=0, description="Tokens that neighbouring windows share.")
    fields: list[str] | None = Field(
        None, description="Fields that are scored as one text; by default all text and chat messages."
    )


class Toxicity(ItemGate):
    """The score of every label is remembered; which of them count, and from where on, is decided later."""

    Params = Params
    libraries = ("torch", "transformers", "tokenizers")
    reproducible = "numerics"
    uses_model = True

    @classmethod
    def needs(cls, params: Any, project: Project) -> Needs:
        """A checkpoint named by its file reads the folder around it: config and tokenizer lie there."""
        if params.model.endswith(".ckpt") and project.is_file(params.model):
            return Needs(paths={"model": str(PurePosixPath(params.model).parent)})
        return needs_of_marked_fields(params, project)

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or text_and_chat_fields(item))

    def measure(self, item: Item) -> dict[str, float]:
        text = joined_text(item, self.fields_read(item))
        return load_classifier(Path(self.inputs["model"])).scores(
            text, self.params.max_tokens, self.params.overlap
        )

    def decide(self, found: dict[str, float], params: Any) -> Verdict:
        return verdict_on(found, params, "toxicity", "toxic", neutral_labels(found))
