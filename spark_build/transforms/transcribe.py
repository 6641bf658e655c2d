"""Writes down what is said in an audio or a video, with a Whisper of any size."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from spark_build.contract import Context, Decides, Media, ModelRef, RuleParams
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.speech import load_speech
from spark_build.transforms._asked_media import AskedMedia


class Params(RuleParams):
    synonyms: ClassVar[Mapping[str, str]] = {
        "column": "field", "to": "into", "text_field": "into", "output_field": "into", "lang": "language",
        "return_timestamps": "times", "timestamps": "times", "chunks": "segments", "max_new_tokens": "max_tokens",
    }  # fmt: skip

    model: ModelRef = Field(description="A Whisper: model:NAME, a folder or a hub id (safetensors).")
    field: str | None = Field(
        None, description="The audio or video; by default the item's only audio, else its only video."
    )
    language: str | None = Field(
        None,
        description="What is spoken: en, de, …; by default the model finds out. Not for English-only models.",
    )
    task: Literal["transcribe", "translate"] | None = Field(
        None, description="translate: into English; by default as the model does it."
    )
    times: bool = Field(
        default=True,
        description="Let the model tell when each segment is said, where it was trained to; false: a segment is 30 s.",
    )
    max_tokens: int = Field(440, ge=1, description="Tokens of 30 s of sound, at most.")
    into: Decides[str] = Field("transcript", min_length=1, description="The field that takes the text.")
    segments: Decides[str | None] = Field(
        None, min_length=1, description="A field that takes [{start, end, text}, …], in seconds."
    )
    silent: Decides[bool] = Field(
        default=False, description="Keep videos without sound, with an empty text; else they are rejected."
    )


class Transcribe(AskedMedia):
    """Sound is heard 30 s at a time, cut where it is quiet; what is silent is not asked about."""

    Params = Params
    revision = 2
    kinds = ("audio", "video")
    libraries = ("torch", "transformers", "tokenizers", "av", "numpy")

    def asking(self, context: Context) -> Callable[[Media], Any]:
        numerics, given = context.numerics, self.params
        speech = load_speech(self.inputs["model"], numerics.device, numerics.dtype, times=given.times)

        def found_of(media: Media) -> dict[str, Any]:
            if media.kind == "video" and "audio_codec" not in media.facts:
                return {"segments": None}
            found = speech.segments(media.path, given.language, given.task, given.max_tokens)
            return {"segments": [list(segment) for segment in found]}

        return found_of

    def said(self, found: Any, params: Any) -> Mapping[str, Any]:
        segments = found["segments"]
        if segments is None and not params.silent:
            raise ItemRejected("no_audio", "it has no sound; `silent: true` keeps it")
        parts = segments or []
        text = {params.into: "".join(said for _, _, said in parts).strip()}
        if params.segments is None:
            return text
        listed = [{"start": start, "end": end, "text": said.strip()} for start, end, said in parts]
        return {**text, params.segments: listed}
