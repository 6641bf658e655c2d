"""Members of zip and tar archives, one by one and within limits; what is no plain file comes with a reason instead."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from spark_build.contract import Bad
from spark_build.core.errors import ItemRejected
from spark_build.core.values import Struct
from spark_build.sources._packed import COMPRESSIONS

_MOST_HEADER_BYTES = 1 << 20  # of a name or of attributes in a tar, which are read as a whole
_RATIO_COUNTS_FROM = 16 << 20  # bytes unpacked: small files of one letter are no bombs
_PIECE = 1 << 20
_NO_LIMIT = 1 << 62  # bytes
_NESTED = (
    ".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar", ".gz",
)  # fmt: skip
_XZ_MEMORY_BYTES = 256 << 20  # xz -9 wants 65 MiB; what says that it wants gigabytes gets none
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # of bounded memory
# of one member: encrypted, packed in a way that Python can't read, or damaged
_UNREADABLE = (RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError)
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Limits(Struct, frozen=True):
    member_bytes: int
    total_bytes: int
    ratio: float  # unpacked to packed, of the archive as a whole
    members: int
    depth: int  # folders above a member


class Member(Struct, frozen=True):
    path: str
    content: Readable


def members(archive: Path, limits: Limits) -> Iterator[Member | Bad]:
    """In the archive's order; a member's content has to be read before the next one is asked for.

    Errors: ItemRejected where the archive as a whole can't be read (on): not_archive, cut_off, too_many_members,
    archive_too_large, archive_ratio. What came before that has been read.
    """
    with open(archive, "rb") as file:
        kind = _kind(file.read(512))
    packed = archive.stat().st_size
    try:
        yield from _of_zip(archive, limits) if kind == "zip" else _of_tar(archive, kind, packed, limits)
    except _BROKEN as error:
        raise ItemRejected("cut_off", _told(error)) from None


def unpack(member: Member, to: Path, limits: Limits) -> Bad | None:
    """Writes the member's content; why not, where it is too large or broken."""
    try:
        if not _written(member.content, to, limits.member_bytes):
            told = f"{member.path}: more than {limits.member_bytes} bytes; `max_bytes` is the limit"
            return Bad("too_large", told, member.path)
    except (tarfile.TarError, gzip.BadGzipFile) as error:
        raise ItemRejected("cut_off", f"in {member.path}: {_told(error)}") from None
    except _UNREADABLE as error:
        return _unreadable(error, member.path)
    return None


def unpack_single(packed: Path, to: Path, *, ratio: float) -> None:
    """Writes what a single compressed file holds.

    Errors: ItemRejected with reason not_archive, cut_off, archive_ratio or binary.
    """
    with open(packed, "rb") as file:
        kind = _kind(file.read(512))
    if kind not in COMPRESSIONS:
        raise ItemRejected("binary", "named as if it were compressed, but it is an archive")
    limits = Limits(_NO_LIMIT, _NO_LIMIT, ratio, members=1, depth=0)
    try:
        with _unpacked(packed, kind) as stream:
            _written(_Counted(stream, _Budget(packed.stat().st_size, limits)), to, _NO_LIMIT)
    except _BROKEN as error:
        raise ItemRejected("cut_off", _told(error)) from None


def _written(content: Readable, to: Path, most_bytes: int) -> bool:
    """False where there is more of it; then it is written up to there."""
    left = most_bytes
    with open(to, "wb") as out:
        while piece := content.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                return False
            out.write(piece)
    return True


def _unreadable(error: Exception, path: str) -> Bad:
    reason = "encrypted" if "encrypted" in str(error) else "broken_member"
    return Bad(reason, f"{path}: {_told(error)}", path)


