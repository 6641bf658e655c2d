"""One spelling of a text; what is not asked for stays to the byte."""

from pathlib import Path

import pytest

from spark_build.contract import Item
from spark_build.core.errors import ItemRejected
from spark_build.transforms.normalize_text import NormalizeText, Params

NOTHING = {"unicode": None, "line_ends": False, "control_characters": False, "whitespace": "keep"}
MESSY = "\ufeff “ﬁne”\u00a0– cafe\u0301\r\n\r\n\r\n\r\nthe\u00ad end\x07 \u2028\v x\u200by\r"


def written(text: str, **params: object) -> str:
    (fields,) = NormalizeText(Params(**params)).apply(Item("", "", "", {"text": text}))
    return str(fields["text"])


def test_nothing_asked_for_changes_nothing() -> None:
    assert written(MESSY, **NOTHING) == MESSY


@pytest.mark.parametrize(
    ("params", "text", "expected"),
    [
        ({"unicode": "NFC"}, "e\u0301 ﬁ", "é ﬁ"),
        ({"unicode": "NFKC"}, "ﬁ Ａ", "fi A"),
        ({"line_ends": True}, "a\r\nb\rc\u2028d\ve\x85f", "a\nb\nc\nd\ne\nf"),
        ({"control_characters": True}, "a\x00b\x1b\u00ad\u200b\ufeff\tc\n", "ab\tc\n"),
        ({"control_characters": True}, "\U0001f468\u200d\U0001f469 \u200f", "\U0001f468\u200d\U0001f469 \u200f"),
        ({"whitespace": "trim"}, " a  b \n\n\n\n c\n", " a  b\n\n c"),
        ({"whitespace": "collapse"}, " a \u00a0 b \n\n c\t", "a b c"),
        ({"quotes": True}, "„a“ «b» ‘c’ – d", "\"a\" \"b\" 'c' – d"),
        ({"dashes": True}, "a–b—c−d‑e “f”", "a-b-c-d-e “f”"),
    ],
)  # fmt: skip
def test_each_part_does_its_own_and_nothing_else(params: dict[str, object], text: str, expected: str) -> None:
    assert written(text, **{**NOTHING, **params}) == expected


def test_a_second_time_changes_nothing_also_of_real_documents() -> None:
    found = [f for f in sorted(Path("/usr/share/doc").rglob("*")) if f.is_file() and f.suffix != ".gz"][:200]
    texts = [MESSY, *(f.read_text(errors="replace")[:3000] for f in found)]
    for params in ({}, {"unicode": "NFKC", "quotes": True, "dashes": True, "whitespace": "collapse"}):
        for text in texts:
            once = written(text, **params)
            assert written(once, **params) == once


def test_chat_is_written_anew_and_what_is_no_text_stays() -> None:
    fields = {
        "chat": [{"role": "user", "content": "a \r\n"}],
        "n": 1.0,
        "more": {"x": "a \r\n"},
        "none": None,
    }
    (out,) = NormalizeText(Params()).apply(Item("", "", "", fields))
    assert out == {"chat": [{"role": "user", "content": "a"}]}  # what is not read is the runner's to keep


def test_a_named_field_that_is_not_there_is_refused_with_the_likely_one() -> None:
    with pytest.raises(ItemRejected, match="missing_field: no field 'txt', did you mean 'text'"):
        NormalizeText(Params(fields=["txt"])).apply(Item("", "", "", {"text": "x"}))
