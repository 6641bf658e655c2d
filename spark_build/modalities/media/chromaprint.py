"""Fingerprints by Chromaprint's own program, `fpcalc`, and how many of their bits agree wherever one begins."""

import json
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import ItemRejected, Unavailable

if TYPE_CHECKING:
    import numpy as np

PROGRAM = "fpcalc"
HASHES = 50  # of a sound; the first one leads

_SECONDS = 120  # of a sound: what AcoustID compares, too
_TIMEOUT_SECONDS = 120.0
_PER_SECOND = 11_025 / 1365  # words: Chromaprint's default algorithm
_MOST_OFFSET = round(3 * _PER_SECOND)
_AROUND = 24  # words on either side of the leading ones
_HASHED = round(12 * _PER_SECOND)  # words of a sound; those in their middle lead
_SHARED = 0.75  # of the longer one have to lie beside the other
_BITS = 32


def chromaprint_hashes(path: Path) -> bytes:
    """`HASHES` times two words that follow each other; b'' of a sound that is too short for a fingerprint."""
    import numpy as np

    words = chromaprint(path)[:_HASHED].astype(np.uint64)
    if len(words) < 2:
        return b""
    pairs = words[:-1] | words[1:] << np.uint64(_BITS)
    middle, last = len(pairs) // 2, len(pairs) - 1
    around = [min(max(middle + n, 0), last) for n in range(-_AROUND, _AROUND + 1)]
    return pairs[[middle, *around]].astype("<u8").tobytes()


def chromaprint_likeness(first: Path, second: Path) -> float:
    """The share of bits that agree at the best offset of up to three seconds; unrelated ones have a half."""
    one, other = chromaprint(first), chromaprint(second)
    needed = max(1.0, _SHARED * max(len(one), len(other)))
    return max(_agreeing(one, other, offset, needed) for offset in range(-_MOST_OFFSET, _MOST_OFFSET + 1))


def _agreeing(
    one: "np.ndarray[Any, Any]", other: "np.ndarray[Any, Any]", offset: int, needed: float
) -> float:
    import numpy as np

    one, other = one[max(offset, 0) :], other[max(-offset, 0) :]
    shared = min(len(one), len(other))
    if shared < needed:
        return 0.0
    return 1 - int(np.bitwise_count(one[:shared] ^ other[:shared]).sum()) / (_BITS * shared)


@lru_cache(maxsize=256)
def chromaprint(path: Path) -> "np.ndarray[Any, Any]":
    """32 bits for each eighth of a second; none of a sound that is too short. A blob's path is named by its content.

    Errors: Unavailable without the program; ItemRejected where it can't decode the sound.
    """
    import numpy as np

    said, why = _said(path)
    if said is None:
        if "Empty fingerprint" in why:
            return np.zeros(0, np.uint32)
        raise ItemRejected("broken_media", why[-200:])
    return np.array(json.loads(said)["fingerprint"], np.uint32)


def _said(path: Path) -> tuple[str | None, str]:
    words = [PROGRAM, "-raw", "-json", "-ignore-errors", "-length", str(_SECONDS), str(path)]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise Unavailable(f"the program {PROGRAM} is not installed", fix=_FIX) from None
    except subprocess.TimeoutExpired:
        raise ItemRejected("too_slow", f"{PROGRAM} took more than {_TIMEOUT_SECONDS:.0f} s") from None
    return done.stdout.decode() if done.returncode == 0 else None, done.stderr.decode(
        errors="replace"
    ).strip()


_FIX = "apt-get install libchromaprint-tools (Debian), brew install chromaprint; or `method: chroma`, which needs none"
