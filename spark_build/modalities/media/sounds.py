"""How a sound looks: loudness over time and pitch as a small image, which is compared as images are.

No sample rate is converted: bands are of hertz, and each column is an equal part of the whole length.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.decoding import samples_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_SIDE = 64  # columns of time, rows of pitch
_LOWEST_HERTZ, _HIGHEST_HERTZ = 100.0, 3600.0  # what a telephone and every codec keep
_WINDOW_SECONDS, _HOP_SECONDS = 0.064, 0.016
_MOST_WINDOWS = 8192  # of hours of sound they lie further apart
_RANGE_DB = 40.0  # below the loudest: what is quieter is noise, or will be
_CHANGE_DB = 24.0  # around a band's own mean
_SILENCE = 1e-7  # of full scale, squared


def sound_picture(path: Path, seconds: float) -> "Image.Image":
    """64 x 64 RGB: twice how each band's loudness moves around its mean, once how loud it is.

    `seconds`: about its length. Errors: ItemRejected.
    """
    import numpy as np
    from PIL import Image

    loud = _loudness(path, max(_HOP_SECONDS, seconds / _MOST_WINDOWS))
    level = np.clip(loud - loud.max() + _RANGE_DB, 0, _RANGE_DB) / _RANGE_DB
    audible = np.maximum(loud, loud.max() - _RANGE_DB)
    change = np.clip((audible - audible.mean(axis=0)) / (2 * _CHANGE_DB) + 0.5, 0, 1)
    planes = np.stack([change, change, level], axis=-1).swapaxes(0, 1)
    return Image.fromarray(np.rint(planes * 255).astype(np.uint8))


def _loudness(path: Path, hop_seconds: float) -> "np.ndarray[Any, Any]":
    """Decibels, (time, band): 64 x 64."""
    import numpy as np

    energies = np.concatenate([np.zeros((0, _SIDE)), *_energies(path, hop_seconds)])
    if not len(energies):
        raise ItemRejected("empty", "shorter than a sixteenth of a second")
    sums = np.concatenate([np.zeros((1, _SIDE)), np.cumsum(energies, axis=0)])
    edges = np.linspace(0, len(energies), _SIDE + 1)
    whole = np.minimum(edges.astype(np.int64), len(energies) - 1)
    upto = sums[whole] + energies[whole] * (edges - whole)[:, None]  # of the part of a window, too
    means = np.diff(upto, axis=0) / (len(energies) / _SIDE)
    decibels: np.ndarray[Any, Any] = 10 * np.log10(np.maximum(means, 0) + _SILENCE)
    return decibels


def _energies(path: Path, hop_seconds: float) -> Iterator["np.ndarray[Any, Any]"]:
    """Of each band in each window, some seconds at a time; so that hours of sound take little memory."""
    import numpy as np

    left, bands = np.zeros(0, np.float32), None
    for rate, samples in samples_of(path):
        size, hop = round(_WINDOW_SECONDS * rate), round(hop_seconds * rate)
        if bands is None:
            bands, window = _bands(size, rate), np.hanning(size).astype(np.float32)
        left = np.concatenate([left, samples])
        if len(left) < max(size, hop, rate):
            continue
        yield _of_windows(left, size, hop, window, bands)
        left = left[(len(left) - size) // hop * hop + hop :]
    if bands is not None and len(left) >= size:
        yield _of_windows(left, size, hop, window, bands)


def _of_windows(
    samples: "np.ndarray[Any, Any]", size: int, hop: int, window: Any, bands: Any
) -> "np.ndarray[Any, Any]":
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.abs(np.fft.rfft(windows * window, axis=1)) ** 2 / (size / 4) ** 2
    summed = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1)], axis=1)
    first, last = bands
    energies: np.ndarray[Any, Any] = summed[:, last] - summed[:, first]
    return energies


def _bands(size: int, rate: int) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """First and last line of the spectrum of each band; every one has at least one."""
    import numpy as np

    edges = np.geomspace(_LOWEST_HERTZ, _HIGHEST_HERTZ, _SIDE + 1) * size / rate
    first = np.minimum(np.rint(edges[:-1]).astype(np.int64), size // 2)
    return first, np.minimum(np.maximum(np.rint(edges[1:]).astype(np.int64), first + 1), size // 2 + 1)
