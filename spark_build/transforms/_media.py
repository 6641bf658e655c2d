"""What transforms of media share: which field they read, and what is known of the files that they make."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from spark_build.contract import Item, Media, Transform
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.modalities.media.kinds import HEAD_BYTES, media_format
from spark_build.modalities.media.probing import probed

MOST_PIXELS = 1 << 62  # the source has held them to a limit already


class MediaTransform(Transform):
    """Makes something of one media field: the one that is named, else the item's only one of that kind."""

    kind: ClassVar[str]  # of MEDIA_KINDS

    def fields_read(self, item: Item) -> tuple[str, ...]:
        """Whether a named field is of that kind is `apply`'s to tell."""
        return media_field(item, self.params.field, (self.kind,))

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        names = self.fields_read(item)
        if not names:
            return [{}]  # it has another modality
        return self.made_of(names[0], media_in(item, names[0], (self.kind,)))

    @abstractmethod
    def made_of(self, name: str, media: Media) -> Sequence[Mapping[str, Any]]:
        """As `apply`, of the field with that name. Errors: ItemRejected where it can't be handled."""


def media_field(item: Item, named: str | None, kinds: Sequence[str]) -> tuple[str, ...]:
    """The named field, else the item's only one of the first of these kinds that it has; () where it has none.

    Errors: BadInput where there are several and none is named.
    """
    if named is not None:
        return () if item.fields.get(named) is None else (named,)
    for kind in kinds:
        found = [n for n, v in item.fields.items() if isinstance(v, Media) and v.kind == kind]
        if len(found) > 1:
            raise BadInput(
                f"an item has several fields of {kind}: {', '.join(found)}", fix="name one: `field: …`"
            )
        if found:
            return (found[0],)
    return ()


def media_in(item: Item, name: str, kinds: Sequence[str]) -> Media:
    """Errors: ItemRejected where the field holds something else."""
    value = item[name]
    if not isinstance(value, Media) or value.kind not in kinds:
        raise ItemRejected("field_type", f"{name}: no {' or '.join(kinds)}")
    return value


def made(path: Path) -> Media:
    """A file that a transform wrote, with what is known of it. Errors: ItemRejected where it can't be read."""
    with open(path, "rb") as file:
        found = media_format(file.read(HEAD_BYTES), path.stat().st_size)
    if found is None:
        raise ItemRejected("broken_media", "what was made of it is no media")
    facts = probed(path, path.name, found, max_pixels=MOST_PIXELS)
    return Media(facts.pop("kind", "image"), path, found.suffix, facts)
