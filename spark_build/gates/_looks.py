"""Images, videos and audio as a gate compares them: by the first of an item among the fields that it reads."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING

from spark_build.contract import Item, Media
from spark_build.core.errors import ItemRejected

if TYPE_CHECKING:
    from spark_build.modalities.media.pictures import Picture

_COMPARED = ("image", "video", "audio")  # of an item that has several the first of these
_PICTURES = 64  # of up to 650 KB, so that what a cluster is compared with is decoded once
_SOUNDS_ARE = 4  # times as alike as their pictures: a codec's delay moves all of one
_FRAMES = 5  # of a video are compared, evenly over its length; the middle one names candidates
_SAME_LENGTH = 0.9  # of two videos or sounds, the shorter one's duration over the longer one's, at least


def visual_fields(item: Item) -> tuple[str, ...]:
    return tuple(n for n, v in item.fields.items() if isinstance(v, Media) and v.kind in _COMPARED)


def visual_hashes(item: Item, names: Sequence[str]) -> bytes:
    from spark_build.modalities.media.pictures import hashes_of, picture_hashes

    media = _media(item, names)
    if media.kind == "image":
        return picture_hashes(media.path)
    if media.kind == "audio":
        return hashes_of(_sound(media.path, float(media.facts["duration"])).small)
    return hashes_of(_frames(media, (0.5,))[0].small)


def visual_candidates(
    signatures: Sequence[bytes], is_kept: Callable[[int], bool]
) -> Iterable[tuple[int, int]]:
    import numpy as np

    from spark_build.modalities.media.hamming import near_pairs

    hashes = np.frombuffer(b"".join(signatures), "<u8").reshape(len(signatures), -1)
    return near_pairs(hashes, is_kept)


def visual_likeness(first: Item, second: Item, names: Sequence[str]) -> float:
    """Of images; of sounds of about one length how they look; of such videos half of their frames are so alike."""
    from spark_build.modalities.media.pictures import likeness

    one, other = _media(first, names), _media(second, names)
    if one.kind != other.kind:
        return 0.0
    if one.kind == "image":
        return likeness(_picture(one.path), _picture(other.path))
    lengths = sorted(float(media.facts["duration"]) for media in (one, other))
    if lengths[0] < _SAME_LENGTH * lengths[1]:
        return 0.0
    if one.kind == "audio":
        pictures = (_sound(media.path, float(media.facts["duration"])) for media in (one, other))
        return 1 - (1 - likeness(*pictures)) / _SOUNDS_ARE
    places = tuple((part + 0.5) / _FRAMES for part in range(_FRAMES))
    pairs = zip(_frames(one, places), _frames(other, places), strict=True)
    return median_low(likeness(*pair) for pair in pairs)


@lru_cache(maxsize=_PICTURES)
def _picture(path: Path) -> "Picture":
    """A blob's path is named by its content."""
    from spark_build.modalities.media.pictures import Picture, small

    return Picture(small(path))


@lru_cache(maxsize=_PICTURES)
def _sound(path: Path, seconds: float) -> "Picture":
    from spark_build.modalities.media.pictures import Picture
    from spark_build.modalities.media.sounds import sound_picture

    return Picture(sound_picture(path, seconds))


def _frames(video: Media, places: tuple[float, ...]) -> "tuple[Picture, ...]":
    return _frames_of(video.path, tuple(place * float(video.facts["duration"]) for place in places))


@lru_cache(maxsize=_PICTURES // _FRAMES)
def _frames_of(path: Path, times: tuple[float, ...]) -> "tuple[Picture, ...]":
    from spark_build.modalities.media.decoding import frames_at
    from spark_build.modalities.media.pictures import Picture, small_frame

    return tuple(Picture(small_frame(frame)) for frame in frames_at(path, times))


def _media(item: Item, names: Sequence[str]) -> Media:
    """Errors: ItemRejected where a field that was named holds something else."""
    values: list[Media] = [v for name in names if isinstance(v := item.fields.get(name), Media)]
    if not values:
        raise ItemRejected("no_media", f"{', '.join(names)}: neither image, video nor audio")
    return min(values, key=lambda media: _COMPARED.index(media.kind))
