"""Images as a gate compares them: by the first image of an item among the fields that it reads."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from spark_build.contract import Item, Media
from spark_build.core.errors import ItemRejected

if TYPE_CHECKING:
    from spark_build.modalities.media.pictures import Picture

_PICTURES = 64  # of up to 650 KB, so that what a cluster is compared with is decoded once


def image_fields(item: Item) -> tuple[str, ...]:
    return tuple(n for n, value in item.fields.items() if isinstance(value, Media) and value.kind == "image")


def image_hashes(item: Item, names: Sequence[str]) -> bytes:
    from spark_build.modalities.media.pictures import picture_hashes

    return picture_hashes(_image(item, names).path)


def image_candidates(
    signatures: Sequence[bytes], is_kept: Callable[[int], bool]
) -> Iterable[tuple[int, int]]:
    import numpy as np

    from spark_build.modalities.media.hamming import near_pairs

    hashes = np.frombuffer(b"".join(signatures), "<u8").reshape(len(signatures), -1)
    return near_pairs(hashes, is_kept)


def image_likeness(first: Item, second: Item, names: Sequence[str]) -> float:
    from spark_build.modalities.media.pictures import likeness

    return likeness(*(_picture(_image(item, names).path) for item in (first, second)))


@lru_cache(maxsize=_PICTURES)
def _picture(path: Path) -> "Picture":
    """A blob's path is named by its content."""
    from spark_build.modalities.media.pictures import Picture, small

    return Picture(small(path))


def _image(item: Item, names: Sequence[str]) -> Media:
    """Errors: ItemRejected where a field that was named holds something else."""
    values = [item.fields[name] for name in names if item.fields.get(name) is not None]
    found = next((v for v in values if isinstance(v, Media) and v.kind == "image"), None)
    if found is None:
        raise ItemRejected("no_image", f"{', '.join(names)} hold none")
    return found