def _kind(head: bytes) -> str:
    """'zip', 'tar', or how a tar is packed. Errors: ItemRejected."""
    for magic, kind in (
        (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (b"\x1f\x8b", "gz"), (b"BZh", "bz2"),
        (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zst"),
    ):  # fmt: skip
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    raise ItemRejected("not_archive", "neither a zip nor a tar")


def _of_zip(archive: Path, limits: Limits) -> Iterator[Member | Bad]:
    budget, seen = _Budget(archive.stat().st_size, limits), set[str]()
    with zipfile.ZipFile(archive) as whole:
        infos = [info for info in whole.infolist() if not info.is_dir()]
        if len(infos) > limits.members:
            raise ItemRejected("too_many_members", f"{len(infos):,}; `max_members` is {limits.members:,}")
        for info in infos:
            path = _shown(info.filename)
            if (bad := _refused(path, limits, seen) or _odd_entry(info, path)) is not None:
                yield bad
                continue
            try:
                content = whole.open(info)
            except _UNREADABLE as error:
                yield _unreadable(error, path)
                continue
            with content:
                yield Member(path, _Counted(content, budget))


def _odd_entry(info: zipfile.ZipInfo, path: str) -> Bad | None:
    kind = (info.external_attr >> 16) & 0o170000  # as Unix notes it
    if kind == 0o120000:
        return Bad("link", f"{path} is a link", path)
    if kind not in (0, 0o100000):
        return Bad("device", f"{path} is no file", path)
    if info.compress_type not in _ZIP_METHODS:
        return Bad("unknown_compression", f"{path}: method {info.compress_type} of zip", path)
    return None


def _of_tar(archive: Path, kind: str, packed: int, limits: Limits) -> Iterator[Member | Bad]:
    with _unpacked(archive, kind) as stream:
        counted, seen, count = _Counted(stream, _Budget(packed, limits)), set[str](), 0
        with tarfile.open(fileobj=counted, mode="r|", tarinfo=_Header, errorlevel=1) as whole:
            while (info := whole.next()) is not None:
                whole.members = []  # type: ignore[attr-defined]  # it would keep them all
                count += 1
                if count > limits.members:
                    raise ItemRejected("too_many_members", f"`max_members` is {limits.members:,}")
                if info.isdir():
                    continue
                path = _shown(info.name)
                bad = _refused(path, limits, seen) or _odd_member(info, path)
                yield bad or Member(path, whole.extractfile(info) or io.BytesIO())


class _Header(tarfile.TarInfo):
    """A long name or attribute is read as a whole, so that there has to be a limit."""

    def _proc_member(self, whole: tarfile.TarFile) -> Any:
        if self.type in (b"L", b"K", b"x", b"g", b"X") and self.size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(whole)  # type: ignore[misc]


def _odd_member(info: tarfile.TarInfo, path: str) -> Bad | None:
    if info.issym() or info.islnk():
        return Bad("link", f"{path} is a link to {_shown(info.linkname)}", path)
    if info.issparse():
        return Bad("sparse", f"{path} has holes, which may be of any size", path)
    return None if info.isreg() else Bad("device", f"{path} is no file", path)


@contextmanager
def _unpacked(archive: Path, kind: str) -> Iterator[Readable]:
    opened: Any
    if kind == "zst":
        import pyarrow as pa

        opened = pa.input_stream(str(archive), compression="zstd")
    else:
        openers: dict[str, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": open, "tar": open}
        opened = openers[kind](archive, "rb")
    with opened as stream:
        yield _Xz(stream) if kind == "xz" else stream


def _refused(path: str, limits: Limits, seen: set[str]) -> Bad | None:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or parts[0][1:2] == ":":
        return Bad("unsafe_path", f"{path}: absolute, or out of the archive", path)
    if len(parts) - 1 > limits.depth:
        return Bad("too_deep", f"{len(parts) - 1} folders; `max_depth` is {limits.depth}", path)
    if path in seen:
        return Bad("duplicate_member", f"{path} is there twice", path)
    seen.add(path)
    if path.lower().endswith(_NESTED):
        return Bad("nested_archive", f"{path}: archives within archives are not opened", path)
    return None


def _shown(name: str) -> str:
    """As text that any file can hold; './a' is 'a'."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\\", "/")
    return text.removeprefix("./")


class _Budget:
    """What may be unpacked of one archive in all. Errors: ItemRejected."""

    def __init__(self, packed: int, limits: Limits) -> None:
        self._packed, self._limits, self._spent = packed, limits, 0

    def spend(self, count: int) -> None:
        self._spent += count
        if self._spent > self._limits.total_bytes:
            raise ItemRejected(
                "archive_too_large",
                f"more than {self._limits.total_bytes} bytes; `max_total_bytes` is the limit",
            )
        if self._spent > max(_RATIO_COUNTS_FROM, self._packed * self._limits.ratio):
            raise ItemRejected(
                "archive_ratio",
                f"{self._packed} bytes unpack to more than {self._limits.ratio:g} times as many; `max_ratio`",
            )


class _Counted(io.RawIOBase):
    """A stream that counts what is read of it against a budget."""

    def __init__(self, stream: Any, budget: _Budget) -> None:
        super().__init__()
        self._stream, self._budget = stream, budget

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self._budget.spend(len(data))
        return data


class _Xz:
    """The content of an xz file, within a limit of memory that `lzma.open` doesn't have."""

    def __init__(self, file: Any) -> None:
        self._file, self._stream = file, _xz()

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end. Errors: EOFError, LZMAError."""
        while True:
            if self._stream.eof:  # another stream may follow, after padding
                rest = (self._stream.unused_data or self._file.read(_PIECE)).lstrip(b"\0")
                if not rest:
                    return b""
                self._stream = _xz()
            else:
                rest = self._file.read(_PIECE) if self._stream.needs_input else b""
                if self._stream.needs_input and not rest:
                    raise EOFError("it ends before its end")
            if data := self._stream.decompress(rest, size):
                return data


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
