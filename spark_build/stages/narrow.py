"""What an operation sees of an item: the fields that it reads, and nothing that its memo key leaves out."""

import json
from collections.abc import Sequence
from typing import Any

from spark_build.contract.items import Item
from spark_build.contract.rules import digest_of_fields
from spark_build.core.digest import canonical_json, canonical_row
from spark_build.core.errors import BadInput, ItemRejected, StageFailed
from spark_build.core.job import JobStep
from spark_build.core.ports import Blobs
from spark_build.core.values import Struct
from spark_build.stages.media import seen


class View(Struct, frozen=True):
    """An item as an operation looks at it."""

    item: Item
    names: Sequence[str]  # of the fields that it reads

    @property
    def key(self) -> bytes:
        return digest_of_fields(self.item, self.names)

    def alone(self) -> "View":
        """With what the operation reads, and what names the item where something goes wrong."""
        fields = {name: self.item.fields[name] for name in self.names if name in self.item.fields}
        return View(Item(self.item.id, self.item.source, "", fields), self.names)

    def narrowed(self, blobs: Blobs) -> Item:
        return narrowed(self.item, self.names, blobs)


def narrowed(item: Item, names: Sequence[str], blobs: Blobs) -> Item:
    """What is found of it is remembered by its digests: what lies there has to be that."""
    fields = {name: item.fields[name] for name in names if name in item.fields}
    return seen(Item("", "", "", fields), blobs, looks_inside=True)


def has_any(item: Item, names: Sequence[str]) -> bool:
    return any(item.fields.get(name) is not None for name in names)


def encoded_found(found: Any, step: JobStep, item: Item) -> bytes:
    """What an operation found, as it is remembered. Errors: StageFailed where it is not JSON."""
    try:
        return canonical_row({"found": found})
    except (TypeError, ValueError) as error:
        raise StageFailed(
            f"'{step.label or step.rule}': on item '{item.id}' of {item.source}: what it found is not JSON: {error}",
            fix="what it finds is text, numbers, true, false, None, and lists and dicts of these",
        ) from error


def encoded_rejection(rejected: ItemRejected) -> bytes:
    return canonical_json({"rejected": [rejected.reason, rejected.detail]})


def decoded(value: bytes) -> tuple[Any, ItemRejected | None]:
    """What was found, or why the item was rejected."""
    data = json.loads(value)
    if "rejected" in data:
        return None, ItemRejected(*data["rejected"])
    return data["found"], None


def check_fields_exist(step: JobStep, read: Sequence[tuple[str, ...]], known: Sequence[str]) -> None:
    """Errors: BadInput where a gate names a field that isn't there, or finds nothing that it could read."""
    has = f"the dataset has {', '.join(known) or 'none'}"
    for name in sorted({name for names in read for name in names} - set(known)):
        raise BadInput(f"'{step.label}' reads the field '{name}', which is not there", fix=has)
    if read and not any(read):
        raise BadInput(f"'{step.label}' finds no field to read", fix=f"name some with `fields: […]`; {has}")
