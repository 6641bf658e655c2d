"""What is sounded when: twelve pitch classes over time, and how alike two sounds are in it wherever one begins.

The fingerprint is of the kind of Bartsch and Wakefield 2005, "Audio thumbnailing of popular music using chroma-based
representations", section III; its hash is the picture hash of `pictures.py` turned to it. After the spectrum all is
whole numbers.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected
from spark_build.core.values import Struct
from spark_build.modalities.media.decoding import samples_of

if TYPE_CHECKING:
    import numpy as np

HASHES = 51  # of a sound: two that lead, and those of the windows around them
LEADING = 2

_CLASSES = 12
_FRAMES_PER_SECOND = 32
_WINDOW_SECONDS = 0.186  # 5.4 Hz a line: a semitone at 100 Hz
_LOWEST_HERTZ, _HIGHEST_HERTZ = 100.0, 3600.0  # what a telephone and every codec keep
_RANGE_DB = 40.0  # below the loudest: what is quieter is noise, or will be
_STEPS = 3  # of a decibel, so that 40 dB fit a byte
_HASHED_FRAMES = 48  # 1.5 seconds
_HASHED_SECONDS = 12.0  # of a sound; the window in their middle leads
_BETWEEN, _AROUND = 4, 24  # frames between the windows on either side of it, and how many: three seconds
_MOST_FRAMES = 8192  # of hours of sound they lie further apart
_MOST_OFFSET_SECONDS = 3.0
_SHARED = 0.75  # of the longer sound has to lie beside the other
_NOISE = 4  # of each value, squared: below it nothing is told from nothing


def chroma_hashes(path: Path) -> bytes:
    """`HASHES` 64-bit hashes, little-endian, of the first twelve seconds. Errors: ItemRejected."""
    import numpy as np

    frames = _padded(chroma(path, 1 / _FRAMES_PER_SECOND, _HASHED_SECONDS))
    last = len(frames) - _HASHED_FRAMES
    middle = last // 2
    around = [min(max(middle + _BETWEEN * n, 0), last) for n in range(-_AROUND, _AROUND + 1)]
    starts = [middle, max(middle - _BETWEEN // 2, 0), *around]
    return np.stack([_hash(frames[start : start + _HASHED_FRAMES]) for start in starts]).tobytes()


def chroma_likeness(first: tuple[Path, float], second: tuple[Path, float]) -> float:
    """From 0 to 1: how much of the movement of both agrees, at the best offset of up to three seconds.

    Each with its length in seconds. Where less than three quarters of the longer one lie beside the other: 0.
    """
    hop = _hop_seconds(max(first[1], second[1]))
    one, other = (_Compared.of(_kept_chroma(path, hop)) for path, _ in (first, second))
    most = round(_MOST_OFFSET_SECONDS / hop)
    needed = max(1.0, _SHARED * max(one.frames, other.frames))
    scores = (_score(one, other, offset, needed) for offset in range(-most, most + 1))
    return max(scores, default=0.0)


class _Compared(Struct, frozen=True):
    values: "np.ndarray[Any, Any]"  # of all frames, one after the other; whole numbers, so that their sums are exact
    squares: "np.ndarray[Any, Any]"  # summed up to each frame

    @classmethod
    def of(cls, frames: "np.ndarray[Any, Any]") -> "_Compared":
        import numpy as np

        squares = np.cumsum((frames.astype(np.int64) ** 2).sum(axis=1))
        return cls(frames.astype(np.float64).ravel(), np.concatenate([[0], squares]))

    @property
    def frames(self) -> int:
        return len(self.squares) - 1


def _score(one: _Compared, other: _Compared, offset: int, needed: float) -> float:
    """With the other one `offset` frames later: one less the share of their squares that is difference."""
    a, b = max(offset, 0), max(-offset, 0)
    shared = min(one.frames - a, other.frames - b)
    if shared < needed:
        return 0.0
    agreeing = one.values[_CLASSES * a : _CLASSES * (a + shared)].dot(
        other.values[_CLASSES * b : _CLASSES * (b + shared)]
    )
    both = int(one.squares[a + shared] - one.squares[a] + other.squares[b + shared] - other.squares[b])
    noise = _NOISE * _CLASSES * shared
    return max(0.0, 1 - (both - 2 * float(agreeing)) / (both + noise))


def _hop_seconds(seconds: float) -> float:
    """A power of two, so that two sounds of about one length are cut alike."""
    hop = 1 / _FRAMES_PER_SECOND
    while seconds / hop > _MOST_FRAMES:
        hop *= 2
    return hop


@lru_cache(maxsize=64)
def _kept_chroma(path: Path, hop_seconds: float) -> "np.ndarray[Any, Any]":
    """A blob's path is named by its content."""
    return chroma(path, hop_seconds)


