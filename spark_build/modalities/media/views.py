"""What a model is shown of an image or a video: RGB pictures, upright, on white where they are transparent."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.decoding import frames_at
from spark_build.modalities.media.images import opened
from spark_build.modalities.media.pictures import in_color, upright

if TYPE_CHECKING:
    from PIL import Image


def views(
    path: Path, kind: str, facts: Mapping[str, Any], frames: int
) -> Iterator[tuple[float | None, "Image.Image"]]:
    """The image, or pictures of what moves: at most `frames`, each from the middle of an equal part.

    With each its time in seconds, of a video; one is in memory at a time. Errors: ItemRejected.
    """
    if kind == "video":
        for seconds in _middles(frames, float(facts["duration"])):
            (image,) = frames_at(path, (seconds,))
            yield round(seconds, 3), image
        return
    number = int(facts.get("frames", 1))
    for place in _middles(min(frames, number), number):
        yield None, _image(path, int(place))


def _middles(parts: int, whole: float) -> list[float]:
    return [(part + 0.5) * whole / parts for part in range(parts)]


def _image(path: Path, frame: int) -> "Image.Image":
    try:
        with warnings.catch_warnings(action="ignore"), opened(path) as image:
            if frame:
                image.seek(frame)
            return upright(in_color(image), image)
    except ItemRejected:
        raise
    except Exception as error:  # decoders raise whatever they stumble over
        raise ItemRejected("broken_image", (str(error) or type(error).__name__)[:200]) from None
