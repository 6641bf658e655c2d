"""The keys of a Hugging Face dataset card, and YAML that every reader of cards takes the same way."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# huggingface_hub.DatasetCardData and the metadata section of the Hub's documentation on dataset cards
_TEXT = (
    "title", "description", "pretty_name", "homepage", "citation", "contact", "license_name", "license_link",
    "license_details", "paperswithcode_id",
)  # fmt: skip
_TEXT_OR_LIST = (
    "license", "language", "tags", "annotations_creators", "language_creators", "language_details",
    "multilinguality", "source_datasets", "task_categories", "task_ids", "authors",
)  # fmt: skip
_OTHER = (
    "viewer", "library_name", "thumbnail", "extra_gated_prompt", "extra_gated_fields", "extra_gated_heading",
    "extra_gated_description", "extra_gated_button_content",
)  # fmt: skip
_MEASURED = ("size_categories", "configs", "config_names", "dataset_info", "train_eval_index")
_IN_BODY_ALONE = ("title", "description", "homepage", "citation", "contact", "authors")
_KNOWN = (*_TEXT, *_TEXT_OR_LIST, *_OTHER)
_SYNONYMS = {
    "licence": "license", "licenses": "license", "name": "title", "lang": "language", "languages": "language",
    "summary": "description", "author": "authors", "url": "homepage", "keywords": "tags",
}  # fmt: skip

# plain scalars that YAML 1.1 (PyYAML, which the Hub uses) and 1.2 both read as this text
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def checked_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card. Errors: ValueError for keys and values that no Hugging Face card has."""
    for key, value in card.items():
        if key in _MEASURED:
            raise ValueError(f"'{key}' is measured, not written\n  fix: take it out")
        if key not in _KNOWN:
            raise ValueError(f"unknown key '{key}' in the card\n  fix: {_meant(str(key))}")
        _check_value(key, value)
    return dict(card)


def _meant(key: str) -> str:
    close = _SYNONYMS.get(key) or next(iter(difflib.get_close_matches(key, _KNOWN, n=1)), None)
    return f"did you mean '{close}'?" if close else f"it takes {', '.join(_KNOWN)}"


def _check_value(key: str, value: Any) -> None:
    values = value if isinstance(value, list) and key in _TEXT_OR_LIST else [value]
    if key not in _OTHER and not all(isinstance(v, str) for v in values):
        raise ValueError(f"'{key}' is text\n  fix: quote it: {key}: \"{value}\"")


def for_front_matter(card: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that the Hub reads; the others stand in the card's text."""
    front = {key: value for key, value in card.items() if key not in _IN_BODY_ALONE}
    if "title" in card:
        front.setdefault("pretty_name", card["title"])
    for key in ("language", "tags", "task_categories"):
        if isinstance(front.get(key), str):
            front[key] = [front[key]]
    return dict(sorted(front.items()))


def to_yaml(value: Mapping[str, Any]) -> str:
    return "\n".join(_lines(value, 0)) + "\n"


def _lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, Mapping | list) and inner:
                yield f"{indent}{_scalar(key)}:"
                yield from _lines(inner, depth + 1)
            else:
                yield f"{indent}{_scalar(key)}: {_scalar(inner)}"
        return
    for inner in value:
        if isinstance(inner, Mapping | list) and inner:
            first, *rest = _lines(inner, depth + 1)
            yield f"{indent}- {first.lstrip(' ')}"
            yield from rest
        else:
            yield f"{indent}- {_scalar(inner)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
            return value
        quoted = json.dumps(value, ensure_ascii=False)  # JSON is YAML
        return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
    return json.dumps(value)
