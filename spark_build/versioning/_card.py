"""README.md: the card in Hugging Face's form."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spark_build.contract.media import MEDIA_KINDS
from spark_build.versioning._card_keys import for_front_matter, to_yaml
from spark_build.versioning._facts import FieldFacts, Spread
from spark_build.versioning._measure import Measured

_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"), (10**11, "10B<n<100B"), (10**12, "100B<n<1T"),
)  # fmt: skip
_MAX_LABELS = 50


def readme(card: Mapping[str, Any], tag: str | None, measured: Measured, gates: Sequence[str]) -> str:
    """Front matter for the Hub and `datasets`, then text for people; no times, places or names."""
    front = {
        **for_front_matter(card),
        "size_categories": [_size_category(measured.rows)],
        "configs": [{"config_name": "default", "data_files": _data_files(measured)}],
        "dataset_info": {
            "features": _features(measured),
            "splits": _splits(measured),
            "dataset_size": sum(measured.bytes_by_split.values()),
        },
    }
    return f"---\n{to_yaml(front)}---\n\n" + "\n".join(_body(card, tag, measured, gates)).rstrip("\n") + "\n"


def _size_category(rows: int) -> str:
    return next((name for below, name in _SIZES if rows < below), "n>1T")


def _data_files(measured: Measured) -> list[dict[str, Any]]:
    return [{"split": split, "path": list(shards)} for split, shards in measured.shards.items()]


def _splits(measured: Measured) -> list[dict[str, Any]]:
    # without all three `datasets` would not check that a split is whole
    return [
        {"name": split, "num_bytes": measured.bytes_by_split[split], "num_examples": rows}
        for split, rows in measured.splits.items()
    ]


def _features(measured: Measured) -> list[dict[str, Any]]:
    columns = {"id": "text", "source": "text", **measured.fields, "meta": "text"}
    return [{"name": name, **_feature(kind)} for name, kind in columns.items()]


def _feature(kind: str) -> dict[str, Any]:
    if kind == "messages":
        return {"list": [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}]}
    if kind in MEDIA_KINDS:
        return {"dtype": kind}
    return {"dtype": "float64" if kind == "number" else "string"}


def _body(
    card: Mapping[str, Any], tag: str | None, measured: Measured, gates: Sequence[str]
) -> Iterator[str]:
    yield f"# {card.get('title') or card.get('pretty_name') or 'Dataset'}\n"
    if card.get("description"):
        yield f"{card['description'].strip()}\n"
    facts = {
        "Version": tag,
        "License": card.get("license"),
        "Language": card.get("language"),
        "Authors": card.get("authors"),
        "Homepage": card.get("homepage"),
        "Contact": card.get("contact"),
    }
    if named := [f"- {name}: {_joined(value)}" for name, value in facts.items() if value]:
        yield "\n".join(named) + "\n"
    yield "## Splits\n"
    yield _table(("split", "rows"), [*measured.splits.items(), ("all", measured.rows)])
    yield "## Fields\n"
    yield from _fields(measured)
    yield "## Left out\n"
    yield from _left_out(measured, gates)
    if measured.flagged:
        yield "## Flagged\n"
        yield _table(("by", "reason", "rows"), [(*found, n) for found, n in measured.flagged.items()])
        yield "These rows stayed; `flagged_by` in their `meta` tells what was found.\n"
    if card.get("citation"):
        yield f"## Citation\n\n```\n{card['citation'].strip()}\n```\n"
    yield "## Provenance\n\nBuilt by `spark build`. `spark.json` beside this file has every file's digest.\n"
    if "video" in measured.fields.values():
        yield "Videos lie in `media/`; the paths in the rows start at this folder.\n"
    yield '## Reading it\n\n```python\nimport datasets\n\ndatasets.load_dataset("THIS_FOLDER")\n```\n'


def _joined(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _fields(measured: Measured) -> Iterator[str]:
    rows = [row for name, facts in measured.facts.items() for row in _field_rows(name, facts)]
    yield _table(("field", "type", "rows with it", "measured in", "least", "median", "greatest"), rows)
    for name, facts in measured.facts.items():
        if facts.labels:
            what = "Formats" if facts.kind in MEDIA_KINDS else "Labels"
            yield f"### {what} of `{name}`\n"
            yield _table((what.lower()[:-1], "rows", "share"), list(_label_rows(facts)))
    yield "Every row also has `id`, `source` (the file that it came from) and `meta` (JSON).\n"


def _field_rows(name: str, facts: FieldFacts) -> Iterator[tuple[Any, ...]]:
    first: tuple[Any, ...] = (f"`{name}`", facts.kind, facts.filled)
    if not facts.spreads:
        yield (*first, "", "", "", "")
    for unit, spread in facts.spreads.items():
        yield (*first, unit, *_figures(spread))
        first = ("", "", "")  # named once


def _figures(spread: Spread) -> tuple[str, str, str]:
    least, median, greatest = (_figure(value) for value in (spread.least, spread.median, spread.greatest))
    return least, median, greatest


def _figure(value: float) -> str:
    return f"{int(value):,}" if value.is_integer() and abs(value) < 1e15 else f"{value:g}"


def _label_rows(facts: FieldFacts) -> Iterator[tuple[Any, ...]]:
    shown = list(facts.labels.items())[:_MAX_LABELS]
    for label, rows in shown:
        yield (label, rows, f"{rows / facts.filled:.1%}")
    if rest := list(facts.labels.values())[_MAX_LABELS:]:
        yield (f"{len(rest)} more", sum(rest), f"{sum(rest) / facts.filled:.1%}")


def _left_out(measured: Measured, gates: Sequence[str]) -> Iterator[str]:
    seen = {gate for gate, _ in measured.rejected}
    rows = [(gate, reason, n) for (gate, reason), n in measured.rejected.items()]
    rows += [(gate, "", 0) for gate in gates if gate not in seen]
    if not rows:
        yield "Nothing.\n"
        return
    position = {gate: index for index, gate in enumerate(gates)}
    rows.sort(key=lambda row: (position.get(row[0], -1), row[0], -row[2], row[1]))
    yield _table(("by", "reason", "rows"), rows)
    yield "Each of them is listed in `rejected/`.\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    numbers = [
        all(isinstance(row[i], int | float) or _is_number(row[i]) for row in rows) for i in range(len(header))
    ]
    lines = [_line(header), _line(["--:" if right else "---" for right in numbers])]
    return "\n".join([*lines, *(_line(row) for row in rows)]) + "\n"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, str) and (cell == "" or cell[0].isdigit() or cell[0] == "-")


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(cell: Any) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    return " ".join(text.replace("|", "\\|").split())
