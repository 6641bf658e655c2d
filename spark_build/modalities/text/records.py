"""What a reader gives: records of plain values, and how it is told to read."""

from collections.abc import Mapping
from typing import Any

from spark_build.core.values import Struct, field


class Record(Struct, frozen=True):
    """One document or row. A reader yields these, and `ItemRejected` in place of one that it can't read."""

    fields: Mapping[str, Any]  # str · float · [{'role', 'content'}] · anything else is JSON
    is_row: bool  # of many in its file; else the file is the record
    id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


class HtmlReading(Struct, frozen=True):
    tables: bool = True
    links: bool = False
    formatting: bool = True  # headings and lists as Markdown
    whole_page: bool = False  # navigation and footers too


class Reading(Struct, frozen=True):
    """How files are read; the `files` source documents each (spark_build/sources/_reading.py)."""

    text_field: str = "text"
    encoding: str = "auto"
    normalizes_whitespace: bool = True
    columns: Mapping[str, str] = field(
        default_factory=dict
    )  # field -> column; {}: every column under its name
    id_column: str | None = None  # None: 'id' where a row has it
    delimiter: str = "auto"
    types: Mapping[str, str] = field(default_factory=dict)  # suffix with its dot -> kind
    max_bytes: int = 2 << 30
    html: HtmlReading = HtmlReading()
