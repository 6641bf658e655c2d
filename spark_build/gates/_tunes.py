"""Audio as a gate compares it, by our chroma or by Chromaprint: the first sound of an item's fields."""

from collections.abc import Callable, Iterable, Sequence

from spark_build.contract import Item, Media
from spark_build.core.errors import ItemRejected


def sound_fields(item: Item) -> tuple[str, ...]:
    return tuple(n for n, v in item.fields.items() if isinstance(v, Media) and v.kind == "audio")


def sound_hashes(item: Item, names: Sequence[str]) -> bytes:
    from spark_build.modalities.media.chroma import chroma_hashes

    return chroma_hashes(_sound(item, names).path)


def sound_candidates(
    signatures: Sequence[bytes], is_kept: Callable[[int], bool]
) -> Iterable[tuple[int, int]]:
    import numpy as np

    from spark_build.modalities.media.chroma import HASHES, LEADING
    from spark_build.modalities.media.hamming import near_pairs

    hashes = np.frombuffer(b"".join(signatures), "<u8").reshape(len(signatures), HASHES)
    return near_pairs(hashes, is_kept, LEADING)


def sound_likeness(first: Item, second: Item, names: Sequence[str]) -> float:
    from spark_build.modalities.media.chroma import chroma_likeness

    one, other = (_sound(item, names) for item in (first, second))
    return chroma_likeness(
        (one.path, float(one.facts["duration"])), (other.path, float(other.facts["duration"]))
    )


def print_hashes(item: Item, names: Sequence[str]) -> bytes:
    from spark_build.modalities.media.chromaprint import chromaprint_hashes

    return chromaprint_hashes(_sound(item, names).path)


def print_candidates(
    signatures: Sequence[bytes], is_kept: Callable[[int], bool]
) -> Iterable[tuple[int, int]]:
    """Sounds that are too short for a fingerprint are like nothing."""
    import numpy as np

    from spark_build.modalities.media.chromaprint import HASHES
    from spark_build.modalities.media.hamming import near_pairs

    places = [place for place, signature in enumerate(signatures) if signature]
    hashes = np.frombuffer(b"".join(signatures), "<u8").reshape(len(places), HASHES)
    for one, other in near_pairs(hashes, lambda position: is_kept(places[position])):
        yield places[one], places[other]


def print_likeness(first: Item, second: Item, names: Sequence[str]) -> float:
    from spark_build.modalities.media.chromaprint import chromaprint_likeness

    return chromaprint_likeness(_sound(first, names).path, _sound(second, names).path)


def _sound(item: Item, names: Sequence[str]) -> Media:
    """Errors: ItemRejected where a field that was named holds something else."""
    found = (v for name in names if isinstance(v := item.fields.get(name), Media) and v.kind == "audio")
    sound = next(found, None)
    if sound is None:
        raise ItemRejected("no_audio", f"{', '.join(names)}: no audio")
    return sound
