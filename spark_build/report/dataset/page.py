"""The page: one file that needs nothing else, runs nothing and asks nobody."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from spark_build.core.values import Struct, field
from spark_build.report.dataset.cards import Contents, cluster_card, found_card, kept_card
from spark_build.report.dataset.charts import counts_table, table
from spark_build.report.dataset.facts import Facts, Finding
from spark_build.report.dataset.figures import distributions, funnel_section, tiles
from spark_build.report.dataset.html import Html, Part, element, joined
from spark_build.report.dataset.origins import origins_section, versions_section
from spark_build.report.words import count, printable, short

MARK = "spark report"  # by which a page is known that may be written over
_UPSETTING = ("nsfw", "toxicity")  # what such a gate found is shown to who asks for it
_KINDS = {"video": "Video", "image": "Images", "audio": "Audio", "text": "Text"}


class Shown(Struct, frozen=True):
    """What of the items is shown, beside the facts."""

    kept: Mapping[str, Sequence[str]]  # ids of samples, by modality
    rejected: Mapping[str, Sequence[Finding]]  # samples by gate
    flagged: Mapping[str, Sequence[Finding]]
    contents: Contents
    hidden: str = ""  # why rejected items are shown without what they hold
    left_out: Sequence[str] = field(default_factory=tuple)


def page(facts: Facts, shown: Shown) -> str:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    sections = [section for section in _sections(facts, shown) if section is not None]
    links = [element("a", title, href=f"#{name}") for name, title, _ in sections]
    body = [element("section", element("h2", title), content, id=name) for name, title, content in sections]
    document = element(
        "html",
        element("head", _head(facts, style)),
        element("body", _header(facts), element("nav", links, aria_label="Sections"), element("main", body)),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{document}\n"


def _head(facts: Facts, style: str) -> Html:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return joined(
        element("meta", charset="utf-8"),
        element("meta", name="generator", content=MARK),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{facts.title} · {MARK}"),
        Html(f"<style>{style}</style>"),
    )


def _header(facts: Facts) -> Html:
    about = facts.card.get("description")
    tag = next((version.tag for version in facts.versions if version.output == facts.output), None)
    told = [facts.dataset, *([f"version {tag}"] if tag else [])]
    return element(
        "header",
        element("p", "Dataset report", class_="kicker"),
        element("h1", printable(facts.title)),
        element(
            "p",
            " · ".join(map(printable, told)),
            " · ",
            element("code", short(facts.output), title=facts.output),
            class_="quiet",
        ),
        element("p", about) if isinstance(about, str) else "",
        _stale(facts.stale),
        tiles(facts),
    )


def _stale(causes: Sequence[str]) -> Part:
    if not causes:
        return ""
    lines = [element("li", printable(cause)) for cause in causes]
    text = element("p", element("strong", "Not what the Sparkfile asks for today."), " What has moved since:")
    return element("div", text, element("ul", lines), class_="notice", role="note")


def _sections(facts: Facts, shown: Shown) -> list[tuple[str, str, Part] | None]:
    return [
        ("funnel", "From records to items", funnel_section(facts.funnel)),
        ("distributions", "Distributions", distributions(facts)),
        ("kept", "Kept items", _kept(shown)),
        ("rejected", "Rejected items", _found(shown.rejected, shown, facts))
        if facts.funnel.rejected
        else None,
        ("flagged", "Flagged items", _found(shown.flagged, shown, facts)) if shown.flagged else None,
        ("alike", "Items alike", _clusters(facts, shown)) if facts.clusters else None,
        ("versions", "Versions", versions_section(facts)),
        ("lineage", "How it was made", origins_section(facts.origins)),
        (
            "left-out",
            "What this page leaves out",
            element("ul", [element("li", line) for line in shown.left_out]),
        ),
    ]


def _kept(shown: Shown) -> list[Part]:
    parts: list[Part] = []
    for kind, ids in shown.kept.items():
        cards = [kept_card(shown.contents[item]) for item in ids if item in shown.contents]
        title = element("h3", _KINDS[kind]) if len(shown.kept) > 1 else ""
        parts += [title, element("div", cards, class_=f"cards {kind}s")]
    return parts


def _found(samples: Mapping[str, Sequence[Finding]], shown: Shown, facts: Facts) -> list[Part]:
    steps = {gate.name: gate for gate in (*facts.funnel.reading, *facts.funnel.gates)}
    is_flag = samples is shown.flagged
    parts: list[Part] = [_note(shown.hidden)] if shown.hidden and not is_flag else []
    for gate, findings in samples.items():
        step = steps.get(gate)
        counts = (step.flags if is_flag else step.reasons) if step is not None else {}
        is_covered = step is not None and step.rule in _UPSETTING
        cards = [found_card(finding, shown.contents, is_covered=is_covered) for finding in findings]
        parts += [
            element("h3", printable(gate), element("small", f" {count(sum(counts.values()), 'item')}")),
            element("details", element("summary", "Reasons"), counts_table(counts, ("reason", "items"))),
            element("div", cards, class_="cards pairs" if any(f.matched for f in findings) else "cards"),
        ]
    return parts


def _note(hidden: str) -> Html:
    return element("p", f"Of items that the gates rejected {hidden}.", class_="quiet")


def _clusters(facts: Facts, shown: Shown) -> list[Part]:
    parts: list[Part] = []
    for found in facts.clusters:
        cards = [cluster_card(cluster, shown.contents) for cluster in found.largest]
        sizes = [(f"{size:,} items", many) for size, many in found.sizes.items()]
        told = (
            f"{count(found.clusters, 'cluster')}, {found.items:,} items with those that stand for the others."
        )
        parts += [
            element("h3", printable(found.gate)),
            element("p", told),
            element("details", element("summary", "Sizes"), table(("size", "clusters"), sizes)),
            element("div", cards, class_="cards pairs"),
        ]
    return parts