def chroma(path: Path, hop_seconds: float, most_seconds: float | None = None) -> "np.ndarray[Any, Any]":
    """How far the loudness of each pitch class lies from the mean of all: thirds of a decibel, (frames, 12), int32.

    Errors: ItemRejected.
    """
    import numpy as np

    energies = np.concatenate([np.zeros((0, _CLASSES)), *_energies(path, hop_seconds, most_seconds)])
    if not len(energies):
        raise ItemRejected("empty", "shorter than a fifth of a second")
    loudest = float(energies.max())
    if loudest <= 0:
        return np.zeros((len(energies), _CLASSES), np.int32)
    floor = loudest * 10 ** (-_RANGE_DB / 10)
    decibels = np.rint(10 * _STEPS * np.log10(np.maximum(energies, floor) / floor)).astype(np.int32)
    means = decibels.sum(axis=1, keepdims=True) // _CLASSES
    moved: np.ndarray[Any, Any] = decibels - means
    return moved


def _energies(path: Path, hop_seconds: float, most_seconds: float | None) -> Iterator["np.ndarray[Any, Any]"]:
    """Of each class in each window, some seconds at a time; so that hours of sound take little memory."""
    import numpy as np

    left, begin, at = np.zeros(0, np.float32), 0, 0  # where `left` begins, and the next window's number
    for rate, samples in samples_of(path):
        left = np.concatenate([left, samples])
        if len(left) < 4 * rate:
            continue
        found, at = _of_windows(left, begin, at, rate, hop_seconds)
        yield found
        keep = min(round(at * hop_seconds * rate) - begin, len(left))
        left, begin = left[keep:], begin + keep
        if most_seconds is not None and at * hop_seconds >= most_seconds:
            return
    if len(left):
        yield _of_windows(left, begin, at, rate, hop_seconds)[0]


def _of_windows(
    samples: "np.ndarray[Any, Any]", begin: int, at: int, rate: int, hop_seconds: float
) -> tuple["np.ndarray[Any, Any]", int]:
    """Windows begin at whole multiples of the hop, whatever the rate; also the number of the next one."""
    import numpy as np

    size = round(_WINDOW_SECONDS * rate)
    starts = []
    while (start := round(at * hop_seconds * rate) - begin) + size <= len(samples):
        starts.append(start)
        at += 1
    if not starts:
        return np.zeros((0, _CLASSES)), at
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[starts]
    length = _quick_length(size)
    lines = np.fft.rfft(windows * np.hanning(size).astype(np.float32), length, axis=1)
    first, classes = _classes(length, rate)
    heard = lines[:, first : first + len(classes)]
    energies: np.ndarray[Any, Any] = (heard.real**2 + heard.imag**2).astype(np.float64) @ classes
    return energies, at


def _quick_length(size: int) -> int:
    """The first from there on that a Fourier transform takes apart into twos, threes and fives."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


@lru_cache(maxsize=8)
def _classes(length: int, rate: int) -> tuple[int, "np.ndarray[Any, Any]"]:
    """The first line of a spectrum that is heard, and to which class, from A on, it and those behind it belong.

    Shape: (lines, 12), ones and zeros.
    """
    import numpy as np

    hertz = np.arange(length // 2 + 1) * (rate / length)
    heard = np.flatnonzero((hertz >= _LOWEST_HERTZ) & (hertz < _HIGHEST_HERTZ))
    notes = np.floor(_CLASSES * np.log2(hertz[heard] / 440.0) + 0.5).astype(np.int64) % _CLASSES
    return int(heard[0]), (notes[:, None] == np.arange(_CLASSES)).astype(np.float64)


def _padded(frames: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    lacking = _HASHED_FRAMES - len(frames)
    if lacking <= 0:
        return frames[: round(_HASHED_SECONDS * _FRAMES_PER_SECOND)]
    return np.concatenate([frames, np.zeros((lacking, _CLASSES), frames.dtype)])


def _hash(frames: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Signs of eight slow movements over time by eight over the circle of classes."""
    import numpy as np

    over_time, over_classes = _waves()
    moved = over_time @ frames.astype(np.int64) @ over_classes.T
    return np.packbits((moved > 0).ravel(), bitorder="little")


@lru_cache(maxsize=1)
def _waves() -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Cosines over 48 frames; cosines and sines over twelve classes; in 4096ths."""
    import numpy as np

    frames, classes = np.arange(_HASHED_FRAMES), np.arange(_CLASSES)
    over_time = np.cos(np.pi * np.outer(np.arange(8), 2 * frames + 1) / (2 * _HASHED_FRAMES))
    turns = 2 * np.pi * np.outer(np.arange(1, 5), classes) / _CLASSES
    over_classes = np.concatenate([np.cos(turns), np.sin(turns)])
    return tuple(np.rint(4096 * waves).astype(np.int64) for waves in (over_time, over_classes))
