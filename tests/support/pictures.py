"""Images for tests: scikit-learn's photos and digits, and files that are broken or hostile in one way each."""

import io
import struct
import zlib
from functools import lru_cache

import numpy as np
from PIL import Image


@lru_cache(maxsize=1)
def photos() -> tuple[Image.Image, ...]:
    """China and a flower, 640 x 427."""
    from sklearn.datasets import load_sample_images

    return tuple(Image.fromarray(image) for image in load_sample_images().images)


@lru_cache(maxsize=1)
def digits() -> tuple[Image.Image, ...]:
    """1,797 handwritten ones, 8 x 8."""
    from sklearn.datasets import load_digits

    return tuple(Image.fromarray((image * 15).astype(np.uint8)) for image in load_digits().images)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def digit(number: int, size: int = 32) -> bytes:
    return encoded(digits()[number].resize((size, size)))


def bomb(width: int = 100_000, height: int = 100_000) -> bytes:
    """A PNG of few bytes that says to be huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(10**6)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def odd_images() -> dict[str, bytes]:
    """Unusual, and sound."""
    photo = photos()[0].resize((96, 64))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "ACME", 6  # Make, Orientation
    frames = [image.resize((16, 16)) for image in digits()[:4]]
    jpeg = encoded(photo, "JPEG")
    return {
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "deep.png": encoded(Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))),
        "animated.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "exif.jpg": encoded(photo, "JPEG", exif=exif),
        "wrong-exif.jpg": jpeg[:2] + b"\xff\xe1\0\x10Exif\0\0MM\0*\xff\xff\xff\xff" + jpeg[2:],
        "small.webp": encoded(photo, "WEBP"),
        "small.tif": encoded(photo, "TIFF"),
        "small.bmp": encoded(photo, "BMP"),
        "one-bit.png": encoded(photo.convert("1")),
    }


def bad_images() -> dict[str, tuple[bytes, str]]:
    """Each with the reason that it is rejected with."""
    jpeg, png = encoded(photos()[0], "JPEG"), encoded(photos()[1])
    return {
        "cut.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "cut.png": (png[: len(png) // 2], "truncated"),
        "head.jpg": (jpeg[:20], "broken_image"),
        "bomb.png": (bomb(), "too_many_pixels"),
        "checksum.png": (png[:60] + bytes([png[60] ^ 255]) + png[61:], "broken_image"),
        "noise.gif": (b"GIF89a" + bytes(range(256)), "broken_image"),
    }
