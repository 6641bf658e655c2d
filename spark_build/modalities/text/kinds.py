"""What a file holds: by its content first, and by its suffix only where content alone can't tell."""

import codecs
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from spark_build.core.errors import ItemRejected

KINDS = ("text", "markdown", "html", "json", "jsonl", "csv", "tsv", "parquet")
HEAD_BYTES = 8192  # what `kind_of` wants to see of a file

BY_SUFFIX = {
    ".txt": "text", ".text": "text", ".rst": "text", ".log": "text", "": "text",
    ".md": "markdown", ".markdown": "markdown", ".mdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_DOCUMENTS = ("text", "markdown", "html")

_MAGIC = (
    (b"PAR1", "Parquet"), (b"ARROW1", "an Arrow file"), (b"Obj\x01", "Avro"), (b"SQLite format 3", "SQLite"),
    (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF"), (b"{\\rtf", "RTF"), (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"PK\x03\x04", "a ZIP archive (or a docx, xlsx, epub)"), (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "gzip data"), (b"BZh", "bzip2 data"), (b"\xfd7zXZ\0", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"), (b"\x80\x04\x95", "a pickle"),
    (b"\x7fELF", "a program"), (b"MZ\x90", "a program"), (b"\xca\xfe\xba\xbe", "a program"),
    (b"OggS\0", "Ogg audio"), (b"fLaC\0", "FLAC audio"), (b"ID3\3", "MP3 audio"), (b"ID3\4", "MP3 audio"),
)  # fmt: skip

_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROLS = bytes(b for b in range(32) if b not in b"\t\n\r\f\v\b\x1b")
_HTML = re.compile(
    rb"\s*(<\?xml[^>]*\?>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(rb"<[A-Za-z!/]")


def kind_of(path: str, head: bytes, types: Mapping[str, str]) -> str:
    """One of `KINDS`; `types` says more suffixes.

    Errors: ItemRejected with reason binary, not_parquet, not_rows or unknown_type.
    """
    suffix = PurePosixPath(path).suffix.lower()
    named = types.get(suffix) or BY_SUFFIX.get(suffix)
    binary = binary_content(head)
    if binary == "Parquet":
        return "parquet"
    if named == "parquet":
        raise ItemRejected("not_parquet", f"named {suffix}, but holds {binary or 'text'}")
    if binary is not None:
        raise ItemRejected("binary", f"named {suffix or 'without a suffix'}, but holds {binary}")
    return _text_kind(suffix, named, head)


def _text_kind(suffix: str, named: str | None, head: bytes) -> str:
    if head.startswith(_WIDE_MARKS):
        head = head.replace(b"\0", b"")  # enough to see tags
    if _HTML.match(head.removeprefix(codecs.BOM_UTF8)):
        if named not in (*_DOCUMENTS, None):
            raise ItemRejected("not_rows", f"named {suffix}, but holds an HTML page")
        return "html"
    if named is None:
        raise ItemRejected(
            "unknown_type", f"suffix {suffix}; `types: {{{suffix[1:]}: text}}` reads it as text"
        )
    if named == "html" and not _TAG.search(head):
        return "text"
    return named


def binary_content(head: bytes) -> str | None:
    """What a binary file seems to be; None for text."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(_WIDE_MARKS):
        return None
    if b"\0" in head or len(head) - len(head.translate(None, _CONTROLS)) > len(head) * 0.02:
        return "binary data"
    return None
