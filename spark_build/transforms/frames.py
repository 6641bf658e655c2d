"""Makes an item of each of a video's frames, or of some of them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from spark_build.contract import Media, RuleParams
from spark_build.contract.media import new_file
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.decoding import Wanted, evenly, every, first_of, frames_of
from spark_build.transforms._media import MediaTransform, made


class Params(RuleParams):
    """One of `every`, `count` and `keyframes` says which."""

    field: str | None = Field(None, description="The video; by default the item's only one.")
    every: float | None = Field(None, gt=0, description="A frame at each multiple of so many seconds.")
    count: int | None = Field(
        None, ge=1, description="So many frames, evenly over the video; fewer where it has fewer."
    )
    keyframes: bool = Field(default=False, description="The frames that the codec stores whole.")
    to: str = Field("image", description="The field that takes the frame.")
    format: Literal["jpeg", "png"] = Field("jpeg", description="What a frame is kept as.")
    quality: int = Field(90, ge=1, le=100, description="Of jpeg.")
    most: int = Field(
        10_000, ge=1, description="A video that gives more frames is rejected, rather than filling the disk."
    )
    keep_video: bool = Field(default=False, description="Each frame keeps the video that it is of.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "column": "field", "seconds": "every", "interval": "every", "num_frames": "count", "n": "count",
        "max_frames": "most", "image_field": "to",
    }  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> "Params":
        if sum((self.every is not None, self.count is not None, self.keyframes)) != 1:
            raise ValueError("give exactly one of every, count, keyframes")
        return self


class Frames(MediaTransform):
    """Every frame has the item's other fields, and its time in seconds as `time`."""

    Params = Params
    revision = 1
    kind = "video"
    libraries = ("av", "pillow")
    reproducible = "numerics"  # colors are converted by what the processor offers

    def made_of(self, name: str, media: Media) -> Sequence[Mapping[str, Any]]:
        kept = {name: media} if self.params.keep_video else {}
        found = frames_of(media.path, self._wanted(media), keyframes=self.params.keyframes)
        frames = [
            {**kept, self.params.to: self._kept(image), "time": seconds}
            for seconds, image in first_of(found, self.params.most)
        ]
        if not frames:
            raise ItemRejected("no_frame", "none of its frames is wanted")
        return frames

    def _wanted(self, video: Media) -> Wanted:
        if self.params.every is not None:
            return every(self.params.every)
        if self.params.count is not None:
            return evenly(self.params.count, video.facts["duration"])
        return lambda seconds: True

    def _kept(self, image: Any) -> Media:
        path = new_file(".png" if self.params.format == "png" else ".jpg")
        image.save(path, self.params.format.upper(), quality=self.params.quality)
        return made(path)
