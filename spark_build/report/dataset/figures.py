"""The parts of a page that show numbers: tiles, the funnel, distributions."""

from spark_build.report.dataset.charts import bar, counts_table, histogram_chart, number, spans, table
from spark_build.report.dataset.facts import Facts, Funnel, Gate, Labels
from spark_build.report.dataset.html import Html, Part, element
from spark_build.report.dataset.tallies import Histogram
from spark_build.report.words import count, duration, printable, size

_MOST_LABELS = 12
_LONGEST_LABEL = 60  # characters


def tiles(facts: Facts) -> Html:
    """The figures that people ask for first."""
    funnel = facts.funnel
    came = funnel.kept + funnel.rejected
    told = [
        ("items", f"{funnel.kept:,}"),
        ("rejected", f"{funnel.rejected:,} ({funnel.rejected / max(1, came):.1%})"),
    ]
    told += (
        [(f"in {printable(split)}", f"{rows:,}") for split, rows in facts.splits.items()]
        if len(facts.splits) > 1
        else []
    )
    if flagged := sum(gate.flagged for gate in funnel.gates):
        told.append(("flags", f"{flagged:,}"))
    if replaced := sum(gate.replaced or 0 for gate in funnel.gates):
        told.append(("changed by a gate", f"{replaced:,}"))
    for histogram in facts.histograms:
        if histogram.unit == "seconds":
            told.append((f"of {histogram.field}", duration(histogram.total)))
    told.append(("on disk", size(facts.size)))
    return element(
        "dl",
        [element("div", element("dt", name), element("dd", value)) for name, value in told],
        class_="tiles",
    )


def funnel_section(funnel: Funnel) -> list[Part]:
    most = max(funnel.read or 0, funnel.items or 0, funnel.kept + funnel.rejected, 1)
    rows: list[Html] = []
    if funnel.read is not None:
        rows.append(
            _line(
                "records read",
                f"{funnel.read:,}",
                bar(f"{funnel.read:,} records read", [("came", funnel.read / most)]),
            )
        )
    rows += [
        _line(f"{printable(step.name)}", _told(step), _bar(step, None, most), "while reading")
        for step in funnel.reading
    ]
    if funnel.items is not None and (funnel.items != funnel.read or funnel.reading):
        rows.append(
            _line(
                "items to the gates",
                f"{funnel.items:,}",
                bar(f"{funnel.items:,} items", [("came", funnel.items / most)]),
            )
        )
    for gate in funnel.gates:
        note = gate.rule if gate.rule != gate.name else None
        rows.append(_line(printable(gate.name), _told(gate), _bar(gate, gate.came, most), note))
    rows.append(
        _line("kept", f"{funnel.kept:,}", bar(f"{funnel.kept:,} items kept", [("kept", funnel.kept / most)]))
    )
    used = {
        "came",
        "kept",
        *(
            kind
            for kind in ("flagged", "replaced", "rejected")
            if any(getattr(g, kind) for g in (*funnel.reading, *funnel.gates))
        ),
    }
    legend = [element("li", word, class_=kind) for kind, word in _LEGEND if kind in used]
    return [
        element("ol", rows, class_="funnel"),
        element("ul", legend, class_="legend", aria_hidden="true"),
        element("details", element("summary", "Figures"), _funnel_table(funnel)),
    ]


_LEGEND = (
    ("came", "goes on"),
    ("flagged", "flagged"),
    ("replaced", "changed"),
    ("rejected", "rejected"),
    ("kept", "kept"),
)


def _line(name: str, told: str, chart: Html, note: str | None = None) -> Html:
    own = element("span", name, element("small", f" {printable(note)}") if note else "", class_="name")
    return element("li", own, chart, element("span", told, class_="told"))


def _told(step: Gate) -> str:
    told = [f"−{step.rejected:,}"] if step.rejected else []
    told += [f"{step.flagged:,} flagged"] if step.flagged else []
    told += [f"{step.replaced:,} changed"] if step.replaced else []
    return ", ".join(told) or "0"


