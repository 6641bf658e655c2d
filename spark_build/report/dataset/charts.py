"""Charts as inline SVG: widths in per cent, so that they fit a phone; text stays text. Each says what it shows."""

from collections.abc import Mapping, Sequence

from spark_build.report.dataset.html import Html, element, joined
from spark_build.report.dataset.tallies import Histogram
from spark_build.report.words import figure

_HEIGHT = 110  # pixels of a histogram
_WAVE_HEIGHT = 40


def histogram_chart(histogram: Histogram) -> Html:
    """Bars side by side; each tells its edges and its count."""
    most, wide = max(histogram.counts), 100 / len(histogram.counts)
    bars = [
        element(
            "rect",
            element("title", f"{span}: {count:,}"),
            x=f"{place * wide + wide * 0.04:.3f}%",
            y=f"{_HEIGHT - tall:.1f}",
            width=f"{wide * 0.92:.3f}%",
            height=f"{tall:.1f}",
            class_="bar",
        )
        for place, (span, count) in enumerate(zip(spans(histogram), histogram.counts, strict=True))
        if (tall := max(2.0, _HEIGHT * count / most) if count else 0.0)
    ]
    told = f"{histogram.field}: {histogram.unit} of {histogram.values:,} values, from {figure(histogram.least)} to "
    chart = _svg(
        f"{told}{figure(histogram.greatest)}, half of them up to {figure(histogram.median)}", _HEIGHT, bars
    )
    return joined(chart, _axis(histogram))


def spans(histogram: Histogram) -> list[str]:
    """`100 to 150`; of whole numbers side by side the number alone."""
    pairs = zip(histogram.edges[:-1], histogram.edges[1:], strict=True)
    return [f"{number(low)} to {number(high)}" for low, high in pairs]


def number(value: float) -> str:
    """To four digits, thousands apart."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def _axis(histogram: Histogram) -> Html:
    """The first, a middle and the last edge, below where they are."""
    edges = histogram.edges
    places = dict.fromkeys((0, len(edges) // 2, len(edges) - 1))
    return element(
        "div", [element("span", number(edges[place])) for place in places], class_="axis", aria_hidden="true"
    )


def bar(told: str, parts: Sequence[tuple[str, float]]) -> Html:
    """One line of parts behind each other: (class, share of the whole width)."""
    rects, at = [], 0.0
    for kind, share in parts:
        if share > 0:
            wide = max(100 * share, 0.4)
            rects.append(element("rect", x=f"{at:.3f}%", y=0, width=f"{wide:.3f}%", height=14, class_=kind))
            at += 100 * share
    return _svg(told, 14, rects)


def wave_chart(wave: Sequence[int], told: str) -> Html:
    """The shape of a sound around its middle."""
    middle = _WAVE_HEIGHT / 2
    heights = [max(0.6, middle * 0.95 * level / 100) for level in wave]
    upper = " ".join(f"{x},{middle - tall:.1f}" for x, tall in enumerate(heights))
    lower = " ".join(f"{x},{middle + tall:.1f}" for x, tall in reversed(list(enumerate(heights))))
    return element(
        "svg",
        element("path", d=f"M{upper} {lower}Z", class_="wave"),
        role="img",
        aria_label=told,
        viewBox=f"0 0 {len(wave) - 1} {_WAVE_HEIGHT}",
        preserveAspectRatio="none",
        width="100%",
        height=_WAVE_HEIGHT,
    )


def table(header: Sequence[str], rows: Sequence[Sequence[Html | str | int]], caption: str = "") -> Html:
    """Numbers on the right; wide ones scroll by themselves."""
    head = element("tr", [element("th", name, scope="col") for name in header])
    body = [element("tr", [_cell(cell) for cell in row]) for row in rows]
    title = element("caption", caption) if caption else ""
    inner = element("table", title, element("thead", head), element("tbody", body))
    return element("div", inner, class_="wide")


def counts_table(counts: Mapping[str, int], header: tuple[str, str]) -> Html:
    return table(header, list(counts.items()))


def _cell(cell: Html | str | int) -> Html:
    return element("td", cell, class_="n" if isinstance(cell, int) else None)


def _svg(told: str, height: int, parts: Sequence[Html]) -> Html:
    return element("svg", parts, role="img", aria_label=told, width="100%", height=height)
