"""render_text: what is drawn, where it is broken, what of it stays as text, and what no font can draw."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from spark_build.contract import Item
from spark_build.core.digest import digest_file
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.modalities.text.pages import Layout, load_font, pages_of
from spark_build.transforms.render_text import Params, RenderText
from tests.spark import Folder

DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
needs_dejavu = pytest.mark.skipif(not DEJAVU.exists(), reason="Debian's fonts-dejavu-core is not installed")
TEXT = "\n\n".join(
    f"{n}. The harbour was quiet that morning, and the boats lay still; nobody had gone out."
    for n in range(60)
)


def drawn(content: str, font: Path | None = None, **params: Any) -> list[dict[str, Any]]:
    rule = RenderText(Params(**params), {} if font is None else {"font": font})
    return [dict(page) for page in rule.apply(Item("a", "a", "train", {"text": content}))]


def pixels(page: dict[str, Any]) -> Any:
    with Image.open(page["image"].path) as image:
        return np.asarray(image)


def test_a_page_is_a4_at_96_dpi_and_its_margin_is_empty() -> None:
    first, *_ = drawn(TEXT)
    found = pixels(first)
    assert found.shape == (1123, 794, 3)
    margin = 794 // 12
    inside = found[margin : 1123 - margin, margin : 794 - margin]
    assert (found < 255).any()
    assert (found < 255).sum() == (inside < 255).sum()


def test_the_pages_texts_together_are_the_text() -> None:
    pages = drawn(TEXT)
    assert len(pages) > 1
    assert "\n".join(page["text"] for page in pages).split() == TEXT.split()
    assert pages[0]["text"] in TEXT, "as it was before it was broken into lines"


def test_pages_come_first_alone_or_joined() -> None:
    split, (first,), (joined,) = (drawn(TEXT, pages=pages) for pages in ("split", "first", "join"))
    assert np.array_equal(pixels(first), pixels(split[0]))
    assert np.array_equal(pixels(joined), np.concatenate([pixels(page) for page in split]))


def test_what_stays_beside_it() -> None:
    whole, *_ = drawn(TEXT, text="whole")
    none, *_ = drawn(TEXT, text="none")
    assert (whole["text"], set(none)) == (TEXT, {"image"})


def test_no_line_is_wider_than_the_page_and_indents_and_empty_lines_stay() -> None:
    font, layout = load_font(None, 16), Layout(300, 200, 20, 20)
    (page,) = pages_of("a\n\n    indented\n" + "word " * 9, font, layout)
    lines = [line.text for line in page.lines]
    assert lines[:3] == ["a", "", "    indented"]
    long = pages_of("x" * 500 + " " + "word " * 100, font, layout)
    widths = [font.face.getlength(line.text) for page in long for line in page.lines]
    assert max(widths) <= layout.columns
    assert "".join(line.text for page in long for line in page.lines).startswith("x" * 500)


def test_each_machine_gives_the_same_bytes(tmp_path: Path) -> None:
    """Another process with another locale, and no fonts of its own."""
    script = (
        "import sys; sys.path[:0] = ['tests']; from tests.transforms.test_render_text import TEXT, drawn\n"
        "from spark_build.core.digest import digest_file\n"
        "print([digest_file(page['image'].path) for page in drawn(TEXT)])"
    )
    env = {
        "HOME": str(tmp_path),
        "LC_ALL": "C",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(p for p in sys.path if p),
    }
    told = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str([digest_file(page["image"].path) for page in drawn(TEXT)])


def test_what_the_font_lacks_is_counted_and_too_much_of_it_is_rejected() -> None:
    (page,) = drawn("plain words, " * 5 + "and one é")
    assert page["image"].facts["missing_characters"] == 1
    with pytest.raises(ItemRejected, match="font_lacks: 4 of 26 characters: ü ß ö") as refused:
        drawn("Grüße aus Koeln, schöne Straße")
    assert "`font:`" in str(refused.value)
    assert "missing_characters" not in drawn("plain")[0]["image"].facts


@needs_dejavu
def test_a_font_of_the_project_draws_what_it_has() -> None:
    (page,) = drawn("Grüße, Ελλάδα, Москва → ∞", DEJAVU)
    assert "missing_characters" not in page["image"].facts
    with pytest.raises(ItemRejected, match="font_lacks"):
        drawn("日本語", DEJAVU)


@needs_dejavu
@pytest.mark.parametrize("text", ["שלום עולם", "مرحبا بالعالم", "नमस्ते"])
def test_scripts_that_are_not_set_letter_by_letter_count_as_missing(text: str) -> None:
    with pytest.raises(ItemRejected, match="font_lacks"):
        drawn(text, DEJAVU)


def test_what_can_not_be_drawn_is_a_rejected_item() -> None:
    for text, params, reason in (
        (" \n\t ", {}, "no_text"),
        (TEXT * 9, {"most_pages": 3}, "too_many_pages"),
        (TEXT * 18, {"pages": "join"}, "too_tall"),
    ):
        with pytest.raises(ItemRejected, match=reason):
            drawn(text, **params)
    assert len(drawn(TEXT * 9, pages="first", most_pages=1)) == 1


def test_a_page_without_room_and_a_file_that_is_no_font_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        ValidationError, match="no room for a letter of 16 pixels on 100 x 100 with a margin of 45"
    ):
        Params(width=100, height=100, margin=45)
    (tmp_path / "font.ttf").write_text("no font")
    with pytest.raises(BadInput, match=r"font\.ttf is no font"):
        drawn("a", tmp_path / "font.ttf")


@needs_dejavu
def test_in_a_build_another_font_draws_anew_and_one_that_was_moved_does_not(folder: Folder) -> None:
    folder.sparkfile(
        "datasets:\n  pages:\n    source: data\n    transforms:\n"
        "      - {use: render_text, with: {font: my.ttf, width: 300, height: 200}}\n"
    )
    folder.write("data/a.txt", "Grüße aus Köln. " * 40)
    folder.write("my.ttf", DEJAVU.read_bytes())
    first = folder.build()
    (folder.path / "fonts").mkdir()
    (folder.path / "my.ttf").rename(folder.path / "fonts/my.ttf")
    folder.edit("my.ttf", "fonts/my.ttf")
    assert not folder.build().ran
    folder.write("fonts/my.ttf", DEJAVU.with_name("DejaVuSerif.ttf").read_bytes())
    assert folder.build().outputs["dataset:pages/ingest"] != first.outputs["dataset:pages/ingest"]
    rows = folder.spark("show", "dataset:pages", "--json").lines[0]["rows"]
    assert [row["id"].rpartition("#")[2] for row in rows] == [str(n) for n in range(len(rows))]
    assert len(rows) > 1
