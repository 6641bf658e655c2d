"""Small pictures of media for people: thumbnails, the shape of a sound, frames of a video."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected, Unavailable

if TYPE_CHECKING:
    from PIL import Image

SIDE = 176  # pixels, of the longer side
POINTS = 120  # of a wave
_FRAMES = 4
_MOST_PIXELS = 64_000_000  # that are decoded for a picture of 176
_MOST_SECONDS = 600.0  # of a sound that are listened to
_QUALITY = 72


def preview(path: Path, kind: str, seconds: float) -> dict[str, Any]:
    """`images` as WebP in base64; of audio `wave`, from 0 to 100 for each part of the `seconds` that are shown.

    Errors: ItemRejected where it can't be decoded, or takes too much for a small picture.
    """
    try:
        if kind == "audio":
            return _wave(path, seconds)
        return {"images": [_image(path)] if kind == "image" else _frames(path, seconds)}
    except (ItemRejected, Unavailable):
        raise
    except Exception as error:  # decoders raise whatever they stumble over
        raise ItemRejected("broken_media", (str(error) or type(error).__name__)[:200]) from None


def _image(path: Path) -> str:
    import warnings

    from spark_build.modalities.media.images import opened
    from spark_build.modalities.media.pictures import in_color, upright

    with warnings.catch_warnings(action="ignore"), opened(path) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ItemRejected("too_many_pixels", f"{image.width} x {image.height}")
        image.draft("RGB", (SIDE, SIDE))  # JPEG: decoded at a smaller size at once
        return _small(upright(in_color(image), image))


def _frames(path: Path, seconds: float) -> list[str]:
    from spark_build.modalities.media.decoding import frames_at

    times = [seconds * (part + 0.5) / _FRAMES for part in range(_FRAMES)]
    return [_small(frame) for frame in frames_at(path, times)]


def _small(image: "Image.Image") -> str:
    from PIL.Image import Resampling

    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Resampling.BOX if max(image.size) > SIDE else Resampling.NEAREST)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=_QUALITY, method=4)
    return base64.b64encode(file.getvalue()).decode()


def _wave(path: Path, seconds: float) -> dict[str, Any]:
    """Half of what lies between the highest and the lowest sample of each part, over the most of all."""
    import numpy as np

    from spark_build.modalities.media.decoding import samples_of

    shown = max(min(seconds, _MOST_SECONDS), 1e-3)
    highest, lowest, at = np.full(POINTS, -np.inf), np.full(POINTS, np.inf), 0
    for rate, samples in samples_of(path):
        places = ((at + np.arange(len(samples))) * (POINTS / (rate * shown))).astype(np.int64)
        inside = places < POINTS
        np.maximum.at(highest, places[inside], samples[inside])
        np.minimum.at(lowest, places[inside], samples[inside])
        at += len(samples)
        if not inside.all():
            break
    spans = np.where(np.isfinite(highest), highest - lowest, 0.0)
    most = float(spans.max()) or 1.0
    return {"wave": [int(span) for span in np.rint(spans * (100 / most))], "seconds": round(shown, 3)}