def _bar(step: Gate, came: int | None, most: int) -> Html:
    """What goes on first, flagged and changed items among it; then what is rejected."""
    rest = max(0, (came or step.rejected) - step.rejected - step.flagged - (step.replaced or 0))
    parts = (
        ("came", rest if came else 0),
        ("flagged", step.flagged),
        ("replaced", step.replaced or 0),
        ("rejected", step.rejected),
    )
    told = f"{step.name}: {'' if came is None else f'{came:,} came, '}{step.rejected:,} rejected"
    return bar(told, [(kind, n / most) for kind, n in parts])


def _funnel_table(funnel: Funnel) -> Html:
    steps = (*funnel.reading, *funnel.gates)
    header = ("step", "rule", "items before", "rejected", "flagged", "changed", "found in what it let pass")
    return table(header, [_cells(step) for step in steps])


def _cells(step: Gate) -> list[Html | str | int]:
    found = ", ".join(f"{name} {many:,}" for name, many in step.counts.items())
    came = step.came if step.came is not None else ""
    return [
        printable(step.name),
        step.rule or "",
        came,
        step.rejected,
        step.flagged,
        step.replaced or 0,
        printable(found),
    ]


def distributions(facts: Facts) -> list[Part]:
    spread = [h for h in facts.histograms if h.least < h.greatest]
    labels = [*facts.labels, *_languages(facts.funnel), facts.sources]
    if len(facts.splits) > 1:
        labels.append(Labels("split", "split", sum(facts.splits.values()), facts.splits))
    charts = [*map(_histogram, spread), *(_labels(one) for one in labels if len(one.counts) > 1)]
    alike = [
        *((f"{h.field}, {h.unit}", number(h.least), h.values) for h in facts.histograms if h not in spread),
        *(
            (f"{one.field}, {one.unit}", next(iter(one.counts)), one.values)
            for one in labels
            if len(one.counts) == 1
        ),
    ]
    if alike:
        head = element("h3", "The same in all that have it")
        rows = [(printable(name), printable(text)[:60], values) for name, text, values in alike]
        charts.append(element("div", head, table(("what", "value", "items"), rows), class_="chart"))
    return [element("div", charts, class_="charts")]


def _languages(funnel: Funnel) -> list[Labels]:
    """What the language gates found in the items that they let pass."""
    return [
        Labels(f"by the gate {gate.name}", "language", sum(gate.counts.values()), dict(gate.counts))
        for gate in funnel.gates
        if gate.rule == "language" and gate.counts
    ]


def _histogram(h: Histogram) -> Html:
    facts = {"least": number(h.least), "median": number(h.median), "greatest": number(h.greatest)}
    told = [part for name, value in facts.items() for part in (f"{name} ", element("b", value), " ")]
    growing = ", in steps that grow" if h.is_growing else ""
    head = element(
        "h3", printable(h.field), element("small", f" {h.unit} of {count(h.values, 'item')}{growing}")
    )
    rows = list(zip(spans(h), h.counts, strict=True))
    figures = element("details", element("summary", "Figures"), table((h.unit, "items"), rows))
    return element(
        "div", head, element("p", told, class_="facts"), histogram_chart(h), figures, class_="chart"
    )


def _labels(labels: Labels) -> Html:
    shown = dict(list(labels.counts.items())[:_MOST_LABELS])
    most = max(shown.values())
    rows = [_label(name, many, most) for name, many in shown.items()]
    unit = f" {labels.unit}" if labels.unit != labels.field else ""
    parts: list[Part] = [
        element("h3", printable(labels.field), element("small", unit)),
        element("ul", rows, class_="labels"),
    ]
    if rest := labels.values - sum(shown.values()):
        more = "many" if labels.are_more else f"{max(labels.distinct, len(labels.counts)) - len(shown):,}"
        parts.append(element("p", f"{count(rest, 'item')} with {more} other values", class_="quiet"))
        if len(labels.counts) > len(shown):
            table_of_all = counts_table(labels.counts, (labels.unit, "items"))
            parts.append(element("details", element("summary", "Figures"), table_of_all))
    return element("div", parts, class_="chart")


def _label(name: str, many: int, most: int) -> Html:
    shown = printable(name)
    own = shown if len(shown) <= _LONGEST_LABEL else f"{shown[:_LONGEST_LABEL]}…"
    return element(
        "li",
        element("span", own or "(empty)", class_="name"),
        bar(f"{shown}: {many:,}", [("bar", many / most)]),
        element("span", f"{many:,}", class_="told"),
    )
