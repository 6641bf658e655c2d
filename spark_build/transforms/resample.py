"""Brings sound to one sample rate and number of channels."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from spark_build.contract import Item, Transform
from spark_build.contract.params import Field
from spark_build.transforms._media import fields_read, media_field
from spark_build.transforms._sound import SoundParams, sound_of


class Params(SoundParams):
    rate: int | None = Field(
        16_000, ge=1000, le=384_000, description="Samples per second; null keeps those that it has."
    )
    field: str | None = Field(None, description="The audio; by default the item's only one.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "sample_rate": "rate", "sampling_rate": "rate", "hz": "rate", "column": "field", "to": "format",
    }  # fmt: skip


class Resample(Transform):
    """16 bits a sample, WAV or FLAC."""

    Params = Params
    revision = 1
    libraries = ("av",)
    reproducible = "numerics"  # the filter's last bits are the processor's

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return fields_read(item, "audio", self.params.field)

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        name = media_field(item, "audio", self.params.field)
        if name is None:
            return [{}]
        return [{name: sound_of(item[name], self.params)}]
