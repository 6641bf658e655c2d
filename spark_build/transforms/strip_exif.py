"""Takes out of images what cameras and programs write beside the pixels: place, time, device, names, thumbnails."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from spark_build.contract import Item, RuleParams, Transform
from spark_build.contract.media import new_file
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.metadata import stripped
from spark_build.transforms._media import fields_read, made, media_field


class Params(RuleParams):
    field: str | None = Field(None, description="The image; by default the item's only one.")
    orientation: bool = Field(
        default=True, description="Keep the tag that says which side is up (and nothing else)."
    )

    synonyms: ClassVar[Mapping[str, str]] = {"column": "field", "keep_orientation": "orientation"}


class StripExif(Transform):
    """JPEG, PNG and WebP lose EXIF, XMP, IPTC, comments and texts; pixels and color profile stay, bit for bit.

    GIF and BMP have no EXIF. Other formats are rejected where they have some: `convert_image` writes them anew.
    """

    Params = Params
    revision = 1
    libraries = ("pillow",)

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return fields_read(item, "image", self.params.field)

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        name = media_field(item, "image", self.params.field)
        if name is None:
            return [{}]
        image = item[name]
        turned = image.facts.get("exif", {}).get("Orientation", 1) if self.params.orientation else 1
        before = image.path.read_bytes()
        after = stripped(before, image.suffix, int(turned))
        if after is None:
            if "exif" in image.facts or "exif_error" in image.facts:
                raise ItemRejected(
                    "unsupported_format", f"EXIF can't be taken out of {image.facts.get('format')}"
                )
            after = before
        if after == before:
            return [{name: image}]
        path = new_file(image.suffix)
        path.write_bytes(after)
        return [{name: made(path)}]
