"""BLAKE3-256 digests, and the one canonical JSON that they are taken over."""

from __future__ import annotations  # what they name need not be loaded

import errno
import json
import os
from functools import cache

from blake3 import blake3

TYPE_CHECKING = False  # typing alone takes as long as Python itself
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

Digest = str  # 64 lower-case hex digits
Buffer = bytes | memoryview

_MMAP_FROM_BYTES = 1 << 20
_WINDOW_BYTES = 256 << 20
_SHALLOW = 4  # levels of lists and dicts
_EXACT = 1 << 53
# made once: json.dumps makes one per call where an option is not the default
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_bytes(data: Buffer) -> Digest:
    return blake3(data).hexdigest()


def digest_file(path: Path | str, size: int | None = None) -> Digest:
    """The digest of a file's content; large files are mapped, a window at a time, and hashed on all cores."""
    hasher = blake3(max_threads=blake3.AUTO) if size is None or size >= _MMAP_FROM_BYTES else blake3()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if size is not None and size < _MMAP_FROM_BYTES:
            while chunk := os.read(fd, size + 1):
                hasher.update(chunk)
            return hasher.hexdigest()
        if os.fstat(fd).st_size <= _WINDOW_BYTES:
            return hasher.update_mmap(path).hexdigest()
        return _in_windows(hasher, fd)
    except OSError as error:
        error.filename = error.filename or os.fspath(path)  # the system does not know it any more
        raise
    finally:
        os.close(fd)


def _in_windows(hasher: blake3, fd: int) -> Digest:
    """So that a process takes no more memory for a larger file."""
    import mmap

    start, size = 0, os.fstat(fd).st_size
    while start < size:
        length = min(_WINDOW_BYTES, size - start)
        try:
            window = mmap.mmap(fd, length, access=mmap.ACCESS_READ, offset=start)
        except ValueError as error:
            raise OSError(errno.ESTALE, "it became shorter while it was read") from error
        with window:
            hasher.update(window)
        start += length
    return hasher.hexdigest()


def canonical_json(value: Any) -> bytes:
    """The same bytes for the same value: sorted keys, no spaces, UTF-8, no NaN."""
    return _CANONICAL.encode(value).encode()


def canonical_row(value: Any) -> bytes:
    """`canonical_json`, four times as quick for a shallow value with long text."""
    if _is_common(value, _SHALLOW):
        try:
            return bytes(_row_encoder().encode(value))
        except UnicodeEncodeError:  # half of a surrogate pair: told in the same words
            pass
    return canonical_json(value)


@cache
def _row_encoder() -> Any:
    import msgspec

    return msgspec.json.Encoder(order="deterministic")


def _is_common(value: Any, depth: int) -> bool:
    """Whether both encoders write the same: text, and numbers that both write without an exponent."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is float:
        return bool(1e-3 <= abs(value) < 1e15 or value == 0)
    if kind is int:
        return bool(-_EXACT < value < _EXACT)
    if depth == 0:
        return False
    if kind is dict:
        for name in value:
            if type(name) is not str:
                return False
        return _are_common(value.values(), depth - 1)
    return (kind is list or kind is tuple) and _are_common(value, depth - 1)


def _are_common(values: Iterable[Any], depth: int) -> bool:
    """`_is_common` of each; what rows and findings are mostly made of is seen without a call."""
    for value in values:
        kind = type(value)
        if kind is str or (kind is int and -_EXACT < value < _EXACT):
            continue
        if kind is float and (value == 0 or 1e-3 <= value < 1e15):
            continue
        if not _is_common(value, depth):
            return False
    return True


def digest_json(value: Any) -> Digest:
    return digest_bytes(canonical_json(value))
