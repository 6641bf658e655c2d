"""Where a version comes from: versions before it, the stages that made it and what they read, all from Records."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from spark_build.report.dataset.charts import table
from spark_build.report.dataset.facts import Facts, Origin
from spark_build.report.dataset.html import Html, Part, element
from spark_build.report.words import duration, is_set, printable, short, size, value

_LONGEST_PARAM = 200


def versions_section(facts: Facts) -> Part:
    """Columns that say something of at least one of them."""
    header = ("version", "tags", "digest", "built", "items", "published")
    rows: list[list[Html | str | int]] = [
        [
            v.tag or "-",
            ", ".join(v.tags),
            _digest(v.output, is_this=v.output == facts.output),
            utc(v.built),
            int(v.items) if v.items is not None else "",
            f"{short(v.commit)} in {v.repository}" if v.commit else "",
        ]
        for v in facts.versions
    ]
    used = [place for place in range(len(header)) if any(row[place] not in ("", "-") for row in rows)]
    return table([header[place] for place in used], [[row[place] for place in used] for row in rows])


def _digest(output: str, *, is_this: bool) -> Html:
    return element("span", element("code", short(output), title=output), " this one" if is_this else "")


def origins_section(origins: Sequence[Origin]) -> Part:
    """The first stage first."""
    if not origins:
        return element("p", "No Record of it is in the store.", class_="quiet")
    return element("ol", [element("li", _origin(origin)) for origin in origins], class_="origins")


def _origin(origin: Origin) -> list[Part]:
    told = f"{utc(origin.built)}, {duration(origin.seconds)}, {size(origin.size)}, "
    read = [
        element("li", f"{printable(name)} ", element("code", short(digest), title=digest))
        for name, digest in origin.inputs.items()
    ]
    libraries = ", ".join(f"{name} {version}" for name, version in origin.libraries.items())
    return [
        element("h3", printable(origin.stage)),
        element("p", told, element("code", short(origin.output), title=origin.output), class_="quiet"),
        element("ul", read, class_="read") if read else "",
        [_step(step) for step in origin.steps],
        element("p", printable(libraries), class_="quiet") if libraries else "",
    ]


def _step(step: Mapping[str, Any]) -> Html:
    name, rule = step.get("name"), step["rule"]
    title = f"{rule}" if name in (None, rule) else f"{name} ({rule})"
    revision = f", revision {step['revision']}" if "revision" in step else ""
    rows = [
        [printable(key), _cut(value(given))]
        for key, given in sorted(step.get("params", {}).items())
        if is_set(given)
    ]
    if not rows:
        return element("p", printable(title + revision), class_="step")
    return element(
        "details", element("summary", printable(title + revision)), table(("param", "value"), rows)
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_PARAM else f"{text[:_LONGEST_PARAM]}…"


def utc(iso: str) -> str:
    """The same on every machine."""
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
