"""Images as a gate compares them by what a model makes of them: directions in whole numbers, and their cosines."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.contract import Item, Media
from spark_build.core.errors import ItemRejected

if TYPE_CHECKING:
    import numpy as np

_BLOCK, _PART = 512, 8192  # items whose cosines are worked out at once: 16 MB, however many there are
_MARGIN = 1e-4  # of float32 sums, which name candidates; whole numbers decide


def image_fields(item: Item) -> tuple[str, ...]:
    return tuple(n for n, v in item.fields.items() if isinstance(v, Media) and v.kind == "image")


def embedding(item: Item, names: Sequence[str], model: Path) -> bytes:
    """Of the item's first image. Errors: ItemRejected where a field that was named holds something else."""
    from spark_build.modalities.media.image_models import load_embedder
    from spark_build.modalities.media.views import views

    media = next((item.fields[name] for name in names if item.fields.get(name) is not None), None)
    if not isinstance(media, Media) or media.kind != "image":
        raise ItemRejected("no_image", f"{', '.join(names)}: no image")
    (_, picture), *_ = views(media.path, media.kind, media.facts, 1)
    return load_embedder(model).embedding(picture).tobytes()


def cosine(first: bytes, second: bytes) -> float:
    """From 0 to 1; the same bits on every machine."""
    import numpy as np

    one, other = (np.frombuffer(found, "<i2").astype(np.int64) for found in (first, second))
    lengths = math.sqrt(int(one @ one) * int(other @ other))
    return max(0.0, min(1.0, int(one @ other) / lengths))


def near_directions(
    signatures: Sequence[bytes], threshold: float, is_kept: Callable[[int], bool]
) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, whose cosine is at least `threshold`: none is missed. By ascending j, then i.

    Each item is compared with all that are kept before it, a block at a time.
    """
    import numpy as np

    found = np.frombuffer(b"".join(signatures), "<i2").reshape(len(signatures), -1).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    gone = np.zeros(len(found), np.bool_)
    for begin in range(0, len(found), _BLOCK):
        block = np.arange(begin, min(begin + _BLOCK, len(found)))
        earlier = np.concatenate([np.flatnonzero(~gone[:begin]), block])
        pairs = [
            _near(found, earlier[n : n + _PART], block, threshold) for n in range(0, len(earlier), _PART)
        ]
        firsts, seconds = np.concatenate(pairs, axis=1)
        order = np.lexsort((firsts, seconds))
        yield from _settling(firsts[order].tolist(), seconds[order].tolist(), gone, is_kept)


def _near(
    found: "np.ndarray[Any, Any]", earlier: Any, block: Any, threshold: float
) -> "np.ndarray[Any, Any]":
    """(2, pairs)."""
    import numpy as np

    rows, columns = np.nonzero(found[earlier] @ found[block].T >= threshold - _MARGIN)
    pairs = np.stack([earlier[rows], block[columns]])
    return pairs[:, pairs[0] < pairs[1]]


def _settling(
    firsts: list[int], seconds: list[int], gone: Any, is_kept: Callable[[int], bool]
) -> Iterator[tuple[int, int]]:
    """Of items that went none is named; `gone` learns which went."""
    for i, j in zip(firsts, seconds, strict=True):
        if gone[i] or gone[j]:
            continue
        yield i, j
        gone[j] = not is_kept(j)
