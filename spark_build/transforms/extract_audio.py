"""Takes the sound of a video out as audio."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from spark_build.contract import Media
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.transforms._media import MediaTransform
from spark_build.transforms._sound import SoundParams, sound_of


class Params(SoundParams):
    field: str | None = Field(None, description="The video; by default the item's only one.")
    to: str = Field("audio", description="The field that takes the sound.")
    keep_video: bool = Field(default=True, description="The item keeps its video.")
    silent: bool = Field(default=False, description="Keep videos without sound; else they are rejected.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "sample_rate": "rate", "sampling_rate": "rate", "hz": "rate", "column": "field", "audio_field": "to",
    }  # fmt: skip


class ExtractAudio(MediaTransform):
    """The first audio stream, 16 bits a sample, WAV or FLAC."""

    Params = Params
    revision = 1
    kind = "video"
    libraries = ("av",)
    reproducible = "numerics"  # the filter's last bits are the processor's

    def made_of(self, name: str, media: Media) -> Sequence[Mapping[str, Any]]:
        kept = {name: media} if self.params.keep_video else {}
        if "audio_codec" not in media.facts:
            if not self.params.silent:
                raise ItemRejected("no_audio", "it has no sound; `silent: true` keeps it")
            return [kept]
        return [{**kept, self.params.to: sound_of(media, self.params)}]
