"""Takes the text out of a field of HTML, without menus, footers and other boilerplate."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from spark_build.contract import Item, RuleParams, Transform
from spark_build.contract.params import Field
from spark_build.core.errors import ItemRejected
from spark_build.modalities.text.documents import text_of_page
from spark_build.modalities.text.records import HtmlReading
from spark_build.modalities.text.whitespace import normalize
from spark_build.transforms._text import fields_read_of_text, text_field

_TAG = re.compile(r"<[A-Za-z!/]")


class Params(RuleParams):
    """As the `files` source reads HTML documents."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "include_tables": "tables", "include_links": "links", "include_formatting": "formatting",
        "column": "field", "text_field": "field",
    }  # fmt: skip

    field: str | None = Field(
        None, description="The field that holds HTML; by default 'text', or the item's only text."
    )
    to: str | None = Field(None, description="The field that takes the text; by default the same one.")
    tables: bool = Field(True, description="Keep tables.")
    links: bool = Field(False, description="Keep links, as Markdown.")
    formatting: bool = Field(True, description="Headings and lists as Markdown; else plain text.")
    whole_page: bool = Field(False, description="All of the page's text, also menus and footers.")


class CleanHtml(Transform):
    """Text without a tag stays as it is; a page without main text is rejected."""

    Params = Params
    libraries = ("trafilatura",)

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return fields_read_of_text(item, self.params.field)

    def apply(self, item: Item) -> Sequence[Mapping[str, Any]]:
        name = text_field(item, self.params.field)
        page = item[name]
        is_page = page is not None and _TAG.search(page)
        return [{name: page, self.params.to or name: self._text(page) if is_page else page}]

    def _text(self, page: str) -> str:
        given = self.params
        reading = HtmlReading(given.tables, given.links, given.formatting, given.whole_page)
        try:
            return normalize(text_of_page(page, reading))
        except ItemRejected as why:
            raise ItemRejected(why.reason, "no main text in the page; `whole_page: true` takes all") from None
