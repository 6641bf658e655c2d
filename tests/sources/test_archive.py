"""Archives: what is in them is read as files are, and what means harm is a rejected item with its reason."""

import io
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pictures import digit

from spark_build.contract import Bad, Raw, SourceFile
from spark_build.contract.rows import DatasetFolder
from spark_build.sources.archive import Archive, Params
from tests.spark import Folder

FILES = {
    "docs/a.md": b"# A\n\nFirst.\n",
    "train/rows.jsonl": b'{"text": "one"}\n{"text": "two"}\nbroken\n',
    "page.html": b"<html><body><p>Words enough for a main text.</p></body></html>",
    ".hidden": b"never read",
}


def tar(path: Path, files: Mapping[str, bytes], mode: str = "w", *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as whole:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            whole.addfile(info, io.BytesIO(data))
        for info in more:
            whole.addfile(info)
    return path


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, data in files.items():
            whole.writestr(name, data)
    return path


def zstd(path: Path, files: Mapping[str, bytes]) -> Path:
    import pyarrow as pa

    plain = tar(path.with_suffix(".plain"), files)
    with pa.output_stream(str(path), compression="zstd") as out:
        out.write(plain.read_bytes())
    return path


def read(archive: Path, **params: Any) -> list[Raw | Bad]:
    source = Archive(Params(path="data", **params), {"path": archive.parent})
    return list(source.read(SourceFile(archive.name, archive, archive.stat().st_size, "")))


def told(found: list[Raw | Bad]) -> dict[str, str]:
    """Of each thing that was rejected, why."""
    return {str(record.source): record.reason for record in found if isinstance(record, Bad)}


def texts(found: list[Raw | Bad]) -> dict[str, list[Any]]:
    by_source: dict[str, list[Any]] = {}
    for record in found:
        if isinstance(record, Raw):
            by_source.setdefault(str(record.source), []).append(record.fields["text"])
    return by_source


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_members_are_read_as_files_of_a_folder_are(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"all.{kind}"
    if kind == "zip":
        zipped(archive, FILES)
    elif kind == "tar.zst":
        zstd(archive, FILES)
    else:
        tar(archive, FILES, f"w:{kind.partition('.')[2]}")
    found = read(archive)
    assert texts(found) == {
        f"all.{kind}/docs/a.md": ["# A\n\nFirst."],
        f"all.{kind}/train/rows.jsonl": ["one", "two"],
        f"all.{kind}/page.html": ["Words enough for a main text."],
    }
    assert told(found) == {f"all.{kind}/train/rows.jsonl": "not_json"}
    assert {record.split for record in found if isinstance(record, Raw)} == {None, "train"}


def test_the_same_members_are_the_same_records_however_they_are_packed(tmp_path: Path) -> None:
    first, second = tar(tmp_path / "x", FILES, "w:gz"), zipped(tmp_path / "y", FILES)
    bare = [record for archive in (first, second) for record in read(archive)]
    named = [str(record).replace("source='x/", "source='y/") for record in bare]
    assert named[: len(named) // 2] == named[len(named) // 2 :]


def test_patterns_labels_and_limits_of_files_hold_for_members(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"cats/1.md": b"cat", "dogs/2.md": b"d" * 50, "dogs/2.txt": b"no"})
    found = read(archive, include="*.md", label="parent", max_bytes=10)
    (cat,) = (record for record in found if isinstance(record, Raw))
    assert cat.fields == {"text": "cat", "label": "cats"}
    assert told(found) == {"a.zip/dogs/2.md": "too_large"}


def entry(name: str, kind: bytes, **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info


def test_what_means_harm_in_a_tar_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "bad.tar",
        {"good.md": b"good", "../up.md": b"x", "/etc/abs.md": b"x", "a/../../b.md": b"x", "in.zip": b"PK\x03\x04",
         "/".join("abcdefgh" * 5) + ".md": b"deep", "twice.md": b"1"},
        "w",
        entry("link.md", tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("hard.md", tarfile.LNKTYPE, linkname="good.md"),
        entry("pipe", tarfile.FIFOTYPE),
        entry("disk", tarfile.BLKTYPE, devmajor=8),
        entry("twice.md", tarfile.REGTYPE),
    )  # fmt: skip
    found = read(archive)
    reasons = {source.removeprefix("bad.tar/"): reason for source, reason in told(found).items()}
    deep = "/".join("abcdefgh" * 5) + ".md"
    assert reasons == {
        "../up.md": "unsafe_path", "/etc/abs.md": "unsafe_path", "a/../../b.md": "unsafe_path", deep: "too_deep",
        "in.zip": "nested_archive", "link.md": "link", "hard.md": "link", "pipe": "device", "disk": "device",
        "twice.md": "duplicate_member",
    }  # fmt: skip
    assert texts(found) == {"bad.tar/good.md": ["good"], "bad.tar/twice.md": ["1"]}


def test_a_link_in_a_zip_and_a_member_with_a_password_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as whole:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        whole.writestr(link, "/etc/passwd")
        whole.writestr("good.md", "good")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1  # the member that is called good.md says that it is encrypted
    (tmp_path / "a.zip").write_bytes(data)
    assert told(read(tmp_path / "a.zip")) == {"a.zip/link": "link", "a.zip/good.md": "encrypted"}


def test_a_bomb_ends_where_it_is_larger_than_its_size_allows(tmp_path: Path) -> None:
    files = {"first.md": b"first", "bomb.txt": b"\0" * (40 << 20), "last.md": b"last"}
    for archive in (zipped(tmp_path / "a.zip", files), tar(tmp_path / "a.tgz", files, "w:gz")):
        found = read(archive)
        assert told(found) == {archive.name: "archive_ratio"}
        assert texts(found) == {f"{archive.name}/first.md": ["first"]}


def test_more_members_or_bytes_than_allowed_end_it(tmp_path: Path) -> None:
    files = {f"{n}.md": b"x" * 100 for n in range(20)}
    archive = tar(tmp_path / "a.tar", files)
    assert told(read(archive, max_members=5)) == {"a.tar": "too_many_members"}
    assert told(read(archive, max_total_bytes=5000)) == {"a.tar": "archive_too_large"}
    assert told(read(zipped(tmp_path / "a.zip", files), max_members=5)) == {"a.zip": "too_many_members"}


def test_an_xz_that_wants_gigabytes_of_memory_and_a_file_of_holes_get_none(tmp_path: Path) -> None:
    plain = tar(tmp_path / "plain", FILES).read_bytes()
    packed = lzma.compress(plain, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    (tmp_path / "a.txz").write_bytes(packed + b"\0" * 8)
    assert len(texts(read(tmp_path / "a.txz"))) == 3
    (tmp_path / "b.txz").write_bytes(_with_dictionary(packed, 1 << 30))
    assert told(read(tmp_path / "b.txz")) == {"b.txz": "cut_off"}
    holes = entry("holes.md", tarfile.GNUTYPE_SPARSE)
    assert told(read(tar(tmp_path / "c.tar", {}, "w", holes))) == {"c.tar/holes.md": "sparse"}


def _with_dictionary(packed: bytes, size: int) -> bytes:
    """The xz file, saying that it wants a dictionary of that size: one byte of the block's header, and its checksum."""
    header = bytearray(packed[12 : 12 + (packed[12] + 1) * 4])
    header[header.index(0x21) + 2] = 2 * size.bit_length() - 26  # 2 << (n // 2 + 11)
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    return packed[:12] + bytes(header) + packed[12 + len(header) :]


def test_a_header_that_wants_a_gigabyte_gets_none(tmp_path: Path) -> None:
    info = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=1 << 30)
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048)
    assert told(read(tmp_path / "a.tar")) == {"a.tar": "cut_off"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_an_archive_that_is_cut_off_says_so(tmp_path: Path, kind: str) -> None:
    files = {f"{n}.md": bytes(str(n) * 5000, "ascii") for n in range(9)}
    archive = tmp_path / f"a.{kind}"
    zipped(archive, files) if kind == "zip" else tar(archive, files, "w:gz" if kind == "tgz" else "w")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])
    assert told(read(archive))[archive.name] == "cut_off"


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"a text")
    assert told(read(tmp_path / "a.zip")) == {"a.zip": "not_archive"}


