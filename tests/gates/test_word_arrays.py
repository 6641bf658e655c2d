"""Words as arrays, held against what `str.split` and `str.isalpha` say."""

import random
import re
from collections.abc import Iterator, Sequence

import pytest

from spark_build.modalities.text import words as module
from spark_build.modalities.text.marks import LETTER, marks_of
from spark_build.modalities.text.words import words_of, words_seen

ODD = (
    "", " ", "a", " a  b\n", "a\x1fb\x85c\xa0d\u3000e\u200bf", "\U00010400x \U00020000 \U0001f600 \ud800 z", "1 2b -",
    "x" * 700 + " " + "y" * 300,
)  # fmt: skip


def texts_drawn(count: int) -> list[str]:
    rnd = random.Random(5)
    return [
        "".join(rnd.choices(" \n\tab1\u00fc\u3000\U0001f600-", k=rnd.randrange(80))) for _ in range(count)
    ]


@pytest.mark.parametrize("window", [1, 50, 1 << 18])
def test_words_are_those_that_splitting_gives(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WINDOW_CHARACTERS", window)
    texts = [*ODD, *texts_drawn(200)]
    words, (marks,) = words_seen(texts, marks_of)
    expected = [(number, word) for number, text in enumerate(texts) for word in text.split()]
    assert words.texts.tolist() == [number for number, _ in expected]
    assert words.starts.tolist() == [*starts(texts)]
    assert words.lengths.tolist() == [len(word) for _, word in expected]
    assert ((marks & LETTER) > 0).tolist() == [any(map(str.isalpha, word)) for _, word in expected]


def starts(texts: Sequence[str]) -> Iterator[int]:
    begin = 1
    for text in texts:
        yield from (begin + word.start() for word in re.finditer(r"\S+", text))
        begin += len(text) + 1


def test_equal_words_have_equal_hashes_and_others_have_not() -> None:
    texts = [*ODD, *texts_drawn(500), *("\0" * n for n in range(1, 40)), "ab ba aab aba baa"]
    known: dict[str, int] = {}
    for word, own in zip((w for t in texts for w in t.split()), words_of(texts).hashes.tolist(), strict=True):
        assert known.setdefault(word, own) == own
    assert len(set(known.values())) == len(known)


def test_no_text_at_all_has_no_words() -> None:
    assert words_of([]).counts.tolist() == []
    assert words_of(["", ""]).counts.tolist() == [0, 0]
