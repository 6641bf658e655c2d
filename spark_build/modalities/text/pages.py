"""Text set on pages: broken into lines by a font's own widths, and drawn. The same on every machine."""

import unicodedata
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import BadInput
from spark_build.core.values import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

_NOBODYS = "\U0010ffff"  # no font has it: what is drawn for it is what is drawn for all that is missing
_TAB = " " * 4
_MOST_EXAMPLES = 8
# scripts whose letters are joined, stacked or reordered: drawn one by one they are not what a reader knows
_SHAPED = (
    (0x0590, 0x08FF),
    (0x0900, 0x0DFF),
    (0x0F00, 0x109F),
    (0x1780, 0x17FF),
    (0xFB1D, 0xFDFF),
    (0xFE70, 0xFEFE),
)


class Font:
    """Letters are set by their own widths: neither ligatures nor the machine's shaping library have a part in it."""

    def __init__(self, face: Any) -> None:
        self.face = face
        self.width_of = lru_cache(maxsize=1 << 16)(self._width_of)
        self._has = lru_cache(maxsize=1 << 16)(self._looks)
        self._missing = self._look_of(_NOBODYS)

    def count(self, text: str) -> tuple[int, int]:
        """Characters that show, and how many of these it lacks."""
        counts: dict[str, int] = {}
        for character in _plain(text):
            counts[character] = counts.get(character, 0) + 1
        shown = {character: count for character, count in counts.items() if not character.isspace()}
        return sum(shown.values()), sum(count for c, count in shown.items() if not self._has(c))

    def examples(self, text: str) -> str:
        lacking = dict.fromkeys(c for c in _plain(text) if not c.isspace() and not self._has(c))
        return " ".join(list(lacking)[:_MOST_EXAMPLES])

    def _width_of(self, text: str) -> float:
        return float(self.face.getlength(text))

    def _looks(self, character: str) -> bool:
        if any(first <= ord(character) <= last for first, last in _SHAPED):
            return False
        return bool(self._look_of(character) != self._missing)

    def _look_of(self, character: str) -> Any:
        mask = self.face.getmask(character, mode="L")
        return mask.size, bytes(mask), self.face.getlength(character)


def load_font(path: Path | None, size: int) -> Font:
    """From a file, or the one that Pillow brings. Errors: BadInput where the file is no font."""
    from PIL import ImageFont

    basic = ImageFont.Layout.BASIC
    if path is None:
        default: Any = ImageFont.load_default(size)
        return Font(default.font_variant(layout_engine=basic))
    try:
        return Font(ImageFont.truetype(BytesIO(path.read_bytes()), size, layout_engine=basic))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path.name} is no font that can be read: {error}", fix="font: a .ttf or .otf file"
        ) from error


class Line(Struct, frozen=True):
    text: str
    behind: str  # what stood between it and the next one: a new line, a space, or nothing


class Page(Struct, frozen=True):
    lines: "Sequence[Line]"

    @property
    def text(self) -> str:
        """As it was before it was broken into lines."""
        return "".join(line.text + line.behind for line in self.lines).strip("\n").rstrip()


class Layout(Struct, frozen=True):
    """All in pixels."""

    width: int
    height: int
    margin: int
    line_height: int

    @property
    def columns(self) -> int:
        return self.width - 2 * self.margin

    @property
    def lines(self) -> int:
        return (self.height - 2 * self.margin) // self.line_height

    def drawn(self, pages: "Sequence[Page]", font: Font, color: str, background: str) -> "Image.Image":
        """The pages below one another."""
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (self.width, self.height * len(pages)), background)
        draw = ImageDraw.Draw(image)
        for number, page in enumerate(pages):
            for row, line in enumerate(page.lines):
                place = (self.margin, number * self.height + self.margin + row * self.line_height)
                draw.text(place, line.text, fill=color, font=font.face)
        return image


def pages_of(text: str, font: Font, layout: Layout) -> list[Page]:
    lines = [
        line for paragraph in _plain(text).split("\n") for line in _lines(paragraph, font, layout.columns)
    ]
    pages = [Page(lines[at : at + layout.lines]) for at in range(0, len(lines), layout.lines)]
    return [page for page in pages if page.text]


def _plain(text: str) -> str:
    """One form of each letter, no control characters, lone surrogates or marks that show nothing."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n"))
    text = text.replace("\t", _TAB).replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def _lines(paragraph: str, font: Font, columns: int) -> list[Line]:
    """Broken between words; a word that is wider than the page is broken where it has to be."""
    found: list[Line] = []
    line: list[str] = []  # words; an empty one for each space more than one
    width, space = 0.0, font.width_of(" ")
    for word in paragraph.rstrip().split(" "):
        wide = font.width_of(word)
        if line and width + space + wide <= columns:
            line.append(word)
            width += space + wide
            continue
        if line:
            found.append(Line(" ".join(line), " "))
        *whole, last = _broken(word, font, columns) if wide > columns else [word]
        found += [Line(part, "") for part in whole]
        line, width = [last], font.width_of(last)
    return [*found, Line(" ".join(line), "\n")]


def _broken(word: str, font: Font, columns: int) -> list[str]:
    parts, part, width = [], "", 0.0
    for character in word:
        wide = font.width_of(character)
        if part and width + wide > columns:
            parts.append(part)
            part, width = "", 0.0
        part, width = part + character, width + wide
    return [*parts, part]
