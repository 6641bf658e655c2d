"""Media files as records: one file, one record, under the field that its modality is called."""

from spark_build.contract import Media, Raw, SourceFile
from spark_build.core.errors import ItemRejected
from spark_build.modalities.media.kinds import HEAD_BYTES, Format, media_format
from spark_build.modalities.media.probing import probed


def format_of(file: SourceFile) -> Format | None:
    """None for a file that holds no media."""
    with open(file.location, "rb") as opened:
        return media_format(opened.read(HEAD_BYTES), file.size)


def read_media(file: SourceFile, found: Format, *, max_bytes: int, max_pixels: int) -> Media:
    """Errors: ItemRejected where it is broken, or larger than the limits."""
    if file.size > max_bytes:
        raise ItemRejected("too_large", f"{file.size} bytes; `max_bytes` is {max_bytes}")
    facts = probed(file.location, file.path, found, max_pixels=max_pixels)
    kind = facts.pop("kind", "image")
    return Media(kind, file.location, found.suffix, facts, name=file.path)


def record_of(media: Media, split: str | None) -> Raw:
    return Raw({media.kind: media}, key=media.name, split=split)
