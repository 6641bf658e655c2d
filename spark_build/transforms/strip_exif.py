"""Takes out of images what cameras and programs write beside the pixels: place, time, device, names, thumbnails."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from spark_build.contract import Media, RuleParams
from spark_build.contract.media import new_file
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.metadata import stripped
from spark_build.transforms._media import MediaTransform, made


class Params(RuleParams):
    field: str | None = Field(None, description="The image; by default the item's only one.")
    orientation: bool = Field(
        default=True, description="Keep the tag that says which side is up (and nothing else)."
    )

    synonyms: ClassVar[Mapping[str, str]] = {"column": "field", "keep_orientation": "orientation"}


class StripExif(MediaTransform):
    """JPEG, PNG and WebP lose EXIF, XMP, IPTC, comments and texts; pixels and color profile stay, bit for bit.

    GIF and BMP have no EXIF. Other formats are rejected where they have some: `convert_image` writes them anew.
    """

    Params = Params
    revision = 1
    kind = "image"
    libraries = ("pillow",)

    def made_of(self, name: str, media: Media) -> Sequence[Mapping[str, Any]]:
        turned = media.facts.get("exif", {}).get("Orientation", 1) if self.params.orientation else 1
        before = media.path.read_bytes()
        after = stripped(before, media.suffix, int(turned))
        if after is None:
            if "exif" in media.facts or "exif_error" in media.facts:
                raise ItemRejected(
                    "unsupported_format", f"EXIF can't be taken out of {media.facts.get('format')}"
                )
            after = before
        if after == before:
            return [{name: media}]
        path = new_file(media.suffix)
        path.write_bytes(after)
        return [{name: made(path)}]
