"""Files as a source: what is read, what is repaired, and what is one rejected record with its reason."""

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spark_build.contract import Bad, Raw, SourceFile
from spark_build.core.digest import digest_bytes
from spark_build.modalities.text.records import Reading
from spark_build.modalities.text.rows import read_csv, read_jsonl
from spark_build.sources._reading import is_ignored, split_of
from spark_build.sources.files import Files, Params

Read = Callable[..., list[Raw | Bad]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads `content` as a file of that name."""

    def read_content(path: str, content: str | bytes, **params: Any) -> list[Raw | Bad]:
        data = content.encode() if isinstance(content, str) else content
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        rule = Files(Params(path="data", **params))
        return list(rule.read(SourceFile(path, place, len(data), digest_bytes(data))))

    return read_content


def text_of(records: list[Raw | Bad], field: str = "text") -> str:
    (record,) = records
    assert isinstance(record, Raw), record
    return str(record.fields[field])


def bad(records: list[Raw | Bad]) -> str:
    (record,) = records
    assert isinstance(record, Bad), record
    return f"{record.reason}: {record.detail}"


def parquet(tmp_path: Path, table: pa.Table) -> bytes:
    pq.write_table(table, tmp_path / "made.parquet")
    return (tmp_path / "made.parquet").read_bytes()


# documents


def test_a_document_is_one_record_that_splits_by_its_file(read: Read) -> None:
    assert read("notes/a.txt", "hello\n") == [Raw({"text": "hello"}, key="notes/a.txt")]


def test_an_edit_of_white_space_alone_gives_an_equal_record(read: Read) -> None:
    plain = read("a.md", "---\ntitle: x\n---\n# A\n\ntext\n    code\n")
    assert read("a.md", "---\ntitle:   x\n---\n\n# A  \r\n\r\n\r\n\r\ntext\t\r\n    code\r\n\r\n") == plain
    kept = read("a.md", "a \n\n\n\nb\n", whitespace="keep")
    assert text_of(kept) == "a \n\n\n\nb\n"


def test_front_matter_is_meta_and_a_rule_at_the_top_is_text(read: Read) -> None:
    (record,) = read("a.md", "---\ntitle: Hé\ndate: 2020-01-02\ntags: [a, b]\n---\nbody")
    assert isinstance(record, Raw)
    assert record.fields == {"text": "body"}
    assert record.meta == {"title": "Hé", "date": "2020-01-02", "tags": ["a", "b"]}
    assert text_of(read("b.md", "---\njust a line\n---\nbody")) == "---\njust a line\n---\nbody"
    assert text_of(read("c.txt", "---\ntitle: x\n---\nbody")) == "---\ntitle: x\n---\nbody"


def test_html_gives_its_main_text_and_title(read: Read) -> None:
    paragraph = "A paragraph of text that goes on for a while, with enough words to count. " * 4
    page = (
        "<!DOCTYPE html><html><head><title>T &amp;\n x</title></head><body><nav><a href='/'>Home</a></nav>"
        f"<main><h1>Head</h1><p>{paragraph}</p><table><tr><td>1</td></tr></table></main></body></html>"
    )
    (record,) = read("a.html", page)
    assert isinstance(record, Raw)
    assert record.meta == {"title": "T & x"}
    text = record.fields["text"]
    assert text.startswith("# Head\n\nA paragraph of text")
    assert "Home" not in text
    assert "| 1 |" in text
    assert "| 1 |" not in text_of(read("a.html", page, html={"tables": False}))
    assert text_of(read("a.html", page, html={"whole_page": True})).startswith("Home Head")


@pytest.mark.parametrize("name", ["page.txt", "page", "page.md"])
def test_a_page_is_html_whatever_its_name(read: Read, name: str) -> None:
    page = f"<html><body><p>{'words that count ' * 20}</p></body></html>"
    assert "<p>" not in text_of(read(name, page))


ENCODED = [
    ("Un café très cher, déjà vu. Où est-il? Ça va bien.", "latin-1"),
    ("He said “hello” – it’s fine", "cp1252"),
    ("Привет, как дела? Это текст на русском языке.", "koi8-r"),
    ("Привет, как дела? Это текст на русском языке.", "cp1251"),
    ("Zażółć gęślą jaźń. Dzień dobry, jak się masz?", "cp1250"),
    ("日本語のテキストです。これは長い文章です。", "cp932"),
    ("这是一个中文文本。我们今天去公园。", "gb18030"),
    ("naïve – Ω", "utf-8-sig"),
    ("naïve – Ω", "utf-16"),
    ("naïve – Ω", "utf-32"),
]


@pytest.mark.parametrize(("text", "encoding"), ENCODED)
def test_the_encoding_is_found_out(read: Read, text: str, encoding: str) -> None:
    assert text_of(read("a.txt", text.encode(encoding))) == text


def test_broken_utf_8_is_repaired_where_it_is_clear_what_was_meant(read: Read) -> None:
    pasted = "Füße, Straße, Größe: ".encode() + b"\x93quoted\x94"
    assert text_of(read("a.txt", pasted)) == "Füße, Straße, Größe: “quoted”"
    assert text_of(read("a.txt", "Füße, Straße €".encode()[:-1])) == "Füße, Straße"
    assert text_of(read("a.txt", "cafÃ© crÃ¨me brÃ»lÃ©e")) == "café crème brûlée"
    assert text_of(read("a.txt", "ï»¿hello")) == "hello"
    assert text_of(read("a.txt", "Ã© is how a broken é looks")) == "Ã© is how a broken é looks"


def test_text_that_no_encoding_fits_is_rejected_with_the_first_bad_byte(read: Read) -> None:
    broken = "Füße\nStraße ".encode() + b"\x81 and \x8d"
    assert bad(read("a.txt", broken)) == "encoding: line 2: byte 0x81 is not utf-8"
    assert bad(read("a.txt", b"ok\n\xff", encoding="utf-8")) == "encoding: line 2: byte 0xff is not utf-8"
    assert text_of(read("a.txt", b"\xe9", encoding="cp1252")) == "é"


def test_a_page_s_declared_charset_is_used(read: Read) -> None:
    body = "Übergröße ist möglich, überall. " * 10
    page = f"<html><head><meta charset='iso-8859-1'></head><body><p>{body}</p></body></html>"
    assert text_of(read("a.html", page.encode("latin-1"))).startswith("Übergröße ist möglich")


NO_TEXT = "no main text was found in the page; `html: {whole_page: true}` takes all"
REJECTED = [
    ("a.txt", b"", "empty: 0 bytes"),
    ("a.md", b" \n\t\n", "empty: nothing but white space"),
    ("a.md", b"---\ntitle: x\n---\n", "empty: nothing but white space"),
    ("a.html", b"<html><body></body></html>", f"no_text: {NO_TEXT}"),
    ("a.txt", bytes(range(256)), "binary: named .txt, but holds binary data"),
    ("a.txt", b"\x89PNG\r\n\x1a\n", "broken_image: its header can't be read"),
    ("a.md", b"PK\x03\x04docx", "binary: named .md, but holds a ZIP archive (or a docx, xlsx, epub)"),
    ("a.txt", b"text" * 3000 + b"\0", "binary: a zero byte within the text"),
    ("a.xyz", b"hello", "unknown_type: suffix .xyz; `types: {xyz: text}` reads it as text"),
    ("a.csv", b"<!doctype html><p>404", "not_rows: named .csv, but holds an HTML page"),
    ("a.parquet", b"", "empty: 0 bytes"),
    ("a.parquet", b"hello", "not_parquet: named .parquet, but holds text"),
    ("a.csv", b"a,b,a\n1,2,3\n", "duplicate_header: column 'a' twice"),
    ("a.csv", b"a,,c\n1,2,3\n", "bad_header: column 2 has no name"),
    ("a.csv", b"a,b\n\n", "empty: no row"),
    ("a.jsonl", b"\n\n", "empty: no row"),
    ("a.json", b"[]", "empty: no row"),
    ("a.json", b"[1,", "not_json: line 1: column 4: Expecting value"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "expected"), REJECTED)
def test_a_file_that_can_not_be_read_is_one_rejected_record(
    read: Read, name: str, content: bytes, expected: str
) -> None:
    assert bad(read(name, content)) == expected


def test_a_file_above_the_limit_is_rejected(read: Read) -> None:
    assert bad(read("a.txt", "x" * 11, max_bytes=10)) == "too_large: 11 bytes; `max_bytes` is 10"


def test_types_gives_more_suffixes_a_meaning(read: Read) -> None:
    assert text_of(read("a.XYZ", "hello", types={"xyz": "text"})) == "hello"


# rows


def test_a_row_splits_by_its_content_and_not_by_place_or_spelling(read: Read) -> None:
    one, same, other = read("a.jsonl", '{"a": "x", "n": 1}\n\n{ "n":1.0, "a":"x" }\n{"a": "y"}')
    assert isinstance(one, Raw)
    assert isinstance(same, Raw)
    assert isinstance(other, Raw)
    assert one == same
    assert one.key != other.key


def test_values_keep_their_types(read: Read) -> None:
    row = {
        "text": " as it stands \r\n",
        "n": 3,
        "f": 0.5,
        "yes": True,
        "none": None,
        "chat": [{"role": "user", "content": "hi"}],
        "deep": {"a": [1, None]},
        "big": 2**60 + 1,
    }
    (record,) = read("a.jsonl", json.dumps(row))
    assert isinstance(record, Raw)
    assert record.fields == {**row, "n": 3.0, "big": str(2**60 + 1)}
    assert type(record.fields["n"]) is float


def test_a_bad_line_spoils_only_itself(read: Read) -> None:
    lines = [
        b'{"text": "first"}',
        b"{'text': 1}",
        b'["text"]',
        b'{"text": "\xff"}',
        b'{"text": "\\ud83d"}',
        b'{"text": NaN}',
        b'{"text": null}',
        b"[" * 100_000,
        b'{"text": "last"}',
    ]
    records = read("a.jsonl", b"\n".join(lines))
    assert [r.fields["text"] for r in records if isinstance(r, Raw)] == ["first", "last"]
    assert [f"{r.reason}: {r.detail}" for r in records if isinstance(r, Bad)] == [
        "not_json: line 2: column 2: Expecting property name enclosed in double quotes",
        "not_an_object: line 3: list instead of an object",
        "encoding: line 4: byte 0xff is not utf-8",
        "encoding: line 5: 'text' holds half of a surrogate pair, which is no text",
        "not_json: line 6: NaN is no JSON",
        "empty: line 7: no value",
        "not_json: line 8: nested too deeply",
    ]


def test_csv_values_are_text_and_an_empty_one_is_none(read: Read) -> None:
    records = read("a.csv", 'id,text,label\r\nr1,"one,\r\ntwo",007\r\n\r\nr2,,x\r\n')
    assert records == [
        Raw({"text": "one,\ntwo", "label": "007"}, key=records[0].key, id="r1"),  # type: ignore[union-attr]
        Raw({"text": None, "label": "x"}, key=records[1].key, id="r2"),  # type: ignore[union-attr]
    ]


def test_an_uneven_row_names_its_line_and_the_others_are_read(read: Read) -> None:
    records = read("a.csv", 'a,b\n1,2\n3\n"4\n4",5\n6,7,8\n"9"x,0\n10,"never closed\n')
    assert [r.fields["a"] for r in records if isinstance(r, Raw)] == ["1", "4\n4"]
    assert [f"{r.reason}: {r.detail}" for r in records if isinstance(r, Bad)] == [
        "uneven_row: line 3: 1 value, the header has 2",
        "uneven_row: line 6: 3 values, the header has 2",
        "not_csv: line 7: ',' expected after '\"'",
        "not_csv: line 8: a quote that never closes",
    ]


@pytest.mark.parametrize(
    ("name", "between"), [("a.csv", ";"), ("a.csv", "|"), ("a.tsv", "\t"), ("a.csv", "\t")]
)
def test_the_delimiter_is_seen_in_the_header(read: Read, name: str, between: str) -> None:
    (record,) = read(name, f"a{between}b\n1,5{between}2\n")
    assert isinstance(record, Raw)
    assert record.fields == {"a": "1,5", "b": "2"}


def test_a_long_csv_value_is_no_error(read: Read) -> None:
    assert text_of(read("a.csv", "text,n\n" + "x" * 200_000 + ",1\n")) == "x" * 200_000


def test_parquet_is_known_by_its_content(read: Read, tmp_path: Path) -> None:
    data = parquet(tmp_path, pa.table({"text": ["a", "b"], "n": [1, 2], "f": [0.5, float("nan")]}))
    expected = [{"text": "a", "n": 1.0, "f": 0.5}, {"text": "b", "n": 2.0, "f": None}]
    for name in ("a.parquet", "a.csv", "a"):
        assert [r.fields for r in read(name, data) if isinstance(r, Raw)] == expected


@pytest.mark.parametrize("keep", [4, 20, -1])
def test_truncated_parquet_is_rejected(read: Read, tmp_path: Path, keep: int) -> None:
    data = parquet(tmp_path, pa.table({"text": ["a"] * 100}))
    assert bad(read("a.parquet", data[:keep])).startswith("not_parquet: ")


def test_damage_within_parquet_is_rejected_and_nothing_invented(read: Read, tmp_path: Path) -> None:
    data = bytearray(parquet(tmp_path, pa.table({"text": [f"text {i}" for i in range(100)]})))
    data[10:40] = b"\xff" * 30
    records = read("a.parquet", bytes(data))
    assert isinstance(records[-1], Bad)
    assert records[-1].reason in ("not_parquet", "encoding")


def test_columns_and_id_choose_and_name(read: Read) -> None:
    row = '{"body": "hello", "key": 7, "noise": [1]}'
    (record,) = read("a.jsonl", row, columns={"text": "body"}, id="key")
    assert isinstance(record, Raw)
    assert (record.fields, record.id) == ({"text": "hello"}, "7")
    assert bad(read("a.jsonl", row, columns={"text": "boddy"})) == "missing_column: line 1: no 'boddy'"
    assert (
        bad(read("a.csv", "a,b\n1,2\n", columns={"t": "c"})) == "missing_column: no column 'c'; it has a, b"
    )
    assert bad(read("a.jsonl", '{"a": "x"}', id="key")) == "no_id: line 1: no value in 'key'"


def test_a_row_s_own_source_and_meta_are_its_meta(read: Read) -> None:
    (record,) = read("a.jsonl", '{"text": "x", "id": "i", "source": "web", "meta": {"lang": "en"}}')
    assert isinstance(record, Raw)
    assert (record.fields, record.id) == ({"text": "x"}, "i")
    assert record.meta == {"lang": "en", "source": "web"}


def test_a_value_that_is_no_text_and_no_json_is_rejected(read: Read, tmp_path: Path) -> None:
    data = parquet(tmp_path, pa.table({"image": [b"\x89PNG"], "text": ["a"]}))
    assert bad(read("a.parquet", data)) == "unsupported_type: row 1: 'image' holds a value of type bytes"
    assert text_of(read("a.parquet", data, columns={"text": "text"})) == "a"


# which files


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({}, {"a.md", "docs/b.md", "docs/deep/c.txt"}),
        ({"include": "*.md"}, {"a.md", "docs/b.md"}),
        ({"include": ["docs/*"]}, {"docs/b.md"}),
        ({"include": "docs/**"}, {"docs/b.md", "docs/deep/c.txt"}),
        ({"include": "**/c.txt"}, {"docs/deep/c.txt"}),
        ({"exclude": "docs/"}, {"a.md"}),
        ({"exclude": ["[bc].*"]}, {"a.md"}),
        ({"include": "*.md", "exclude": "b.??"}, {"a.md"}),
    ],
)
def test_include_and_exclude_choose_files(read: Read, params: dict[str, Any], wanted: set[str]) -> None:
    paths = ("a.md", "docs/b.md", "docs/deep/c.txt")
    assert {path for path in paths if read(path, "text", **params)} == wanted


@pytest.mark.parametrize("path", [".hidden.md", "a/.git/b.md", "__pycache__/a.txt", "a.md~"])
def test_what_no_one_means_as_data_is_left_out(read: Read, path: str) -> None:
    assert is_ignored(path)
    assert read(path, "text") == []


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train/a.md", "train"),
        ("test.jsonl", "test"),
        ("data/validation-00000-of-00002.parquet", "validation"),
        ("data/dev/x.csv", "validation"),
        ("Val/x.csv", "validation"),
        ("notes/test/a.md", None),
        ("training-notes.md", None),
        ("a.md", None),
    ],
)
def test_a_file_s_place_or_name_says_its_split(path: str, split: str | None) -> None:
    assert split_of(path) == split


# parameters


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoding": "utf-9"}, "'utf-9' is no text encoding that Python knows"),
        ({"encoding": "hex"}, "'hex' is no text encoding that Python knows"),
        ({"delimiter": "::"}, "one character, or auto"),
        ({"types": {"x": "word"}}, "'word' is none of text, markdown, html"),
        ({"columns": {"id": "key"}}, "a field can't be called 'id'; `id:` names the column of ids"),
        ({"glob": "*.md"}, "Extra inputs are not permitted"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Params(path="data", **params)


def test_a_file_of_rows_hangs_on_no_library_of_documents() -> None:
    assert Files.libraries_of(Params(path="data/rows.jsonl")) == ()
    of_text = {"charset-normalizer", "trafilatura", "lxml"}
    assert set(Files.libraries_of(Params(path="data", modalities=["text"]))) == of_text
    assert set(Files.libraries_of(Params(path="data"))) == {*of_text, "pillow", "av"}


# whatever comes


@settings(max_examples=120, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
    ),
    name=st.sampled_from(
        ["a.txt", "a.md", "a.jsonl", "a.csv", "a.tsv", "a.json", "a.parquet", "a.html", "a"]
    ),
)
def test_no_content_is_an_exception(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    place = tmp_path_factory.getbasetemp() / name
    place.write_bytes(data)
    records = list(Files(Params(path="data")).read(SourceFile(name, place, len(data), digest_bytes(data))))
    assert records
    for record in records:
        if isinstance(record, Raw):
            json.dumps([record.fields, record.meta], allow_nan=False).encode()


def test_a_large_file_of_lines_is_read_line_by_line(tmp_path: Path) -> None:
    place = tmp_path / "a.jsonl"
    place.write_text('{"text": "x"}\n' * 10 + "\n")
    rows = read_jsonl(place, Reading())
    next(rows)
    place.write_text('{"text": "y"}\n')  # what is in the buffer is what counts; no second pass over the file
    assert sum(1 for _ in rows) == 9


def test_rows_of_a_csv_come_with_the_line_that_they_begin_on() -> None:
    rows = list(read_csv(b'a,b\n"x\ny",1\nz\n', Reading(), delimiter="auto"))
    assert str(rows[1]) == "uneven_row: line 4: 1 value, the header has 2"


# single compressed files


def _zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zstd}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_file_gives_what_it_holds(read: Read, suffix: str) -> None:
    rows = "".join(json.dumps({"id": f"r{n}", "text": f"row {n}"}) + "\n" for n in range(3))
    plain = read("data/train-00000-of-00001.jsonl", rows)
    packed = read(f"data/train-00000-of-00001.jsonl.{suffix}", PACKERS[suffix](rows.encode()))
    assert packed == plain
    assert [record.split for record in packed if isinstance(record, Raw)] == ["train"] * 3


def test_a_compressed_document_is_told_by_the_name_below_its_compression(read: Read) -> None:
    assert text_of(read("notes.md.gz", gzip.compress(b"# Title\n\nWords."))) == "# Title\n\nWords."
    assert text_of(read("changelog.gz", gzip.compress(b"Version 2"))) == "Version 2"
    assert bad(read("a.odd.gz", gzip.compress(b"words"))).startswith("unknown_type: suffix .odd")
    assert text_of(read("a.odd.gz", gzip.compress(b"words"), types={"odd": "text"})) == "words"


def test_several_streams_of_one_gzip_file_are_one_content(read: Read) -> None:
    packed = gzip.compress(b'{"text": "a"}\n') + gzip.compress(b'{"text": "b"}\n')
    assert [r.fields["text"] for r in read("a.jsonl.gz", packed) if isinstance(r, Raw)] == ["a", "b"]


def test_compressed_files_that_are_broken_or_bombs_are_rejected(read: Read) -> None:
    packed = gzip.compress(random.Random(0).randbytes(100_000).hex().encode())
    assert bad(read("cut.txt.gz", packed[:-2000])).startswith("cut_off")
    assert bad(read("words.txt.gz", b"no gzip at all")).startswith("not_archive")
    assert bad(read("empty.jsonl.gz", gzip.compress(b""))).startswith("empty")
    assert bad(read("long.txt.gz", gzip.compress(b"words " * 100), max_bytes=500)).startswith("too_large")
    assert bad(read("bomb.txt.bz2", bz2.compress(bytes(64 << 20)))).startswith("archive_ratio")
    folder = io.BytesIO()
    with tarfile.open(fileobj=folder, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    assert bad(read("files.tar.gz", folder.getvalue())).startswith("binary: named .tar")
