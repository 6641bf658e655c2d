"""docs/reference.md from the rules themselves: `python -m tools.reference` writes it, a test compares."""

import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spark_build.rulebook import FAMILIES, find, names

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """\
# Rules and their params

Every built-in rule with what may stand under its `with:`, taken from the rules themselves by
`python -m tools.reference`. A param marked *decides* changes verdicts alone: nothing is measured again when
it changes. How to write a rule of your own stands in [rules.md](rules.md).
"""


def rendered() -> str:
    """The whole of docs/reference.md."""
    return "\n".join([INTRODUCTION, *(_chapter(family) for family in FAMILIES)])


def _chapter(family: str) -> str:
    rules = "\n".join("\n".join(_rule(family, name)) for name in names(family))
    return f"## {FAMILIES[family].capitalize()}\n\n{rules}"


def _rule(family: str, name: str) -> Iterator[str]:
    rule = find(family, name, ROOT).rule
    yield f"### `{name}`"
    yield (importlib.import_module(rule.__module__).__doc__ or "").partition("\n")[0]
    yield ""
    schema = rule.Params.model_json_schema()
    decides = rule.Params.marked("decides")
    if schema.get("properties"):
        yield from ("| param | type | default | meaning |", "|---|---|---|---|")
        required = schema.get("required", [])
        for param, told in schema["properties"].items():
            yield _row(param, told, schema.get("$defs", {}), param in required, param in decides)
        yield ""
    if family == "metric" and not schema.get("required"):
        yield f"Figures: {', '.join(f'`{figure}`' for figure in rule.figures(rule.Params()))}\n"  # type: ignore[attr-defined]


def _row(param: str, told: Mapping[str, Any], defs: Mapping[str, Any], needed: bool, decides: bool) -> str:
    default = (
        ""
        if needed or told.get("default") is None
        else f"`{json.dumps(told['default'], ensure_ascii=False)}`"
    )
    meaning = " ".join(str(told.get("description", "")).split()) + (" *decides*" if decides else "")
    cells = (f"`{param}`" + (" (required)" if needed else ""), type_text(told, defs), default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def type_text(told: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """A JSON Schema's type in few words: `text`, `whole number`, `one of a, b`, `list of text`."""
    if "$ref" in told:
        told = defs[told["$ref"].rpartition("/")[2]]
    if "enum" in told or "const" in told:
        values = told.get("enum", [told.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    if options := told.get("anyOf") or told.get("allOf"):
        return " or ".join(dict.fromkeys(t for o in options if (t := type_text(o, defs)) != "null"))
    kind = told.get("type")
    if kind == "array":
        return f"list of {type_text(told.get('items', {}), defs)}"
    if kind == "object":
        inner = told.get("properties", {})
        return "mapping" + (f" of {', '.join(f'`{name}`' for name in inner)}" if inner else "")
    plain = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return plain.get(str(kind), str(kind) if kind else "any")


if __name__ == "__main__":
    (ROOT / "docs" / "reference.md").write_text(rendered(), encoding="utf-8")
