"""Chunk: windows that cover the text, overlap as asked, and cut through nothing that a reader sees as one."""

from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spark_build.contract import Item
from spark_build.core.errors import BadInput, ItemRejected
from spark_build.modalities.text import windows as cut
from spark_build.transforms.chunk import Chunk, Params

UNITS = {"characters": cut.characters, "words": cut.words, "tokens": cut.tokens}
# letters, marks that join what stands before them, emoji with joiners, CR LF, scripts without spaces
PIECES = st.sampled_from(
    [
        "a",
        "bc",
        " ",
        "  ",
        "\n",
        "\r\n",
        "e\u0301",
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "한",
        "日本",
        ".",
        "\u0301",
        "नि",
        "1_x",
    ]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)


def chunk(
    fields: dict[str, Any], inputs: dict[str, Path] | None = None, **params: Any
) -> list[dict[str, Any]]:
    rule = Chunk(Params(**params), inputs)
    return [dict(made) for made in rule.apply(Item("i", "a.txt", "train", fields))]


def texts(text: str, **params: Any) -> list[str]:
    return [made["text"] for made in chunk({"text": text}, **params)]


def test_a_window_moves_on_by_its_length_less_the_stride() -> None:
    assert texts("a b c d e f g", words=3, stride=1) == ["a b c ", "c d e ", "e f g"]


def test_words_tokens_and_characters_count_what_they_say() -> None:
    assert texts("Hi, you!", words=1) == ["Hi, ", "you!"]
    assert texts("Hi, you!", tokens=2) == ["Hi, ", "you!"]
    assert texts("Hi, you!", characters=3) == ["Hi,", " yo", "u!"]
    assert texts("e\u0301e\u0301e\u0301", characters=2) == ["e\u0301e\u0301", "e\u0301"]


def test_a_short_text_is_one_window_as_it_stands() -> None:
    assert texts("  just this \n", tokens=512, stride=128) == ["  just this \n"]


def test_a_last_window_below_the_minimum_is_dropped() -> None:
    assert texts("a b c d e", words=2, min=2) == ["a b ", "c d "]
    assert texts("a b c d e f", words=2, min=2) == ["a b ", "c d ", "e f"]
    assert texts("a", words=2, min=2) == []


def test_every_window_keeps_the_other_fields() -> None:
    made = chunk({"text": "a b", "label": "x", "n": 1.0}, words=1)
    assert made == [{"text": "a ", "label": "x", "n": 1.0}, {"text": "b", "label": "x", "n": 1.0}]


def test_the_field_is_text_or_the_only_one_or_the_one_named() -> None:
    assert [m["body"] for m in chunk({"body": "a b", "n": 1.0}, words=1)] == ["a ", "b"]
    assert [m["text"] for m in chunk({"text": "a b", "title": "t"}, words=1)] == ["a ", "b"]
    assert [m["q"] for m in chunk({"q": "a b", "a": "c"}, words=1, field="q")] == ["a ", "b"]
    with pytest.raises(ItemRejected, match=r"no_text: which field is meant\? `field:` names it; .* q, a"):
        chunk({"q": "a b", "a": "c"}, words=1)
    with pytest.raises(ItemRejected, match="no_text: no field 'body'; the item has text"):
        chunk({"text": "a"}, words=1, field="body")
    with pytest.raises(ItemRejected, match="not_text: 'n' holds no text"):
        chunk({"n": 1.0}, words=1, field="n")


@pytest.mark.parametrize("text", ["", None])
def test_an_item_without_text_passes_unchanged(text: str | None) -> None:
    assert chunk({"text": text}, words=1, field="text") == [{"text": text}]


