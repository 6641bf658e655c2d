"""An item as a page shows it: pictures, excerpts, what is known of it, and what a gate found."""

from collections.abc import Mapping

from spark_build.report.dataset.charts import number, wave_chart
from spark_build.report.dataset.contents import Content, Excerpt, Picture
from spark_build.report.dataset.facts import Cluster, Finding
from spark_build.report.dataset.html import Html, Part, element, joined, multiline
from spark_build.report.words import printable, short

_LONGEST_NAME = 120
_LONGEST_DETAIL = 300
_BESIDE = 260  # characters of a text that stands beside others

Contents = Mapping[str, Content]


def kept_card(content: Content) -> Html:
    return element("article", _body(content), _foot(content.source, content.id), class_="card")


def found_card(finding: Finding, contents: Contents, *, is_covered: bool = False) -> Html:
    """The finding first; then the item, beside the one that it was found to be like. A click uncovers it."""
    own = contents.get(finding.id)
    if is_covered and own is not None:
        item = element("details", element("summary", "Show it"), _body(own, most=_BESIDE))
        return element("article", _verdict(finding), item, _foot(finding.source, finding.id), class_="card")
    if not finding.matched:
        return element("article", _verdict(finding), _side(own, finding.source, finding.id), class_="card")
    other = contents.get(finding.matched)
    sides = [
        _side(own, finding.source, finding.id, "this one"),
        _side(other, other.source if other else "", finding.matched, "is like"),
    ]
    return element("article", _verdict(finding), element("div", sides, class_="pair"), class_="card")


def cluster_card(cluster: Cluster, contents: Contents) -> Html:
    head = element("p", element("strong", f"{cluster.items:,} items"), " alike", class_="verdict")
    kept = contents.get(cluster.kept)
    sides = [_side(kept, kept.source if kept else "", cluster.kept, "stands for them")]
    for example in cluster.examples:
        told = "one of them" if example.score is None else f"score {number(example.score)}"
        sides.append(_side(contents.get(example.id), example.source, example.id, told))
    more = cluster.items - 1 - len(cluster.examples)
    rest = element("p", f"and {more:,} more", class_="quiet") if more else ""
    kind = "card whole" if len(sides) > 3 else "card"
    return element("article", head, element("div", sides, class_="strip"), rest, class_=kind)


def _side(content: Content | None, source: str, item: str, told: str = "") -> Html:
    body = _body(content, most=_BESIDE) if content is not None else ""
    head = element("p", told, class_="side") if told else ""
    return element("div", head, body, _foot(source, item), class_="item")


def _body(content: Content, most: int = 600) -> Html:
    return joined(
        [_picture(picture) for picture in content.pictures],
        [_excerpt(excerpt, most) for excerpt in content.excerpts],
        _values(content),
    )


def _values(content: Content) -> Html:
    chips = [element("li", f"{name}: {_shortened(value, 60)}") for name, value in content.values]
    return element("ul", chips, class_="chips") if chips else Html("")


def _picture(picture: Picture) -> Html:
    told = f"{picture.kind}: {picture.told}" if picture.told else picture.kind
    if picture.lacks:
        shown: Part = element("p", picture.lacks, class_="quiet")
    elif picture.wave:
        shown = wave_chart(picture.wave, told)
    else:
        shown = [
            _image(data, f"{told}, {n + 1} of {len(picture.images)}") for n, data in enumerate(picture.images)
        ]
    kind = "frames" if len(picture.images) > 1 else None
    return element("figure", element("div", shown, class_=kind), element("figcaption", told))


def _image(data: str, told: str) -> Html:
    return element("img", src=f"data:image/webp;base64,{data}", alt=told)


def _excerpt(excerpt: Excerpt, most: int) -> Html:
    text = excerpt.text[:most]
    left_out = excerpt.left_out + len(excerpt.text) - len(text)
    more = element("span", f" … {left_out:,} more", class_="quiet") if left_out else ""
    name = element("span", excerpt.field, class_="field")
    return element("div", name, element("pre", multiline(text), more), class_="excerpt")


def _foot(source: str, item: str) -> Html:
    name = element("span", _shortened(printable(source), _LONGEST_NAME), class_="source") if source else ""
    return element("p", name, element("code", short(item), title=item), class_="foot")


def _verdict(finding: Finding) -> Html:
    parts: list[Part] = [element("strong", finding.reason)]
    if finding.score is not None:
        parts += [" score ", element("b", number(finding.score))]
    if finding.threshold is not None:
        parts += [" threshold ", element("b", number(finding.threshold))]
    if finding.score is not None and finding.threshold is not None:
        parts.append(_meter(finding.score, finding.threshold))
    detail = (
        element("p", _shortened(printable(finding.detail), _LONGEST_DETAIL), class_="detail")
        if finding.detail
        else ""
    )
    return joined(element("p", parts, class_="verdict"), detail)


def _meter(score: float, threshold: float) -> Html:
    """Where the score lies beside its threshold; nothing where both are not shares."""
    if not (0 <= score <= 1 and 0 <= threshold <= 1):
        return Html("")
    parts = [
        element("rect", x=0, y=4, width="100%", height=6, rx=3, class_="track"),
        element("rect", x=0, y=4, width=f"{100 * score:.2f}%", height=6, rx=3, class_="score"),
        element("rect", x=f"{98.5 * threshold:.2f}%", y=0, width=2, height=14, class_="tick"),
    ]
    told = f"score {score:.4g}, threshold {threshold:.4g}"
    return element("svg", parts, role="img", aria_label=told, width=90, height=14, class_="meter")


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
