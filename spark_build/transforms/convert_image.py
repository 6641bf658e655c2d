"""Writes images anew: in one format, one color mode, and no larger than they need to be."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from spark_build.contract import Media, RuleParams
from spark_build.contract.media import new_file
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.images import opened
from spark_build.modalities.media.pictures import in_color, upright
from spark_build.transforms._media import MediaTransform, made

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = {"jpeg": ("JPEG", ".jpg"), "png": ("PNG", ".png"), "webp": ("WEBP", ".webp")}


class Params(RuleParams):
    field: str | None = Field(None, description="The image; by default the item's only one.")
    format: Literal["jpeg", "png", "webp"] = Field("jpeg", description="What it becomes.")
    size: int | tuple[int, int] | None = Field(
        None,
        description="Pixels of the longer side, at most; or [width, height], which `fit` says how to reach. "
        "Nothing is made larger but by `stretch` and `cover`.",
    )
    fit: Literal["inside", "cover", "stretch"] = Field(
        "inside",
        description="inside: as large as it may be; cover: fills it, and what stands over is cut off; stretch: "
        "exactly, whatever becomes of its shape.",
    )
    mode: Literal["rgb", "gray"] = Field("rgb", description="Colors; what is transparent becomes white.")
    quality: int = Field(90, ge=1, le=100, description="Of jpeg and webp.")

    synonyms: ClassVar[Mapping[str, str]] = {
        "column": "field", "to": "format", "max_size": "size", "resize": "size", "colour": "mode", "color": "mode",
    }  # fmt: skip


class ConvertImage(MediaTransform):
    """Turned upright by its EXIF, which it loses with all other metadata but its color profile."""

    Params = Params
    revision = 1
    kind = "image"
    libraries = ("pillow",)

    def made_of(self, name: str, media: Media) -> Sequence[Mapping[str, Any]]:
        kind, suffix = _FORMATS[self.params.format]
        path = new_file(suffix)
        self._write(media.path, path, kind)
        return [{name: made(path)}]

    def _write(self, source: Path, path: Path, kind: str) -> None:
        try:
            with warnings.catch_warnings(action="ignore"), opened(source) as image:
                profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
                plain = self._sized(upright(in_color(image), image))
                plain = plain if self.params.mode == "rgb" else plain.convert("L")
                kept = {"icc_profile": profile} if profile and plain.mode == "RGB" else {}
                plain.save(path, kind, quality=self.params.quality, **kept)
        except ItemRejected:
            raise
        except Exception as error:  # decoders raise whatever they stumble over
            raise ItemRejected("broken_image", (str(error) or type(error).__name__)[:200]) from None

    def _sized(self, image: "Image.Image") -> "Image.Image":
        from PIL import ImageOps
        from PIL.Image import Resampling

        size = self.params.size
        if size is None:
            return image
        box = size if isinstance(size, tuple) else (size, size)
        if isinstance(size, tuple) and self.params.fit == "stretch":
            return image.resize(box, Resampling.LANCZOS)
        if isinstance(size, tuple) and self.params.fit == "cover":
            return ImageOps.fit(image, box, Resampling.LANCZOS)
        image.thumbnail(box, Resampling.LANCZOS)
        return image
