"""Brings sound to one sample rate and number of channels."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from spark_build.contract import Media
from spark_build.contract.params import Field
from spark_build.transforms._media import MediaTransform
from spark_build.transforms._sound import SoundParams, sound_of


class Params(SoundParams):
    rate: int | None = Field(
        16_000, ge=1000, le=384_000, description="Samples per second; null keeps those that it has."
    )
    field: str | None = Field(None, description="The audio; by default the item's only one.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "sample_rate": "rate", "sampling_rate": "rate", "hz": "rate", "column": "field", "to": "format",
    }  # fmt: skip


class Resample(MediaTransform):
    """16 bits a sample, WAV or FLAC."""

    Params = Params
    revision = 1
    kind = "audio"
    libraries = ("av",)
    reproducible = "numerics"  # the filter's last bits are the processor's

    def made_of(self, name: str, media: Media) -> Sequence[Mapping[str, Any]]:
        return [{name: sound_of(media, self.params)}]
