"""What transforms that write sound share."""

from typing import Any, Literal

from spark_build.contract import Media, RuleParams
from spark_build.contract.media import new_file
from spark_build.contract.params import Field
from spark_build.modalities.media.decoding import write_sound
from spark_build.transforms._media import made


class SoundParams(RuleParams):
    rate: int | None = Field(
        None, ge=1000, le=384_000, description="Samples per second; by default as it is."
    )
    channels: Literal[1, 2] | None = Field(
        None, description="1 or 2; by default as it is, of more than 2 two."
    )
    format: Literal["wav", "flac"] = Field("wav", description="What it is kept as, with 16 bits a sample.")


def sound_of(media: Media, params: Any) -> Media:
    """Errors: ItemRejected."""
    path = new_file(f".{params.format}")
    write_sound(media.path, path, rate=params.rate, channels=params.channels)
    return made(path)
