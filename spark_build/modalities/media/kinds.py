"""Whether a file holds media, by its first bytes: names are not asked."""

import re
from typing import Literal

from spark_build.core.values import Struct

Family = Literal[
    "image", "av"
]  # what opens it: Pillow, or FFmpeg, whose streams say whether it is audio or video

HEAD_BYTES = 1024  # what `media_format` wants to see of a file


class Format(Struct, frozen=True):
    name: str  # as people write it: 'JPEG', 'MP4'
    family: Family
    suffix: str
    demuxer: str = ""  # of FFmpeg


_BY_MAGIC = (
    (b"\xff\xd8\xff", Format("JPEG", "image", ".jpg")),
    (b"\x89PNG\r\n\x1a\n", Format("PNG", "image", ".png")),
    (b"GIF87a", Format("GIF", "image", ".gif")),
    (b"GIF89a", Format("GIF", "image", ".gif")),
    (b"II*\0", Format("TIFF", "image", ".tif")),
    (b"MM\0*", Format("TIFF", "image", ".tif")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Format("JPEG2000", "image", ".jp2")),
    (b"fLaC\0", Format("FLAC", "av", ".flac", "flac")),
    (b"fLaC\x80", Format("FLAC", "av", ".flac", "flac")),
    (b"ID3\2", Format("MP3", "av", ".mp3", "mp3")),
    (b"ID3\3", Format("MP3", "av", ".mp3", "mp3")),
    (b"ID3\4", Format("MP3", "av", ".mp3", "mp3")),
    (b"OggS\0", Format("Ogg", "av", ".ogg", "ogg")),
    (b"\x1a\x45\xdf\xa3", Format("Matroska", "av", ".mkv", "matroska")),
    (b"FLV\x01", Format("FLV", "av", ".flv", "flv")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format("ASF", "av", ".asf", "asf")),
    (b"\0\0\x01\xba", Format("MPEG-PS", "av", ".mpg", "mpeg")),
    (b".snd\0\0", Format("AU", "av", ".au", "au")),
    (b"caff\0\x01", Format("CAF", "av", ".caf", "caf")),
    (b"#!AMR", Format("AMR", "av", ".amr", "amr")),
)  # fmt: skip
_IN_RIFF = {
    b"WEBP": Format("WEBP", "image", ".webp"),
    b"WAVE": Format("WAV", "av", ".wav", "wav"),
    b"AVI ": Format("AVI", "av", ".avi", "avi"),
    b"AIFF": Format("AIFF", "av", ".aiff", "aiff"),
    b"AIFC": Format("AIFF", "av", ".aiff", "aiff"),
}
_MP4 = Format("MP4", "av", ".mp4", "mov")
_BRANDS = {
    b"avif": Format("AVIF", "image", ".avif"), b"avis": Format("AVIF", "image", ".avif"),
    b"heic": Format("HEIF", "image", ".heic"), b"mif1": Format("HEIF", "image", ".heic"),
    b"qt  ": Format("QuickTime", "av", ".mov", "mov"), b"M4A ": Format("MP4", "av", ".m4a", "mov"),
}  # fmt: skip
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_MP3_FRAME = re.compile(
    rb"\xff[\xe2-\xe7\xf2-\xf7\xfa\xfb][\x10-\xeb]", re.DOTALL
)  # MPEG layer II or III, no free rate
_ADTS_FRAME = re.compile(rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]", re.DOTALL)
_TS_PACKET_BYTES = 188


def media_format(head: bytes, size: int) -> Format | None:
    """None for anything but media; `size` is the file's, in bytes."""
    for magic, found in _BY_MAGIC:
        if head.startswith(magic):
            return _webm(head) if found.name == "Matroska" else found
    if head[:4] in (b"RIFF", b"RF64", b"FORM") and head[8:12] in _IN_RIFF:
        return _IN_RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _MP4)
    if head[4:8] in _QUICKTIME_ATOMS and 8 <= int.from_bytes(head[:4], "big") <= max(size, 8):
        return _BRANDS[b"qt  "]
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and int.from_bytes(head[2:6], "little") in (0, size):
        return Format("BMP", "image", ".bmp")
    return _by_frames(head)


def _webm(head: bytes) -> Format:
    return (
        Format("WebM", "av", ".webm", "matroska")
        if b"webm" in head[:64]
        else Format("Matroska", "av", ".mkv", "matroska")
    )


def _by_frames(head: bytes) -> Format | None:
    """Streams without a header of their own."""
    if _MP3_FRAME.match(head):
        return Format("MP3", "av", ".mp3", "mp3")
    if _ADTS_FRAME.match(head):
        return Format("AAC", "av", ".aac", "aac")
    if len(head) > 2 * _TS_PACKET_BYTES and all(head[n * _TS_PACKET_BYTES] == 0x47 for n in range(3)):
        return Format("MPEG-TS", "av", ".ts", "mpegts")
    return None