def test_a_damaged_member_leaves_the_others(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.md": b"first text " * 50, "b.md": b"second"})
    data = bytearray(archive.read_bytes())
    data[45] ^= 0xFF
    archive.write_bytes(data)
    found = read(archive)
    assert told(found) == {"a.zip/a.md": "broken_member"}
    assert texts(found) == {"a.zip/b.md": ["second"]}


def test_odd_names_are_text_that_any_file_can_hold(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", {"new\nline.md": b"x", "win\\dows.md": b"y", "./dot.md": b"z"})
    raw = archive.read_bytes().replace(b"dot.md", b"d\xff\xfe.md")
    archive.write_bytes(raw)  # its checksum is wrong by now, so that the archive ends there
    found = read(archive)
    assert set(texts(found)) == {"a.tar/new\nline.md", "a.tar/win/dows.md"}
    for record in found:
        json.dumps([record.source]).encode()


SHARD = {
    "s/0001.txt": b"A text", "s/0001.cls": b"3\n", "s/0001.json": b'{"id": 5, "lang": "de"}',
    "s/0002.txt": b"Another", "s/0002.cls": b"1",
    "s/0003.txt": b"%PDF-1.7 no text", "s/0003.cls": b"1",
    "s/0004": b"of no field",
}  # fmt: skip


def test_samples_of_a_webdataset_shard_are_items_and_extensions_their_fields(tmp_path: Path) -> None:
    found = read(tar(tmp_path / "train-000.tar", SHARD), form="webdataset")
    good = {record.source: record.fields for record in found if isinstance(record, Raw)}
    assert good == {
        "train-000.tar/s/0001": {"txt": "A text", "cls": "3", "json": {"id": "5", "lang": "de"}},
        "train-000.tar/s/0002": {"txt": "Another", "cls": "1"},
    }
    assert {record.split for record in found if isinstance(record, Raw)} == {"train"}
    assert told(found) == {"train-000.tar/s/0003": "binary", "train-000.tar/s/0004": "no_extension"}


def test_images_are_read_as_they_are_in_a_folder_and_a_broken_one_is_one_member(tmp_path: Path) -> None:
    files = {
        "s/1.png": digit(1),
        "s/1.cls": b"1",
        "s/2.png": digit(2)[:60],
        "s/2.cls": b"2",
        "s/3.png": digit(3),
    }
    found = read(tar(tmp_path / "a.tar", files))
    assert told(found) == {
        "a.tar/s/2.png": "truncated",
        "a.tar/s/1.cls": "unknown_type",
        "a.tar/s/2.cls": "unknown_type",
    }
    good = [record for record in found if isinstance(record, Raw)]
    assert [(record.source, record.fields["image"].name) for record in good] == [
        ("a.tar/s/1.png", "s/1.png"),
        ("a.tar/s/3.png", "s/3.png"),
    ]
    samples = read(tmp_path / "a.tar", form="webdataset")
    assert told(samples) == {"a.tar/s/2": "truncated"}
    assert [sorted(record.fields) for record in samples if isinstance(record, Raw)] == [
        ["cls", "png"],
        ["png"],
    ]


def test_an_archive_of_images_is_a_dataset_of_images(folder: Folder) -> None:
    folder.sparkfile(
        "datasets:\n  digits: {source: {use: archive, with: {path: all.tar, form: webdataset}}}\n"
    )
    files = {name: data for n in range(5) for name, data in ((f"{n}.png", digit(n)), (f"{n}.cls", b"%d" % n))}
    tar(folder.path / "all.tar", files)
    assert folder.build().items["dataset:digits/ingest"] == {"handled": 5, "remembered": 0}
    folder.spark("get", "dataset:digits", "--to", str(folder.path / "out"))
    rows = list(DatasetFolder(folder.path / "out").rows("train"))
    assert [(row["cls"], row["png"]["bytes"]) for row in rows] == [(str(n), digit(n)) for n in range(5)]
    tar(folder.path / "all.tar", {**files, "5.png": digit(5), "5.cls": b"5"})
    assert folder.build().items["dataset:digits/ingest"]["handled"] == 1


def test_nothing_is_left_where_members_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    archive = tar(tmp_path / "a.tar", FILES)
    source = Archive(Params(path="data"), {"path": tmp_path})
    for _ in source.read(SourceFile(archive.name, archive, 0, "")):
        (folder,) = (tmp_path / "tmp").iterdir()
        assert len(list(folder.iterdir())) <= 1
    assert not list((tmp_path / "tmp").iterdir())


def test_one_archive_of_several_changed_comes_out_as_from_nothing(folder: Folder) -> None:
    folder.sparkfile("datasets:\n  all: {source: {use: archive, with: {path: data}}}\n")
    (folder.path / "data").mkdir()
    for n in range(6):
        tar(folder.path / f"data/{n}.tar", {f"{m}.md": b"text %d of %d" % (m, n) for m in range(5)})
    folder.build()
    tar(folder.path / "data/3.tar", {"1.md": b"text 1 of 3", "new.md": b"new"})
    after = folder.build()
    assert after.items["dataset:all/ingest"] == {"handled": 1, "remembered": 26}
    (folder.path / ".spark").rename(folder.path.parent / "before")
    assert folder.build().outputs == after.outputs
