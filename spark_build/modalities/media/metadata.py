"""Image files without their metadata: what holds no pixels is left out of the file, nothing is encoded anew."""

import struct
import zlib
from collections.abc import Iterator

from spark_build.core.errors import ItemRejected

# JPEG: APP0 (JFIF), APP2 (color profile) and APP14 (Adobe: how colors are coded) shape what is seen
_KEPT_APPS = (0xE0, 0xE2, 0xEE)
_COMMENT, _START_OF_SCAN, _EXIF_APP = 0xFE, 0xDA, 0xE1
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME")
_WEBP_METADATA = {b"EXIF": 0x08, b"XMP ": 0x04}  # and their bits in the flags of VP8X
_UPRIGHT = 1


def stripped(data: bytes, suffix: str, orientation: int = _UPRIGHT) -> bytes | None:
    """The file anew, with a tag for the orientation where it is not upright; None for formats that are not known.

    Errors: ItemRejected with reason broken_image.
    """
    try:
        if suffix == ".jpg":
            return _jpeg(data, orientation)
        if suffix == ".png":
            return _png(data, orientation)
        if suffix == ".webp":
            return _webp(data, orientation)
    except (IndexError, struct.error):
        raise ItemRejected("broken_image", "a segment of it ends beyond the file") from None
    return data if suffix in (".gif", ".bmp") else None


def _exif(orientation: int) -> bytes:
    """TIFF with the one tag."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _jpeg(data: bytes, orientation: int) -> bytes:
    kept, tag = [data[:2]], b"Exif\0\0" + _exif(orientation)
    if orientation != _UPRIGHT:
        kept.append(b"\xff\xe1" + struct.pack(">H", len(tag) + 2) + tag)
    place = 2
    while True:
        while data[place] == 0xFF and data[place + 1] == 0xFF:  # fill bytes
            place += 1
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place] != 0xFF or length < 2:
            raise ItemRejected("broken_image", "no marker where a segment begins")
        if marker == _START_OF_SCAN:
            return b"".join(kept) + data[place:]
        is_app = 0xE0 <= marker <= 0xEF
        if not (marker == _COMMENT or (is_app and marker not in _KEPT_APPS)):
            kept.append(data[place : place + 2 + length])
        place += 2 + length


def _png(data: bytes, orientation: int) -> bytes:
    kept = [_PNG_HEAD]
    for kind, chunk in _png_chunks(data):
        if kind not in _PNG_METADATA:
            kept.append(chunk)
        if kind == b"IHDR" and orientation != _UPRIGHT:
            tag = b"eXIf" + _exif(orientation)
            kept.append(struct.pack(">I", len(tag) - 4) + tag + struct.pack(">I", zlib.crc32(tag)))
    return b"".join(kept)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What follows the last chunk is no part of the image."""
    place = len(_PNG_HEAD)
    while place + 12 <= len(data):
        size = struct.unpack_from(">I", data, place)[0] + 12
        kind = data[place + 4 : place + 8]
        yield kind, data[place : place + size]
        if kind == b"IEND":
            return
        place += size


def _webp(data: bytes, orientation: int) -> bytes:
    kept, place = [], 12
    while place + 8 <= len(data):
        kind, size = data[place : place + 4], struct.unpack_from("<I", data, place + 4)[0]
        chunk = data[place : place + 8 + size + size % 2]
        if kind == b"VP8X":
            flags = chunk[8] & ~sum(_WEBP_METADATA.values())
            flags |= _WEBP_METADATA[b"EXIF"] if orientation != _UPRIGHT else 0
            chunk = chunk[:8] + bytes([flags]) + chunk[9:]
        if kind not in _WEBP_METADATA:
            kept.append(chunk)
        place += 8 + size + size % 2
    is_extended = any(chunk.startswith(b"VP8X") for chunk in kept)
    if orientation != _UPRIGHT and is_extended:
        tag = _exif(orientation)
        kept.append(b"EXIF" + struct.pack("<I", len(tag)) + tag)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body
