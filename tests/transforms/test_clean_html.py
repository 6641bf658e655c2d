"""HTML in a field becomes text, as the source reads HTML files."""

from pathlib import Path

import pytest

from spark_build.contract import Item
from spark_build.core.errors import ItemRejected
from spark_build.modalities.text.documents import read_document
from spark_build.modalities.text.records import Reading
from spark_build.transforms.clean_html import CleanHtml, Params

PAGE = (
    "<html><head><title>T</title><style>p {color: red}</style></head><body><nav><a href='/'>Home page</a></nav>"
    "<article><h1>Boats</h1><p>A first paragraph that is long enough to be kept by a reader of pages, "
    "with a <a href='https://example.com/x'>link</a> in it.</p>"
    + "".join(
        f"<p>Paragraph {n} tells of the boats that lie in the harbour until the wind turns.</p>"
        for n in range(9)
    )
    + "<table><tr><td>one</td><td>two</td></tr></table>"
    "</article><footer>imprint and cookies</footer><script>alert(1)</script></body></html>"
)


def cleaned(page: str | None, **params: object) -> dict[str, object]:
    (fields,) = CleanHtml(Params(**params)).apply(Item("", "", "", {"text": page, "n": 1.0}))
    assert "n" not in fields  # what is not read is the runner's to keep
    return dict(fields)


def test_the_main_text_stays_and_the_rest_goes() -> None:
    text = str(cleaned(PAGE)["text"])
    assert "A first paragraph" in text
    assert not any(word in text for word in ("Home page", "imprint", "alert", "color", "<", "https://"))


def test_params_keep_links_and_the_whole_page() -> None:
    assert "https://example.com/x" in str(cleaned(PAGE, links=True)["text"])
    assert "Home page" in str(cleaned(PAGE, whole_page=True)["text"])
    assert "two" not in str(cleaned(PAGE, tables=False)["text"])


def test_the_page_may_stay_beside_its_text() -> None:
    fields = cleaned(PAGE, to="plain")
    assert fields["text"] == PAGE
    assert "A first paragraph" in str(fields["plain"])


@pytest.mark.parametrize("text", ["1 < 2, and 3 > 2", "", None])
def test_what_holds_no_tag_stays_as_it_is(text: str | None) -> None:
    assert cleaned(text, field="text")["text"] == text


def test_a_page_without_text_is_rejected() -> None:
    with pytest.raises(ItemRejected, match="no_text: no main text in the page; `whole_page: true` takes all"):
        cleaned("<html><body><script>x</script></body></html>")


def test_a_real_page_reads_as_the_files_source_reads_it() -> None:
    pages = [f for f in sorted(Path("/usr/share/doc").rglob("*.html")) if f.is_file()][:3]
    if not pages:
        pytest.skip("no HTML under /usr/share/doc")
    for page in pages:
        assert (
            cleaned(page.read_text())["text"]
            == read_document(page.read_bytes(), "html", Reading()).fields["text"]
        )
