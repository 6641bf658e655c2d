"""The page in a real browser: Debian's Chromium, led by Playwright."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.spark import Folder

Told = Callable[..., dict[str, Any]]
Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def notes(texts: Folder, told: Told) -> dict[str, Any]:
    return told(texts, "dataset:notes", "--samples", "60", "--unredacted", "--to", "page.html")


@pytest.fixture(scope="module")
def album(media: Folder, told: Told) -> dict[str, Any]:
    return told(media, "dataset:album", "--to", "page.html")


@pytest.fixture(params=["texts", "media"])
def file(request: pytest.FixtureRequest, texts: Folder, media: Folder, notes: Any, album: Any) -> Path:
    return {"texts": texts, "media": media}[request.param].path / "page.html"


def test_it_asks_for_nothing_and_says_nothing_on_the_console(file: Path, opened: Opened) -> None:
    assert opened(file).heard == []


@pytest.mark.parametrize("width", [320, 375, 768, 1400])
def test_nothing_hangs_over_the_edge(file: Path, opened: Opened, width: int) -> None:
    page = opened(file, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_decode(media: Folder, album: Any, opened: Opened) -> None:
    page = opened(media.path / "page.html")
    widths = page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert len(widths) > 10
    assert min(widths) > 0
    assert page.locator("#kept .frames img").count() == 4
    assert page.locator("#kept svg .wave").count() == 1


def test_the_funnel_shows_the_facts(texts: Folder, notes: dict[str, Any], opened: Opened) -> None:
    page = opened(texts.path / "page.html")
    lines = dict(line.rsplit("\n", 1) for line in page.locator(".funnel li").all_inner_texts())
    shown = {name.partition(" ")[0].partition("\n")[0]: told for name, told in lines.items()}
    funnel = notes["funnel"]
    assert shown["kept"] == f"{funnel['kept']:,}"
    assert shown["records"] == f"{funnel['read']:,}"
    for step in (*funnel["reading"], *funnel["gates"]):
        told = [f"−{step['rejected']:,}"] if step["rejected"] else []
        told += [f"{step['flagged']:,} flagged"] if step["flagged"] else []
        told += [f"{step['replaced']:,} changed"] if step["replaced"] else []
        assert shown[step["name"]] == (", ".join(told) or "0")


def test_bars_tell_the_counts_that_the_table_has(
    texts: Folder, notes: dict[str, Any], opened: Opened
) -> None:
    page = opened(texts.path / "page.html")
    for n, histogram in enumerate(h for h in notes["histograms"] if h["least"] < h["greatest"]):
        chart = page.locator("#distributions .chart", has=page.locator(".axis")).nth(n)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        cells = chart.locator("td.n").all_inner_texts()
        assert [int(cell.replace(",", "")) for cell in cells] == histogram["counts"]
        titles = chart.locator("rect title").all_text_contents()
        assert [int(t.rpartition(": ")[2]) for t in titles] == [c for c in histogram["counts"] if c]


def test_what_an_item_says_does_not_run(texts: Folder, notes: Any, opened: Opened) -> None:
    page = opened(texts.path / "page.html")
    assert page.title() == "Notes <b>& more</b> · spark report"
    assert page.locator("script, [onerror], b:has-text('more')").count() == 0
    told = page.locator("pre", has_text="<script>document.title=").first.inner_text()
    assert "<img src=x onerror=\"document.title='owned'\"> \\x202egnp.exe &amp;" in told
    assert page.locator(".source", has_text="<img src=x onerror=alert(1)>.md").count() >= 1
    assert page.heard == []


def test_its_policy_runs_nothing_even_where_markup_got_in(texts: Folder, notes: Any, opened: Opened) -> None:
    file = texts.path / "broken-into.html"
    hostile = "<script>document.title='owned'</script><img src='https://example.org/x'>"
    file.write_text((texts.path / "page.html").read_text().replace("</main>", f"{hostile}</main>"))
    page = opened(file)
    assert page.title() != "owned"
    assert page.evaluate("document.images[document.images.length - 1].naturalWidth") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_in_light_and_dark(file: Path, opened: Opened, dark: bool) -> None:
    """WCAG 2.1 asks for a contrast of 4.5 (section 1.4.3)."""
    page = opened(file, dark=dark)
    pairs = page.evaluate(_COLORS)
    assert len(pairs) > 20
    assert min(contrast(*pair) for pair in pairs) >= 4.5


_COLORS = """() => {
  const rgb = text => text.match(/[0-9.]+/g).map(Number);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const color = rgb(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color.slice(0, 3);
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('h1,h2,h3,p,dt,dd,li,td,th,pre,small,summary,figcaption,code,strong,nav a')]
    .filter(node => node.innerText)
    .map(node => [rgb(getComputedStyle(node).color).slice(0, 3), behind(node)]);
}"""


def contrast(first: list[float], second: list[float]) -> float:
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: list[float]) -> float:
    parts = [v / 255 / 12.92 if v / 255 <= 0.03928 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in color]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_every_chart_says_what_it_shows(file: Path, opened: Opened) -> None:
    page = opened(file)
    told = page.evaluate(
        "[...document.querySelectorAll('svg')].map(s => [s.getAttribute('role'), s.getAttribute('aria-label')])"
    )
    assert told
    assert all(role == "img" and label for role, label in told)
    assert page.evaluate("[...document.images].every(image => image.alt)")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_links_of_the_page_lead_to_its_sections(file: Path, opened: Opened) -> None:
    page = opened(file)
    names = page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href').slice(1))")
    assert names
    assert names == page.evaluate("[...document.querySelectorAll('main > section')].map(s => s.id)")
