"""Drops images and videos that a classifier calls unsafe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from spark_build.contract import Decides, GateParams, Item, ItemGate, Media, ModelRef, Verdict
from spark_build.core.errors import ItemRejected
from spark_build.gates._labels import verdict_on
from spark_build.modalities.labels import neutral_labels
from spark_build.modalities.media.image_models import load_image_classifier
from spark_build.modalities.media.views import views

_SEEN = ("image", "video")
_SAFE = ("sfw", "drawing", "drawings")  # besides those that say so of text, too: safe, normal, neutral …


class Params(GateParams):
    """A classifier of images, and from which score on its labels count."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "classes": "labels", "cutoff": "threshold", "checkpoint": "model", "num_frames": "frames", "field": "fields",
    }  # fmt: skip

    model: ModelRef = Field(
        description="An image classifier: model:NAME, a folder or a hub id (safetensors)."
    )
    threshold: Decides[float] = Field(
        0.5, ge=0, le=1, description="Items are dropped where a label that counts scores at least this."
    )
    labels: Decides[list[str] | None] = Field(
        None,
        description="The model's labels that count; by default all but those named sfw, normal, drawings, ….",
    )
    frames: int = Field(
        8,
        ge=1,
        le=1000,
        description="Frames of a video or an animation that are looked at, evenly over it; the highest score counts.",
    )
    fields: list[str] | None = Field(
        None, description="Fields that are looked at; by default all images and videos."
    )


class Nsfw(ItemGate):
    """The score of every label is remembered; which of them count, and from where on, is decided later."""

    Params = Params
    libraries = ("torch", "transformers", "pillow", "av", "numpy")
    reproducible = "numerics"
    uses_model = True

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return tuple(self.params.fields or (n for n, v in item.fields.items() if _is_seen(v)))

    def measure(self, item: Item) -> dict[str, float]:
        """For each label the highest score of any picture; {} where there is none."""
        highest: dict[str, float] = {}
        for name in self.fields_read(item):
            if (media := item.fields.get(name)) is None:
                continue
            if not _is_seen(media):
                raise ItemRejected("field_type", f"{name}: neither image nor video")
            classifier = load_image_classifier(Path(self.inputs["model"]))
            for _, picture in views(media.path, media.kind, media.facts, self.params.frames):
                for label, score in classifier.scores(picture).items():
                    highest[label] = max(score, highest.get(label, 0.0))
        return highest

    def decide(self, found: dict[str, float], params: Any) -> Verdict:
        if not found:
            return Verdict.keep()
        safe = {label for label in found if label.lower() in _SAFE}
        return verdict_on(found, params, "nsfw", "nsfw", neutral_labels(found) | safe)


def _is_seen(value: Any) -> bool:
    return isinstance(value, Media) and value.kind in _SEEN
