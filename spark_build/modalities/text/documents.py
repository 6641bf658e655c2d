"""Documents: one file, one record. Plain text, Markdown with front matter, HTML."""

import re
from collections.abc import Mapping
from typing import Any

from spark_build.core.errors import ItemRejected, Unavailable
from spark_build.modalities.text.encoding import decode
from spark_build.modalities.text.records import HtmlReading, Reading, Record
from spark_build.modalities.text.values import value_of
from spark_build.modalities.text.whitespace import normalize, unix_lines

_FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?P<yaml>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_CHARSET_WITHIN_BYTES = 4096


def read_document(data: bytes, kind: str, reading: Reading) -> Record:
    """The file's text under `reading.text_field`, and what the document says of itself as meta.

    Errors: ItemRejected with reason encoding, binary, empty or no_text.
    """
    declared = _declared_charset(data) if kind == "html" else None
    text = decode(data, reading.encoding, declared)
    if "\0" in text:
        raise ItemRejected("binary", "a zero byte within the text")
    meta: Mapping[str, Any] = {}
    if kind == "html":
        text, meta = _from_html(text, reading.html)
    elif kind == "markdown":
        text, meta = split_front_matter(unix_lines(text))
    if reading.normalizes_whitespace or kind == "html":
        text = normalize(text)
    if not text.strip():
        raise ItemRejected("empty", "nothing but white space" if kind != "html" else "a page without text")
    return Record({reading.text_field: text}, is_row=False, meta=meta)


def split_front_matter(text: str) -> tuple[str, dict[str, Any]]:
    """A Markdown document without its YAML head, and that head; {} where there is none."""
    match = _FRONT_MATTER.match(text)
    head = _yaml_mapping(match["yaml"]) if match else None
    if match is None or head is None:
        return text, {}
    return text[match.end() :], head


def _yaml_mapping(text: str) -> dict[str, Any] | None:
    """None where `text` is no mapping: then the rule at the top of the document is just a rule."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
        return (
            {str(name): value_of(inner) for name, inner in value.items()} if isinstance(value, dict) else None
        )
    except (YAMLError, ItemRejected, ValueError, RecursionError):
        return None


def _declared_charset(data: bytes) -> str | None:
    match = _CHARSET.search(data[:_CHARSET_WITHIN_BYTES])
    return match[1].decode("ascii") if match else None


def _from_html(page: str, reading: HtmlReading) -> tuple[str, dict[str, Any]]:
    import html  # its table of entities is large, and few documents are pages

    page = unix_lines(page)
    text, title = text_of_page(page, reading), _TITLE.search(page)
    return text, {"title": " ".join(html.unescape(title[1]).split())} if title else {}


def text_of_page(page: str, reading: HtmlReading) -> str:
    """The main text of an HTML page, or all of it. Errors: ItemRejected with reason no_text."""
    try:
        import trafilatura
    except ImportError:
        raise Unavailable("HTML needs trafilatura", fix="pip install 'spark-build[text]'") from None
    page = unix_lines(page)
    if reading.whole_page:
        text: str | None = trafilatura.html2txt(page)
    else:
        # metadata stays off: its search for dates looks at today's
        text = trafilatura.extract(
            page,
            output_format="markdown" if reading.formatting else "txt",
            include_comments=False,
            include_tables=reading.tables,
            include_links=reading.links,
            include_formatting=reading.formatting,
        )
    if not text:
        raise ItemRejected(
            "no_text", "no main text was found in the page; `html: {whole_page: true}` takes all"
        )
    return text
