"""Says what is to be seen in an image or a video, with a model that captions or answers questions about images."""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, ClassVar

from spark_build.contract import Context, Decides, Media, ModelRef, RuleParams
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.captions import load_captioner
from spark_build.modalities.media.views import views
from spark_build.transforms._asked_media import AskedMedia


class Params(RuleParams):
    synonyms: ClassVar[Mapping[str, str]] = {
        "column": "field", "to": "into", "text_field": "into", "output_field": "into", "question": "prompt",
        "instruction": "prompt", "task": "prompt", "max_new_tokens": "max_tokens", "num_beams": "beams",
        "num_frames": "frames",
    }  # fmt: skip

    model: ModelRef = Field(
        description="BLIP, BLIP-2, InternVL, Qwen2-VL, Florence-2 or another model of images and text: model:NAME, a "
        "folder or a hub id (safetensors)."
    )
    field: str | None = Field(
        None, description="The image or video; by default the item's only image, else its only video."
    )
    prompt: str | None = Field(
        None,
        description="What is asked, in the words that the model was trained on: <MORE_DETAILED_CAPTION> of Florence-2, "
        "a question of one that chats; BLIP goes on from it. By default what gives a caption.",
    )
    max_tokens: int = Field(64, ge=1, description="Tokens of a caption, at most.")
    beams: int = Field(1, ge=1, le=16, description="Beams of the search; 1: always the likeliest token.")
    frames: int = Field(
        1, ge=1, le=1000, description="Frames of a video or an animation that are looked at, evenly over it."
    )
    into: Decides[str] = Field(
        "caption",
        min_length=1,
        description="The field that takes the caption; of several frames each on a line, those alike once.",
    )
    shots: Decides[str | None] = Field(
        None, min_length=1, description="A field that takes [{time, text}, …] of the frames, in seconds."
    )


class Caption(AskedMedia):
    """The likeliest words, so that the same image has the same caption."""

    Params = Params
    revision = 1
    kinds = ("image", "video")
    libraries = ("torch", "transformers", "tokenizers", "pillow", "av", "numpy")

    def asking(self, context: Context) -> Callable[[Media], Any]:
        numerics, given = context.numerics, self.params
        captioner = load_captioner(self.inputs["model"], given.prompt, numerics.device, numerics.dtype)

        def found_of(media: Media) -> list[Any]:
            return [
                [seconds, captioner.caption(picture, given.max_tokens, given.beams)]
                for seconds, picture in views(media.path, media.kind, media.facts, given.frames)
            ]

        return found_of

    def said(self, found: Any, params: Any) -> Mapping[str, Any]:
        texts = [text for text, _ in groupby(text for _, text in found if text)]
        if not texts:
            raise ItemRejected("no_answer", "the model said nothing")
        told = {params.into: "\n".join(texts)}
        if params.shots is None:
            return told
        return {**told, params.shots: [{"time": seconds, "text": text} for seconds, text in found]}
