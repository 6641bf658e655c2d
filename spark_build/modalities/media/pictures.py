"""How alike two images look: perceptual hashes that name candidates, and a comparison that finds a crop's place.

All is whole numbers from the decoded pixels on, so that no processor and no BLAS gives other bits.
Source: the DCT hash of Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.
"""

import warnings
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected
from spark_build.core.values import Struct
from spark_build.modalities.media.images import opened

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

HASH_BITS = 64
# What a mild crop leaves, as (share of the side, place across, place down). An image and its crop share no hash of the
# whole, but the whole of the one is about one of these parts of the other.
PARTS = (
    (1.0, 0.5, 0.5), (0.97, 0.5, 0.5), (0.94, 0.5, 0.5), (0.9, 0.5, 0.5),
    (0.95, 0.0, 0.0), (0.95, 1.0, 0.0), (0.95, 0.0, 1.0), (0.95, 1.0, 1.0),
)  # fmt: skip

_SMALL, _GRID = 64, 32  # pixels a side: what is kept of an image, and what is compared
_COARSE = [(share, x / 4, y / 4) for share in (0.97, 0.94, 0.91, 0.88) for x in range(5) for y in range(5)]
_FINE_SHARE, _FINE_PLACE = 0.015, 0.125  # steps around the best of these
_ALIKE_ENOUGH = 0.95  # no crop is looked for
_NOISE = 9 * 3 * _GRID * _GRID  # three steps of brightness: below it nothing is told from nothing
_STRETCH = 10  # similarity 0.9 is one hundredth of the two images' contrast


def picture_hashes(path: Path) -> bytes:
    """One 64-bit hash for each of `PARTS`, little-endian. Errors: ItemRejected."""
    return hashes_of(small(path))


def hashes_of(picture: "Image.Image") -> bytes:
    """The same of a `small` image."""
    gray = picture.convert("L")
    return b"".join(_hash(_pixels(gray, part)) for part in PARTS)


class Picture(Struct, frozen=True, dict=True):
    """A `small` image, and what is compared of it."""

    small: "Image.Image"

    @cached_property
    def pixels(self) -> "np.ndarray[Any, Any]":
        return _pixels(self.small)

    @cached_property
    def parts(self) -> "np.ndarray[Any, Any]":
        """Its parts at all places of the coarse grid, one after the other."""
        import numpy as np

        return np.stack([_pixels(self.small, place) for place in _COARSE]).astype(np.int16)


def likeness(first: Picture, second: Picture) -> float:
    """From 0 to 1: how much of the contrast of both agrees, at the best place of one in the other."""
    straight = _score(first.pixels, second.pixels)
    if straight >= _ALIKE_ENOUGH:
        return straight
    (score, place), (other_score, other_place) = _best_part(first, second), _best_part(second, first)
    whole, part, place = (first, second, place) if score >= other_score else (second, first, other_place)
    near = (_score(_pixels(whole.small, around), part.pixels) for around in _around(place))
    return max(straight, score, other_score, *near)


def small(path: Path) -> "Image.Image":
    """The image upright, without transparency, 64 x 64 RGB. Errors: ItemRejected."""
    try:
        with warnings.catch_warnings(action="ignore"), opened(path) as image:
            image.draft("RGB", (_SMALL, _SMALL))  # JPEG: decoded at a smaller size at once
            return upright(_resized(in_color(image), (_SMALL, _SMALL)), image)
    except ItemRejected:
        raise
    except Exception as error:  # decoders raise whatever they stumble over
        raise ItemRejected("broken_image", (str(error) or type(error).__name__)[:200]) from None


def upright(pixels: "Image.Image", image: "Image.Image") -> "Image.Image":
    """`pixels` turned as the EXIF of `image` says. Source: the tag Orientation of EXIF 2.32, section 4.6.4."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }  # fmt: skip
    orientation = _orientation(image)
    return pixels.transpose(turns[orientation]) if orientation in turns else pixels


def small_frame(frame: "Image.Image") -> "Image.Image":
    """A video's frame as `small` gives an image."""
    return _resized(frame, (_SMALL, _SMALL))


