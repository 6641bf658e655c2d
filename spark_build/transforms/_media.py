"""What transforms of media share: which field they read, and what is known of the files that they make."""

from pathlib import Path

from spark_build.contract import Item, Media
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.modalities.media.kinds import HEAD_BYTES, media_format
from spark_build.modalities.media.probing import probed

MOST_PIXELS = 1 << 62  # the source has held them to a limit already


def fields_read(item: Item, kind: str, named: str | None) -> tuple[str, ...]:
    """What `fields_read` of a transform says: whether the named field is of that kind is `apply`'s to tell."""
    if named is not None:
        return () if item.fields.get(named) is None else (named,)
    name = media_field(item, kind, None)
    return () if name is None else (name,)


def media_field(item: Item, kind: str, named: str | None) -> str | None:
    """The field to work on: the one that is named, else the only one of that kind; None where there is none.

    Errors: BadInput where there are several; ItemRejected where the named one holds something else.
    """
    found = [n for n, value in item.fields.items() if isinstance(value, Media) and value.kind == kind]
    if named is not None:
        if item.fields.get(named) is None:
            return None
        if named not in found:
            raise ItemRejected("field_type", f"{named}: no {kind}")
        return named
    if len(found) > 1:
        raise BadInput(
            f"an item has several fields of {kind}: {', '.join(found)}", fix="name one: `field: …`"
        )
    return found[0] if found else None


def made(path: Path) -> Media:
    """A file that a transform wrote, with what is known of it. Errors: ItemRejected where it can't be read."""
    with open(path, "rb") as file:
        found = media_format(file.read(HEAD_BYTES), path.stat().st_size)
    if found is None:
        raise ItemRejected("broken_media", "what was made of it is no media")
    facts = probed(path, path.name, found, max_pixels=MOST_PIXELS)
    return Media(facts.pop("kind", "image"), path, found.suffix, facts)
