"""Bytes to text: byte order marks, UTF-8, a declared or detected encoding, and what can be repaired."""

import codecs
import re

from spark_build.core.errors import ItemRejected, Unavailable

# Detection picks among these alone: with all of Python's some 90 encodings a short text fits several
# equally well, and rare ones win. Earlier ones win ties.
_LIKELY = (
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp932", "euc_jp",
    "gb18030", "big5", "euc_kr",
)  # fmt: skip
_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_MAX_CHAOS = 0.2  # charset-normalizer's own default for a match that it would take
_SAMPLE_BYTES = 1 << 16


def decode(data: bytes, encoding: str = "auto", declared: str | None = None) -> str:
    """The text; `declared` is what the document says of itself (an HTML page's charset).

    Errors: ItemRejected('encoding') where no encoding fits, naming the first bad byte.
    """
    if encoding != "auto":
        return _strict(data, encoding).removeprefix("\ufeff")
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(data, name)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return _repair_double_encoding(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _decode_other(data, declared, error)


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _rejected(data, error) from None


def _decode_other(data: bytes, declared: str | None, error: UnicodeDecodeError) -> str:
    """Text that is not UTF-8 throughout."""
    if _is_mostly_utf8(data):
        return _repair_utf8(data)
    if declared is not None:
        try:
            return data.decode(declared)
        except (UnicodeDecodeError, LookupError):
            pass  # pages often declare what they are not
    detected = _detect(data)
    if detected is None:
        raise _rejected(data, error)
    return detected


def _rejected(data: bytes, error: UnicodeDecodeError) -> ItemRejected:
    line = data.count(b"\n", 0, error.start) + 1
    return ItemRejected("encoding", f"line {line}: byte 0x{data[error.start]:02x} is not {error.encoding}")


def _is_mostly_utf8(data: bytes) -> bool:
    """Valid sequences of several bytes outnumber the bytes that fit into none.

    Chance alone makes few: in other encodings two high bytes in a row seldom have the form of UTF-8.
    """
    text = data.decode("utf-8", errors="surrogateescape")
    broken = sum("\udc80" <= c <= "\udcff" for c in text)
    return sum(c > "\x7f" for c in text) - broken > broken


def _repair_utf8(data: bytes) -> str:
    """UTF-8 with stray bytes of Windows-1252 (text pasted together) or with its last character cut off."""
    tail = _cut_character.search(data[-4:])
    if tail is not None and len(tail[0]) < _sequence_length(tail[0][0]):
        data = data[: len(data) - len(tail[0])]
    text = data.decode("utf-8", errors="surrogateescape")
    try:
        return re.sub("[\udc80-\udcff]+", _as_windows_1252, text)
    except UnicodeDecodeError:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _rejected(data, error) from None
        raise


_cut_character = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}$")


def _sequence_length(first: int) -> int:
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def _as_windows_1252(stray: re.Match[str]) -> str:
    return stray[0].encode("utf-8", errors="surrogateescape").decode("cp1252")


def _detect(data: bytes) -> str | None:
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        raise Unavailable(
            "text that is not UTF-8 needs charset-normalizer",
            fix="pip install 'spark-build[text]', or name the encoding: `encoding: cp1252`",
        ) from None
    matches = from_bytes(data[:_SAMPLE_BYTES], cp_isolation=list(_LIKELY), threshold=_MAX_CHAOS)
    ranked = sorted(matches, key=lambda m: (m.chaos, -m.coherence, _rank(m.encoding)))
    for match in ranked:
        try:
            return data.decode(match.encoding)
        except UnicodeDecodeError:
            continue  # the sample fitted, the rest does not
    return None


def _rank(encoding: str) -> int:
    return _LIKELY.index(encoding) if encoding in _LIKELY else len(_LIKELY)


def _repair_double_encoding(text: str) -> str:
    """`cafÃ©` to `café`, where every non-ASCII character of the text is part of such a sequence.

    Three at least: a text may speak of one.
    """
    text = text.removeprefix("\u00ef\u00bb\u00bf")  # a byte order mark that was taken for Windows-1252
    if text.isascii():
        return text
    try:
        repaired = _to_windows_1252(text).decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return text
    return repaired.removeprefix("\ufeff") if sum(c > "\x7f" for c in repaired) >= 3 else text


def _to_windows_1252(text: str) -> bytes:
    """As browsers do it: the five bytes that Windows-1252 leaves undefined stand for themselves."""
    undefined = "\x81\x8d\x8f\x90\x9d"
    if not any(c in undefined for c in text):
        return text.encode("cp1252")
    return b"".join(c.encode("latin-1" if c in undefined else "cp1252") for c in text)