@settings(max_examples=150, deadline=None)
@given(
    text=TEXTS.filter(bool),
    unit=st.sampled_from(sorted(UNITS)),
    size=st.integers(1, 9),
    overlap=st.integers(0, 8),
)
def test_windows_less_what_they_share_are_the_text(text: str, unit: str, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    units = UNITS[unit](text)
    spans = cut.spans(text, units, size, overlap, 1)
    end = 0
    for (start, until), (before, _) in zip(spans, [(-1, 0), *spans], strict=False):
        assert before < start <= end < until
        end = until
    assert end == len(text)


@settings(max_examples=150, deadline=None)
@given(
    text=TEXTS.filter(bool),
    unit=st.sampled_from(sorted(UNITS)),
    size=st.integers(1, 9),
    overlap=st.integers(0, 8),
)
def test_no_window_is_too_long_shares_too_much_or_cuts_a_grapheme(
    text: str, unit: str, size: int, overlap: int
) -> None:
    overlap = min(overlap, size - 1)
    units = UNITS[unit](text)
    graphemes = [0, *(m.end() for m in regex.finditer(r"\X", text))]
    end = 0
    for start, until in cut.spans(text, units, size, overlap, 1):
        assert {start, until} <= set(graphemes)
        within = [u for u in units if start <= u < until]
        is_one_grapheme = len(regex.findall(r"\X", text[start:until].strip())) <= 1
        assert len(within) <= size or is_one_grapheme
        assert sum(start <= u < end for u in units) <= overlap
        end = until


def test_the_same_text_gives_the_same_windows_in_any_order_of_items() -> None:
    rule = Chunk(Params(words=2, stride=1))
    items = [Item(str(i), "a", "train", {"text": f"a{i} b c d"}) for i in range(5)]
    forward = [rule.apply(item) for item in items]
    assert [rule.apply(item) for item in reversed(items)] == forward[::-1]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE, trained here on a few words."""
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("tokenizer")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>"],
        show_progress=False,
    )
    made.train_from_iterator(["the cat sat on the mat"] * 50, trainer)
    made.enable_truncation(4)
    made.save(str(folder / "tokenizer.json"))
    return folder


def test_a_tokenizer_s_tokens_are_counted_whole_and_without_its_truncation(tokenizer: Path) -> None:
    made = chunk(
        {"text": "the cat sat on the mat the cat"}, {"tokenizer": tokenizer}, tokens=3, tokenizer="t"
    )
    assert "".join(m["text"] for m in made) == "the cat sat on the mat the cat"
    assert made[0]["text"] == "the cat sat"


def test_a_character_of_several_tokens_is_not_cut(tokenizer: Path) -> None:
    family = "👩\u200d👩\u200d👧"  # 18 bytes, each a token here
    made = chunk({"text": f"the {family} cat"}, {"tokenizer": tokenizer}, tokens=4, tokenizer="t")
    assert any(family in m["text"] for m in made)
    assert "".join(m["text"] for m in made) == f"the {family} cat"


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"no tokenizer\.json in 'empty'\n  fix: a folder or model"):
        chunk({"text": "a"}, {"tokenizer": tmp_path / "empty"}, tokens=3, tokenizer="empty")


def test_the_tokenizer_counts_in_the_key_as_what_it_holds() -> None:
    params = Params(tokens=3, tokenizer="model:base")
    assert "tokenizer" not in Chunk.keyed(params)
    assert Chunk.libraries_of(params) == ("regex", "tokenizers")
    assert Chunk.libraries_of(Params(words=3)) == ("regex",)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "give exactly one of tokens, words, characters, not none"),
        ({"tokens": 5, "words": 5}, "give exactly one of tokens, words, characters, not tokens, words"),
        ({"tokens": 5, "stride": 5}, "stride is what neighbours share: 5 must be less than tokens: 5"),
        ({"words": 5, "min": 6}, "min: 6 is more than words: 5"),
        ({"words": 5, "tokenizer": "t"}, "tokenizer goes with tokens, not with words"),
        ({"words": 0}, "greater than or equal to 1"),
        ({"word": 3}, "Extra inputs are not permitted"),
    ],
)
def test_parameters_that_make_no_window_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Params(**params)
