"""The text of an item's fields, whatever their type."""

from collections.abc import Sequence
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.media import Media
from spark_build.core.digest import canonical_json
from spark_build.core.errors import BadInput


def joined_text(item: Item, fields: Sequence[str]) -> str:
    """The named fields' texts, one after the other, with an empty line between."""
    return "\n\n".join(text_of_field(item, name) for name in fields)


def text_of_field(item: Item, name: str) -> str:
    """A field as text: chat messages as their contents, a missing value as nothing.

    Errors: BadInput where the dataset has no such field.
    """
    if name not in item.fields:
        known = ", ".join(item.fields) or "none"
        raise BadInput(
            f"a gate reads the field '{name}', which the dataset does not have", fix=f"it has {known}"
        )
    value = item.fields[name]
    if isinstance(value, Media):
        raise BadInput(
            f"a gate reads '{name}' as text, and its type is {value.kind}",
            fix="name fields of text; near_duplicates compares images and videos with `method: phash`",
        )
    return text_of(value)


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if is_chat(value):
        return "\n\n".join(str(message["content"] or "") for message in value)
    return canonical_json(value).decode()


def text_and_chat_fields(item: Item) -> tuple[str, ...]:
    return tuple(name for name, value in item.fields.items() if isinstance(value, str) or is_chat(value))


def is_chat(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(m, dict) and "content" in m for m in value)
