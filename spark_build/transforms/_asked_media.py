"""What transforms share that ask a model about an item's sound or pictures."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from spark_build.contract import AskingTransform, Context, Item, Media
from spark_build.core.errors import ItemRejected
from spark_build.transforms._media import media_field, media_in


class AskedMedia(AskingTransform):
    """One media field is shown to a model, one item at a time: on a CPU other items of a batch would change its bits.

    The item keeps all that it has. Revision and libraries scope what was found, as memo keys do.
    """

    kinds: ClassVar[tuple[str, ...]]  # of MEDIA_KINDS; of an item that has several the first
    reproducible = "numerics"
    uses_model = True

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return media_field(item, self.params.field, self.kinds)

    def ask(self, items: Iterable[Item], context: Context) -> Iterator[tuple[int, Any]]:
        found_of: Callable[[Media], Any] | None = None
        for number, item in enumerate(items):
            names = self.fields_read(item)
            if not names:
                yield number, None  # it has another modality
                continue
            try:
                media = media_in(item, names[0], self.kinds)
                found_of = found_of or self.asking(context)
                yield number, found_of(media)
            except ItemRejected as why:
                yield number, why

    def becomes(self, item: Item, found: Any, params: Any) -> Sequence[Mapping[str, Any]]:
        if found is None:
            return [{}]
        kept = {name: item[name] for name in self.fields_read(item)}
        return [{**kept, **self.said(found, params)}]

    @abstractmethod
    def asking(self, context: Context) -> Callable[[Media], Any]:
        """Loads the model; what it gives is asked of each media. Errors: BadInput, Unavailable, ItemRejected."""

    @abstractmethod
    def said(self, found: Any, params: Any) -> Mapping[str, Any]:
        """The fields that are new. Errors: ItemRejected."""
