"""Variants of images and sounds: turned, cut, colored, noisy, faster, louder. How much is said by who asks."""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected
from spark_build.core.values import Struct

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_BLOCK = 1 << 18  # samples that are held at a time
_FULL = 32_767  # of 16 bits


class ImageChange(Struct, frozen=True):
    is_flipped: bool = False
    degrees: float = 0.0  # counter-clockwise
    share: float = 1.0  # of each side that stays
    place: tuple[float, float] = (0.0, 0.0)  # of what stays: 0 left and top, 1 right and bottom
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    noise: float = 0.0  # standard deviation, of 255
    seed: int = 0  # of the noise


class SoundChange(Struct, frozen=True):
    speed: float = 1.0  # 2: half as long, an octave higher
    decibels: float = 0.0  # louder
    signal_to_noise: float | None = None  # decibels, of white noise
    seed: int = 0


def varied(image: "Image.Image", change: ImageChange) -> "Image.Image":
    """An RGB image; where it was turned its corners are black."""
    from PIL import ImageEnhance
    from PIL.Image import Resampling, Transpose

    if change.is_flipped:
        image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
    if change.degrees:
        image = image.rotate(change.degrees, Resampling.BICUBIC)
    if change.share < 1:
        image = image.crop(_box(image.size, change.share, change.place))
    for enhance, factor in (
        (ImageEnhance.Brightness, change.brightness),
        (ImageEnhance.Contrast, change.contrast),
        (ImageEnhance.Color, change.saturation),
    ):
        image = image if factor == 1 else enhance(image).enhance(factor)
    return _noisy(image, change) if change.noise else image


def _box(size: tuple[int, int], share: float, place: tuple[float, float]) -> tuple[int, int, int, int]:
    width, height = (max(1, round(side * share)) for side in size)
    left, top = round((size[0] - width) * place[0]), round((size[1] - height) * place[1])
    return left, top, left + width, top + height


def _noisy(image: "Image.Image", change: ImageChange) -> "Image.Image":
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image)
    noise = np.random.default_rng(change.seed).standard_normal(pixels.shape, np.float32) * change.noise
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


def vary_sound(path: Path, to: Path, change: SoundChange, scratch: Path) -> None:
    """From a WAV of 16 bits to another one, in blocks, however long. Errors: ItemRejected."""
    if change.speed != 1:
        from spark_build.modalities.media.decoding import write_faster

        write_faster(path, scratch, change.speed)
        path = scratch
    strength = _noise_strength(path, change.signal_to_noise)
    with wave.open(str(path)) as file, wave.open(str(to), "wb") as output:
        output.setparams(file.getparams())
        for block in _changed(_blocks(file), change, strength):
            output.writeframesraw(block.tobytes())


def _changed(
    blocks: "Iterator[np.ndarray[Any, Any]]", change: SoundChange, strength: float
) -> "Iterator[np.ndarray[Any, Any]]":
    import numpy as np

    factor, noise = 10 ** (change.decibels / 20), np.random.default_rng(change.seed)
    for block in blocks:
        samples = block.astype(np.float32)
        if strength:
            samples += noise.standard_normal(len(block), np.float32) * np.float32(strength)
        yield np.clip(np.rint(samples * np.float32(factor)), -_FULL - 1, _FULL).astype("<i2")


def _noise_strength(path: Path, signal_to_noise: float | None) -> float:
    """Standard deviation of noise so far below the sound's own mean power."""
    import numpy as np

    if signal_to_noise is None:
        return 0.0
    with wave.open(str(path)) as file:
        power, count = 0, 0
        for block in _blocks(file):
            power += int(np.square(block.astype(np.int64)).sum())
            count += len(block)
    if not count:
        raise ItemRejected("empty", "not one sample of its sound")
    return float((power / count) ** 0.5 / 10 ** (signal_to_noise / 20))


def _blocks(file: wave.Wave_read) -> "Iterator[np.ndarray[Any, Any]]":
    import numpy as np

    while data := file.readframes(_BLOCK):
        yield np.frombuffer(data, "<i2")


def drawn(value: float, wanted: tuple[float, float] | None, default: float) -> float:
    """A number from 0 to 1, brought between the two; `default` where nothing is wanted."""
    return default if wanted is None else wanted[0] + (wanted[1] - wanted[0]) * value