def _orientation(image: "Image.Image") -> Any:
    from PIL.ExifTags import Base

    try:
        return image.getexif().get(Base.Orientation, 1)
    except Exception:  # wrong EXIF turns nothing
        return 1


def in_color(image: "Image.Image") -> "Image.Image":
    """RGB, eight bits, on white where it is transparent."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: "Image.Image") -> "np.ndarray[Any, Any]":
    """16 bits: the upper ones; floats: from the least to the greatest."""
    import numpy as np

    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return (values >> 8).astype(np.uint8)
    least, span = float(values.min()), float(values.max()) - float(values.min())
    scaled: np.ndarray[Any, Any] = ((values - least) * (255 / span if span else 0)).astype(np.uint8)
    return scaled


def _resized(image: "Image.Image", size: tuple[int, int], box: Any = None) -> "Image.Image":
    from PIL.Image import Resampling

    is_smaller = image.width >= size[0] and image.height >= size[1]
    return image.resize(size, Resampling.BOX if is_smaller and box is None else Resampling.BILINEAR, box=box)


def _pixels(image: "Image.Image", part: tuple[float, float, float] = PARTS[0]) -> "np.ndarray[Any, Any]":
    import numpy as np

    share, across, down = part
    side = _SMALL * share
    left, top = (_SMALL - side) * across, (_SMALL - side) * down
    box = (left, top, left + side, top + side)
    return np.asarray(_resized(image, (_GRID, _GRID), box), np.int64)


def _hash(gray: "np.ndarray[Any, Any]") -> bytes:
    import numpy as np

    matrix = _cosines()
    low = (matrix @ gray @ matrix.T).ravel()
    return np.packbits(low > np.sort(low)[HASH_BITS // 2 - 1], bitorder="little").tobytes()


@lru_cache(maxsize=1)
def _cosines() -> "np.ndarray[Any, Any]":
    """Rows 1 to 8 of the DCT of 32 values, in 4096ths; the row of the mean brightness is left out."""
    import math

    import numpy as np

    rows = range(1, 9)
    return np.array(
        [
            [round(4096 * math.cos(math.pi * (2 * i + 1) * k / (2 * _GRID))) for i in range(_GRID)]
            for k in rows
        ],
        np.int64,
    )


def _score(first: "np.ndarray[Any, Any]", second: "np.ndarray[Any, Any]") -> float:
    """One less the share of the difference in the contrast of both, stretched; brightness as a whole is left out."""
    return float(_scores(first[None], second)[0])


def _scores(several: "np.ndarray[Any, Any]", one: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    difference, contrast = _spreads(several - one), _spreads(several) + _spreads(one[None]) + _NOISE
    scores: np.ndarray[Any, Any] = np.maximum(0.0, 1 - _STRETCH * difference / contrast)
    return scores


def _spreads(several: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Of each its sum of squares around the mean."""
    import numpy as np

    flat = several.reshape(len(several), -1).astype(np.int32)
    squares, sums = (flat * flat).sum(axis=1, dtype=np.int64), flat.sum(axis=1, dtype=np.int64)
    spreads: np.ndarray[Any, Any] = squares - sums.astype(np.float64) ** 2 / flat.shape[1]
    return spreads


def _best_part(whole: Picture, part: Picture) -> tuple[float, tuple[float, float, float]]:
    """How well `part` fits some part of `whole`, and where."""
    scores = _scores(whole.parts, part.pixels.astype(whole.parts.dtype))
    best = int(scores.argmax())
    return float(scores[best]), _COARSE[best]


def _around(place: tuple[float, float, float]) -> Iterator[tuple[float, float, float]]:
    share, across, down = place
    for more in (-_FINE_SHARE, 0.0, _FINE_SHARE):
        for x in (-_FINE_PLACE, 0.0, _FINE_PLACE):
            for y in (-_FINE_PLACE, 0.0, _FINE_PLACE):
                yield share + more, min(max(across + x, 0.0), 1.0), min(max(down + y, 0.0), 1.0)
