"""Which fields of an item a transform is about, and how they stand in a template."""

import difflib
from collections.abc import Sequence
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.media import Media
from spark_build.core.digest import canonical_json
from spark_build.core.errors import ItemRejected
from spark_build.training.forms import names_in


def text_field(item: Item, named: str | None) -> str:
    """The named field, else 'text', else the item's only text. Errors: ItemRejected where there is none."""
    texts = [name for name, value in item.fields.items() if isinstance(value, str)]
    if named is not None and named in item.fields:
        if item[named] is not None and named not in texts:
            raise ItemRejected("not_text", f"'{named}' holds no text")
        return str(named)
    if named is None and ("text" in texts or len(texts) == 1):
        return "text" if "text" in texts else texts[0]
    wanted = f"no field '{named}'" if named else "which field is meant? `field:` names it"
    raise ItemRejected("no_text", f"{wanted}; the item has {', '.join(item.fields)}")


def fields_read_of_text(item: Item, named: str | None) -> tuple[str, ...]:
    """The text field alone, so that all else stays; everything where it is not clear which one that is."""
    try:
        return (text_field(item, named),)
    except ItemRejected:
        return tuple(sorted(item.fields))


def there(item: Item, names: Sequence[str]) -> tuple[str, ...]:
    """These fields, sorted; all of the item's where one is missing, so that the refusal can tell what there is."""
    return tuple(sorted(set(names) if set(names) <= item.fields.keys() else item.fields))


def check_there(item: Item, names: Sequence[str]) -> None:
    """Errors: ItemRejected where a field is missing."""
    for name in names:
        if name not in item.fields:
            close = difflib.get_close_matches(name, item.fields, n=1)
            meant = f", did you mean '{close[0]}'?" if close else "."
            raise ItemRejected(
                "missing_field", f"no field '{name}'{meant} The item has {', '.join(sorted(item.fields))}"
            )


def well_formed(template: str | None) -> str | None:
    """The template itself, for a validator. Errors: ValueError."""
    try:
        names_in(template or "")
    except ValueError as error:
        raise ValueError(f"{error}\n  fix: fields as {{name}}, literal braces twice") from None
    return template


def as_text(value: Any) -> str:
    """As a reader would write it: 3 for 3.0, nothing for null, JSON for what is nested. Media: ItemRejected."""
    if isinstance(value, Media):
        raise ItemRejected("not_text", f"{value.kind} does not go into a template")
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return canonical_json(value).decode()
