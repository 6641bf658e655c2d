"""Equal is what the params say; of equal items the smallest stays."""

import random
from pathlib import Path

import pytest
from gate_corpus import item, kept_after_join
from pydantic import ValidationError

from spark_build.contract import Item, Media
from spark_build.gates.exact_duplicates import ExactDuplicates, Params

CAFE = ("Café ﬁne", "Cafe\u0301 fine")  # one is composed and has a ligature


def kept(texts: list[object], **params: object) -> list[int]:
    return kept_after_join(ExactDuplicates(Params(**params)), [item(t, n) for n, t in enumerate(texts)])[0]


def test_every_byte_counts_by_default() -> None:
    assert kept(["a b", "a  b", "A b", *CAFE, "a b"]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("ignored", "texts"),
    [("case", ("Straße", "STRASSE")), ("whitespace", ("a b", "\ta\n\u2003b ")), ("unicode", CAFE)],
)
def test_what_is_ignored_makes_no_difference_and_nothing_else_does(
    ignored: str, texts: tuple[str, str]
) -> None:
    others = [name for name in ("case", "whitespace", "unicode") if name != ignored]
    assert kept(list(texts), ignore=[ignored]) == [0]
    assert kept(list(texts), ignore=others) == [0, 1]


def test_chat_messages_are_compared_by_all_that_they_say() -> None:
    chat = [{"role": "user", "content": "Hello  there"}]
    other = [{"role": "assistant", "content": "Hello there"}]
    plain = [{"role": "user", "content": "hello there"}]
    assert kept([chat, other, plain], ignore=["case", "whitespace"]) == [0, 1]


def test_by_default_all_fields_count_and_chosen_ones_alone_where_named() -> None:
    same_text = [item("a", 0, label="x", n=1.0), item("a", 1, label="y", n=2.0)]
    assert kept_after_join(ExactDuplicates(Params()), same_text)[0] == [0, 1]
    assert kept_after_join(ExactDuplicates(Params(fields=["text"])), same_text)[0] == [0]


def test_media_are_compared_by_their_content_and_not_by_where_they_came_from() -> None:
    def picture(number: int, digest: str) -> Item:
        media = Media("image", Path(f"{number}.png"), ".png", {"width": number}, f"{number}.png", digest)
        return Item(str(number), "s", "train", {"image": media, "text": None})

    pictures = [picture(0, "aa"), picture(1, "bb"), picture(2, "aa")]
    assert kept_after_join(ExactDuplicates(Params(ignore=["case"])), pictures)[0] == [0, 1]


def test_nothing_is_found_that_is_not_equal_and_all_that_is() -> None:
    rnd = random.Random(3)
    texts: list[object] = [" ".join(rnd.choices(["a", "b", "c", "d"], k=4)) for _ in range(2000)]
    assert len(kept(texts)) == len(set(texts))


def test_an_unknown_difference_is_refused() -> None:
    with pytest.raises(ValidationError, match="case"):
        Params(ignore=["punctuation"])
