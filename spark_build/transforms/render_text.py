"""Draws a text on pages, as images for models that read pages."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from spark_build.contract import InputPath, Item, Media, RuleParams, Transform
from spark_build.contract.media import new_file
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.core.values import replace
from spark_build.modalities.text.pages import Font, Layout, load_font, pages_of
from spark_build.transforms._media import made
from spark_build.transforms._text import fields_read_of_text, text_field

_MILLIMETERS = {"a3": (297, 420), "a4": (210, 297), "a5": (148, 210), "letter": (216, 279)}
_MM_PER_INCH = 25.4
_TALLEST = 30_000  # pixels of pages that are joined: what readers of PNG take
_COLOR = r"^#[0-9a-fA-F]{6}$"


class Params(RuleParams):
    field: str | None = Field(None, description="The text; by default 'text', or the item's only text.")
    into: str = Field("image", min_length=1, description="The field that takes the page.")
    page: Literal["a3", "a4", "a5", "letter"] = Field("a4", description="The page's size, with `dpi`.")
    dpi: int = Field(96, ge=20, le=600, description="Pixels of an inch.")
    width: int | None = Field(None, ge=32, le=10_000, description="Pixels, in place of the page's width.")
    height: int | None = Field(None, ge=32, le=10_000, description="Pixels, in place of the page's height.")
    margin: int | None = Field(
        None,
        ge=0,
        le=4000,
        description="Pixels that stay empty on each side; by default a twelfth of the width.",
    )
    font: InputPath | None = Field(
        None,
        description="A TrueType or OpenType file of the project. Without one it is the font that Pillow brings, which "
        "has the letters of English and little else.",
    )
    font_size: int = Field(16, ge=4, le=400, description="Pixels.")
    line_spacing: float = Field(1.35, ge=0.8, le=4, description="From line to line, in font sizes.")
    color: str = Field("#000000", pattern=_COLOR, description="Of letters: '#rrggbb'.")
    background: str = Field("#ffffff", pattern=_COLOR, description="Of the page: '#rrggbb'.")
    pages: Literal["split", "first", "join"] = Field(
        "split",
        description="Of a text that fills several pages. split: an item for each; first: the first alone; join: one "
        "image, the pages below one another.",
    )
    most_pages: int = Field(100, ge=1, description="A text that takes more is rejected (not with `first`).")
    text: Literal["page", "whole", "none"] = Field(
        "page", description="What stays beside the image: the text that stands on it, all of it, or none."
    )
    missing: float = Field(
        0.02,
        ge=0,
        le=1,
        description="A text of which the font lacks a larger share of characters is rejected; fewer are drawn as "
        "boxes, and counted in the image's facts.",
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        "column": "field", "text_field": "field", "to": "into", "image_field": "into", "size": "font_size",
        "fontsize": "font_size", "margins": "margin", "padding": "margin", "line_height": "line_spacing",
        "colour": "color", "max_pages": "most_pages", "font_path": "font", "resolution": "dpi",
    }  # fmt: skip

    @model_validator(mode="after")
    def _has_room(self) -> "Params":
        layout = self.layout
        if layout.columns < self.font_size or layout.lines < 1:
            raise ValueError(
                f"no room for a letter of {self.font_size} pixels on {layout.width} x {layout.height} with a margin of "
                f"{layout.margin}\n  fix: a larger page, or a smaller margin"
            )
        return self

    @property
    def layout(self) -> Layout:
        by_page = (round(mm / _MM_PER_INCH * self.dpi) for mm in _MILLIMETERS[self.page])
        width, height = (own or given for own, given in zip((self.width, self.height), by_page, strict=True))
        margin = width // 12 if self.margin is None else self.margin
        return Layout(width, height, margin, max(1, round(self.line_spacing * self.font_size)))


class RenderText(Transform):
    """PNG, the same bytes on every machine. Left to right, letter by letter: scripts that join or reorder letters count
    as missing, whatever the font holds.
    """

    Params = Params
    revision = 1
    libraries = ("pillow",)

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return fields_read_of_text(item, self.params.field)

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        name = text_field(item, self.params.field)
        text, params = item[name], self.params
        if text is None or not text.strip():
            raise ItemRejected("no_text", "there is nothing to draw")
        font = _font(self.inputs.get("font"), params.font_size)
        lacking = self._lacking(text, font)
        pages = pages_of(text, font, params.layout)
        if params.pages == "first":
            pages = pages[:1]
        elif len(pages) > params.most_pages:
            raise ItemRejected("too_many_pages", f"{len(pages):,}; `most_pages` is {params.most_pages:,}")
        groups = [pages] if params.pages == "join" else [[page] for page in pages]
        return [
            {**self._beside(name, text, group), params.into: self._drawn(group, font, lacking)}
            for group in groups
        ]

    def _lacking(self, text: str, font: Font) -> int:
        """Characters that the font lacks. Errors: ItemRejected where they are too many."""
        drawn, lacking = font.count(text)
        if lacking > self.params.missing * drawn:
            raise ItemRejected(
                "font_lacks",
                f"{lacking:,} of {drawn:,} characters: {font.examples(text)}; `font:` names one that has them",
            )
        return lacking

    def _beside(self, name: str, text: str, pages: Sequence[Any]) -> dict[str, Any]:
        if self.params.text == "none":
            return {}
        return {name: text if self.params.text == "whole" else "\n".join(page.text for page in pages)}

    def _drawn(self, pages: Sequence[Any], font: Font, lacking: int) -> Media:
        layout: Layout = self.params.layout
        if layout.height * len(pages) > _TALLEST:
            raise ItemRejected(
                "too_tall", f"{len(pages):,} pages are {layout.height * len(pages):,} pixels together"
            )
        path = new_file(".png")
        image = layout.drawn(pages, font, self.params.color, self.params.background)
        image.save(path, "PNG")
        media = made(path)
        return replace(media, facts={**media.facts, "missing_characters": lacking}) if lacking else media


@lru_cache(maxsize=4)
def _font(path: Path | None, size: int) -> Font:
    return load_font(path, size)
