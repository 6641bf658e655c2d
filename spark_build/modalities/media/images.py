"""What is known of an image, through Pillow; it is decoded once, so that a broken one is found."""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected, Unavailable

if TYPE_CHECKING:
    from PIL import Image

# what is opened at all: each has a decoder in Pillow's own wheels
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000")

_BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}  # per channel; 8 in all other modes
_MOST_TAGS, _LONGEST_TAG = 64, 200
_THUMBNAIL = (1, 1)  # as small as JPEG's own scaling gives: every byte is read, few pixels are made


def image_facts(path: Path, max_pixels: int) -> dict[str, Any]:
    """Format, width, height, mode, bits, frames, EXIF.

    Errors: ItemRejected with reason broken_image, truncated, too_many_pixels or unknown_image.
    """
    with warnings.catch_warnings(action="ignore"):  # of EXIF that is wrong, of palettes
        try:
            with opened(path) as image:
                _check_pixels(image, max_pixels)
                facts = _facts(image)
                image.draft(None, _THUMBNAIL)
                image.load()
                return {**facts, **_exif(image)}
        except ItemRejected:
            raise
        except MemoryError:
            raise ItemRejected("too_large", "its decoder wants more memory than a file may take") from None
        except Exception as error:  # decoders raise whatever they stumble over
            raise _broken(error) from None


def opened(path: Path) -> "Image.Image":
    """Errors: Unavailable without Pillow; ItemRejected where it is of no format that can be read."""
    try:
        from PIL import Image, ImageFile, UnidentifiedImageError
    except ImportError:
        raise Unavailable("images need Pillow", fix="pip install 'spark-build[media]'") from None
    Image.MAX_IMAGE_PIXELS = None  # the limit is a param, and more than a warning
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise ItemRejected("broken_image", "its header can't be read") from None


def _check_pixels(image: "Image.Image", max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ItemRejected("too_many_pixels", f"{width} x {height}; `max_pixels` is {max_pixels}")


def _facts(image: "Image.Image") -> dict[str, Any]:
    facts = {
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "bits": _BITS.get(image.mode, 8),
    }
    frames = getattr(image, "n_frames", 1)
    return {**facts, "frames": frames} if frames > 1 else facts


def _broken(error: Exception) -> ItemRejected:
    said = str(error) or type(error).__name__
    reason = "truncated" if "truncated" in said.lower() else "broken_image"
    return ItemRejected(reason, said[:200])


def _exif(image: "Image.Image") -> dict[str, Any]:
    """Its tags by name; nothing where it has none, or none that can be read."""
    try:
        tags = dict(sorted(_tags(image)))
    except Exception:  # wrong EXIF spoils nothing but itself
        return {"exif_error": True}
    return {"exif": tags} if tags else {}


def _tags(image: "Image.Image") -> Iterator[tuple[str, Any]]:
    from PIL.ExifTags import IFD, TAGS

    exif = image.getexif()
    found = [*exif.items(), *exif.get_ifd(IFD.Exif).items()]
    for tag, value in found[:_MOST_TAGS]:
        plain = _plain(value)
        if plain is not None and tag in TAGS:
            yield TAGS[tag], plain
    if exif.get_ifd(IFD.GPSInfo):
        yield "GPSInfo", True  # that it tells where it was taken; not where


def _plain(value: Any) -> Any:
    """Text, or a number; None for all else."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode().strip()[:_LONGEST_TAG]
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None
